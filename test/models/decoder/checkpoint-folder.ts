import { fileURLToPath } from 'node:url';

/** A tiny random checkpoint (test/fixtures/models/make-decoder-cases.py): llama, llama3, linear, yarn, qwen2, gguf. */
export function checkpointFolder(name: string): string {
  return fileURLToPath(new URL(`../../fixtures/models/decoder/${name}`, import.meta.url));
}

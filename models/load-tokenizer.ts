import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelError } from './model-error.js';
import { Tokenizer } from './tokenizer.js';

/** By the hash of their files: models made from one another have the same tokenizer. */
const loaded = new Map<string, Tokenizer>();

/**
 * Reads `tokenizer.json`, and `tokenizer_config.json` where there is one.
 * @throws ModelError `damaged`
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const path = join(folder, 'tokenizer.json');
  try {
    const json = await readFile(path, 'utf8');
    const config = await readFile(join(folder, 'tokenizer_config.json'), 'utf8').catch(() => '{}');
    const key = createHash('sha256').update(json).update(config).digest('hex');
    let tokenizer = loaded.get(key);
    if (!tokenizer) {
      tokenizer = new Tokenizer(JSON.parse(json) as object, JSON.parse(config) as object);
      loaded.set(key, tokenizer);
    }
    return tokenizer;
  } catch (error) {
    throw new ModelError('damaged', folder, `${path} cannot be used: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

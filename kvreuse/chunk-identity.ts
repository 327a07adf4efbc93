import { createHash } from 'node:crypto';
import type { Checkpoint } from '../models/decoder/checkpoint.js';
import type { Rope } from '../models/decoder/rope.js';

/** Raised where what is kept of a chunk changes its meaning: older caches are not found any more. */
const LAYOUT_VERSION = 1;

/**
 * Names chunks by their token ids and by all that their keys and values depend on, never by text: where a word is cut
 * into other tokens, a cache of the text is of no use.
 */
export class ChunkIdentity {
  readonly #fingerprint: string;

  /** @param fingerprints of model, tokenizer and rotation, as `fingerprintsOf` makes them */
  constructor(fingerprints: Readonly<Record<string, string>>) {
    this.#fingerprint = JSON.stringify(Object.entries(fingerprints).sort());
  }

  /**
   * @param nth how often the same chunk stands before it in the prompt
   * @param tenant keeps chunks of one tenant from another: that one is there tells that somebody has read it
   */
  chunk(tokens: readonly number[], { nth = 0, tenant = '' } = {}): string {
    return hash('chunk', this.#fingerprint, tenant, String(nth), Int32Array.from(tokens));
  }

  /** Of a chunk as computed behind others. @param before ids of those, in order */
  version(chunk: string, before: readonly string[]): string {
    return hash('version', chunk, ...before);
  }
}

/** @param weights tells weights and their precision from others */
export function fingerprintsOf(
  weights: string,
  { shape, tokenizer }: Checkpoint,
  rope: Rope,
): Readonly<Record<string, string>> {
  return {
    layout: `${LAYOUT_VERSION}`,
    model: hash(weights, JSON.stringify([shape.layers, shape.kvHeads, shape.headSize])),
    tokenizer: hash(JSON.stringify(tokenizer)),
    // Halves of a head are its pairs.
    rotation: hash('halves', Float32Array.from(rope.frequencies), Float32Array.of(rope.factor)),
  };
}

function hash(...parts: readonly (string | Int32Array | Float32Array)[]): string {
  const sum = createHash('sha256');
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part) : new Uint8Array(part.buffer);
    // Lengths apart: no two lists of parts are the same bytes.
    sum.update(`${bytes.length}:`).update(bytes);
  }
  return sum.digest('hex');
}

import { LRUCache } from 'lru-cache';
import { commonPrefix } from '../models/decoder/common-prefix.js';
import type { Stayed } from './chunk-engine.js';

/** Tokens at a chunk's ends by which an edited one is known again. */
const ANCHOR = 12;
/** Least share of an edited chunk that must have stayed. */
const LEAST = 0.5;
const REMEMBERED = 10_000;

/** A chunk as it was before an edit. */
export interface BeforeEdit extends Stayed {
  readonly key: string;
  readonly tokens: readonly number[];
}

/** Finds what a chunk was before somebody edited it: one behind the same prefix that begins or ends as it does. */
export class EditedChunks {
  readonly #chunks = new LRUCache<string, { key: string; tokens: readonly number[] }>({ max: REMEMBERED });

  add(prefix: string, key: string, tokens: readonly number[]): void {
    for (const anchor of anchorsOf(prefix, tokens)) this.#chunks.set(anchor, { key, tokens });
  }

  find(prefix: string, tokens: readonly number[]): BeforeEdit | undefined {
    for (const anchor of anchorsOf(prefix, tokens)) {
      const old = this.#chunks.get(anchor);
      if (!old) continue;
      const shorter = Math.min(old.tokens.length, tokens.length);
      const head = commonPrefix(old.tokens, tokens);
      let tail = 0;
      while (tail < shorter - head && old.tokens.at(-1 - tail) === tokens.at(-1 - tail)) tail++;
      if (head + tail >= LEAST * tokens.length) return { ...old, head, tail };
    }
    return undefined;
  }
}

function anchorsOf(prefix: string, tokens: readonly number[]): string[] {
  if (tokens.length < 2 * ANCHOR) return [];
  return [`${prefix} < ${tokens.slice(0, ANCHOR).join()}`, `${prefix} > ${tokens.slice(-ANCHOR).join()}`];
}

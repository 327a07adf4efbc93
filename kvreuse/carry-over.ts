import type { TokensKv } from '../models/decoder/kv-slots.js';
import type { ChunkKv } from './chunk-kv.js';

/**
 * Moves the rows of a chunk that were not computed anew by `share` of what those that were have changed by, a mean of each
 * number of each head: what the chunks before it do to a chunk they do to most of its rows alike.
 * @param old as the cache has it
 * @param now as it stands in the prompt; changed in place
 * @param isAnew a row each
 */
export function carryOver(
  { dims: { layers, kvHeads, headSize }, tokens, ...old }: ChunkKv,
  now: TokensKv,
  isAnew: readonly boolean[],
  share: number,
): void {
  const count = isAnew.filter(Boolean).length;
  if (count === 0 || count === tokens) return;
  const mean = new Float64Array(headSize);
  for (const name of ['keys', 'values'] as const) {
    const [before, after] = [old[name], now[name]];
    for (let head = 0; head < layers * kvHeads; head++) {
      const start = head * tokens * headSize;
      mean.fill(0);
      for (let row = 0, at = start; row < tokens; row++, at += headSize)
        if (isAnew[row]) for (let i = 0; i < headSize; i++) mean[i]! += after[at + i]! - before[at + i]!;
      for (let i = 0; i < headSize; i++) mean[i]! *= share / count;
      for (let row = 0, at = start; row < tokens; row++, at += headSize)
        if (!isAnew[row]) for (let i = 0; i < headSize; i++) after[at + i]! += mean[i]!;
    }
  }
}

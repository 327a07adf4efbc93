import type { LayerRange } from './engine.js';
import type { TokensKv } from './kv-slots.js';
import type { DecoderShape } from './shape.js';

/**
 * Moves rows of known tokens, those that were not computed anew, as `Slots.carry` has it.
 * @param old as a cache has the tokens
 * @param now as they are in a prompt, keys not rotated; changed in place
 */
export function carryOver(
  { kvHeads, headSize }: DecoderShape,
  old: TokensKv,
  now: TokensKv,
  isAnew: readonly boolean[],
  share: number,
  { from, to }: LayerRange,
): void {
  const { tokens } = old;
  const count = isAnew.filter(Boolean).length;
  if (count === 0) return;
  const mean = new Float64Array(headSize);
  for (const name of ['keys', 'values'] as const) {
    const [before, after] = [old[name], now[name]];
    for (let head = from * kvHeads; head < to * kvHeads; head++) {
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

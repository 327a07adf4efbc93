import type { LayerRange } from './engine.js';
import type { CarryShares, TokensKv } from './kv-slots.js';
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
  shares: CarryShares,
  { from, to }: LayerRange,
): void {
  const rows = carriedRows(isAnew, headSize);
  if (rows.anew.length === 0) return;
  const size = old.tokens * headSize;
  for (const name of ['keys', 'values'] as const)
    for (let at = from * kvHeads * size; at < to * kvHeads * size; at += size)
      carryRows(old[name].subarray(at, at + size), now[name].subarray(at, at + size), rows, shares[name]);
}

/** Which rows of a head are moved, and by which. */
export interface CarriedRows {
  readonly anew: Int32Array;
  readonly others: Int32Array;
  readonly headSize: number;
}

export function carriedRows(isAnew: readonly boolean[], headSize: number): CarriedRows {
  const rows = [...isAnew.keys()];
  return {
    anew: Int32Array.from(rows.filter((row) => isAnew[row])),
    others: Int32Array.from(rows.filter((row) => !isAnew[row])),
    headSize,
  };
}

/** Of one head, [rows, headSize], not rotated. Plain loops: they are over all that a prompt has, for each answer. */
export function carryRows(
  old: Float32Array,
  now: Float32Array,
  { anew, others, headSize }: CarriedRows,
  share: number,
): void {
  const mean = new Float64Array(headSize);
  for (const row of anew)
    for (let i = 0, at = row * headSize; i < headSize; i++, at++) mean[i]! += now[at]! - old[at]!;
  for (let i = 0; i < headSize; i++) mean[i]! *= share / anew.length;
  for (let n = 0; n < others.length; n++)
    for (let i = 0, at = others[n]! * headSize; i < headSize; i++, at++) now[at]! += mean[i]!;
}

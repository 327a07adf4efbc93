import { HIDDEN } from '../models/decoder/attention-mask.js';
import type { Slots } from '../models/decoder/kv-slots.js';

/**
 * What rows see: slots that `seesSlot` says, and of the rows beside them those that `seesRow` says; themselves always.
 * [rows, capacity + rows], 0 or HIDDEN.
 */
export function rowMask(
  rows: number,
  { capacity, length }: Slots,
  seesSlot: (row: number, slot: number) => boolean,
  seesRow: (row: number, other: number) => boolean,
): Float32Array {
  const total = capacity + rows;
  const mask = new Float32Array(rows * total).fill(HIDDEN);
  for (let row = 0, at = 0; row < rows; row++, at += total) {
    for (let slot = 0; slot < length; slot++) if (seesSlot(row, slot)) mask[at + slot] = 0;
    for (let other = 0; other <= row; other++)
      if (other === row || seesRow(row, other)) mask[at + capacity + other] = 0;
  }
  return mask;
}

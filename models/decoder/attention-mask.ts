import type { Slots } from './kv-slots.js';

/** What hides a slot from a row in the mask; an infinite one would make NaN of a row that sees nothing. */
export const HIDDEN = -1e9;

/** [rows, capacity + rows]: each row sees all slots in use, itself, and the rows before it. */
export function causalMask({ length, capacity }: Slots, rows: number): Float32Array {
  const mask = new Float32Array(rows * (capacity + rows));
  for (let row = 0, at = 0; row < rows; row++, at += capacity + rows) {
    mask.fill(HIDDEN, at + length, at + capacity);
    mask.fill(HIDDEN, at + capacity + row + 1, at + capacity + rows);
  }
  return mask;
}

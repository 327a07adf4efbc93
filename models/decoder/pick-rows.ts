/** Rows of a matrix of numbers, row-major. */
export function pickRows(numbers: Float32Array, width: number, rows: ArrayLike<number>): Float32Array {
  const out = new Float32Array(rows.length * width);
  for (let i = 0; i < rows.length; i++)
    out.set(numbers.subarray(rows[i]! * width, (rows[i]! + 1) * width), i * width);
  return out;
}

const ITERATIONS = 3;

/**
 * Columns, orthonormal, that span most of the rows of a matrix: `rank` steps of power iteration at once, each
 * `B = orthonormal(MᵀM B)`. A column is 0 where the matrix has a lower rank.
 * @param matrix [rows, width]
 * @returns [rank, width]
 */
export function rightFactor(matrix: Float32Array, width: number, rank: number): Float64Array {
  // Any start that is not at right angles to what is sought; the same each time, as bytes are to be the same.
  let right: Float64Array = Float64Array.from({ length: rank * width }, (_, at) => Math.sin(1 + at * at));
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    const left = leftFactor(matrix, right, width);
    const rows = matrix.length / width;
    const next = new Float64Array(rank * width);
    for (let column = 0; column < rank; column++)
      for (let row = 0, at = 0; row < rows; row++) {
        const factor = left[column * rows + row]!;
        for (let i = column * width; i < (column + 1) * width; i++, at++) next[i]! += factor * matrix[at]!;
      }
    right = orthonormal(next, width);
  }
  return right;
}

/**
 * `A = M B`, so that `A Bᵀ` is the nearest to M of those made with B.
 * @param matrix [rows, width]
 * @param right [rank, width]
 * @returns [rank, rows]
 */
export function leftFactor(matrix: Float32Array, right: Float64Array, width: number): Float64Array {
  const rows = matrix.length / width;
  const left = new Float64Array((right.length / width) * rows);
  for (let to = 0, start = 0; start < right.length; start += width)
    for (let at = 0; at < matrix.length; to++) {
      let sum = 0;
      for (let i = start; i < start + width; i++, at++) sum += matrix[at]! * right[i]!;
      left[to] = sum;
    }
  return left;
}

/** Gram and Schmidt's way, a column of `columns` after the other, in place. */
function orthonormal(columns: Float64Array, width: number): Float64Array {
  for (let start = 0; start < columns.length; start += width) {
    const column = columns.subarray(start, start + width);
    const before = Math.hypot(...column);
    for (let other = 0; other < start; other += width) {
      const earlier = columns.subarray(other, other + width);
      const along = column.reduce((sum, x, i) => sum + x * earlier[i]!, 0);
      column.forEach((x, i) => (column[i] = x - along * earlier[i]!));
    }
    const length = Math.hypot(...column);
    // What is left of a column that the earlier ones make up is rounding.
    const by = length > 1e-9 * before ? 1 / length : 0;
    column.forEach((x, i) => (column[i] = x * by));
  }
  return columns;
}

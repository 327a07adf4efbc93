/** A matrix in the model's file, read when wanted. */
export interface Matrix {
  readonly outputs: number;
  readonly inputs: number;
  /** Row-major [outputs, inputs]. */
  read(): Float32Array;
  /** The same where the file has it so: levels, of which 128 is 0, and a scale each 32 of them. */
  readBlocks?(levels: Uint8Array, scales: Float32Array): void;
  /**
   * The same, each input times its factor, as columns `first` to `first + outputs` of a matrix [inputs, columns],
   * rounded to 8 bits, a scale each.
   */
  readColumns?(levels: Int8Array, scales: Float32Array, first: number, factors: Float32Array): void;
}

/** A matrix in the model's file, read when wanted. */
export interface Matrix {
  readonly outputs: number;
  readonly inputs: number;
  /** Row-major [outputs, inputs]. */
  readonly read: () => Float32Array;
  /** The same where the file has it so, into as many bytes: ggml's Q8_0, a scale and 32 levels a block. */
  readonly readQ8?: (into: Uint8Array) => void;
}

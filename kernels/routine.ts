import type { Gpu } from './gpu.js';

/** A computation with its two ways. The CPU's is the reference: plain, in double precision where sums are. */
export interface Routine<Input, Output> {
  readonly name: string;
  /** @throws KernelError of the input */
  cpu(input: Input): Output;
  /**
   * The same on arrays that go there and come back. What is on the GPU already goes through the function beside it that
   * is named `encode…`, with no copy.
   * @throws KernelError
   */
  gpu(gpu: Gpu, input: Input): Promise<Output>;
}

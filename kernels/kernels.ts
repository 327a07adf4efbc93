import { Gpu, type GpuOptions } from './gpu.js';
import { KernelError } from './kernel-error.js';
import type { Routine } from './routine.js';

export interface KernelsOptions extends GpuOptions {
  /** `auto`: the GPU where there is one that is no software; `gpu`: that too. Default `auto`. */
  readonly device?: 'auto' | 'cpu' | 'gpu';
}

/** A result, and where it was computed. */
export interface RoutineResult<Output> {
  readonly output: Output;
  readonly device: 'cpu' | 'gpu';
  /** Why not on the GPU; undefined where it was, or was not asked for. */
  readonly reason: KernelError | undefined;
}

/**
 * Routines where they can be run: on the GPU, and where that fails on the CPU. A device that is lost is not asked again.
 */
export class Kernels {
  readonly #gpu: Gpu | undefined;
  readonly #absent: KernelError | undefined;

  private constructor(gpu: Gpu | undefined, absent?: KernelError) {
    this.#gpu = gpu;
    this.#absent = absent;
  }

  /** Never fails for want of a GPU: `reason` of a result tells. */
  static async open({ device = 'auto', ...options }: KernelsOptions = {}): Promise<Kernels> {
    if (device === 'cpu') return new Kernels(undefined);
    try {
      const gpu = await Gpu.open(options);
      if (device === 'gpu' || !gpu.isSoftware) return new Kernels(gpu);
      gpu.close();
      const message = `${gpu.name} is software, slower than the CPU's own routines; ask for device gpu to use it`;
      return new Kernels(undefined, new KernelError('no-adapter', message));
    } catch (error) {
      if (error instanceof KernelError) return new Kernels(undefined, error);
      throw error;
    }
  }

  get gpu(): Gpu | undefined {
    return this.#gpu?.lost ? undefined : this.#gpu;
  }

  /** @throws KernelError of the input: `sizes`, `not-finite`, `range` */
  async run<Input, Output>(routine: Routine<Input, Output>, input: Input): Promise<RoutineResult<Output>> {
    let reason = this.#absent ?? this.#gpu?.lost;
    if (this.#gpu && !reason) {
      try {
        return { output: await routine.gpu(this.#gpu, input), device: 'gpu', reason: undefined };
      } catch (error) {
        if (!(error instanceof KernelError && error.isOfGpu)) throw error;
        reason = error;
      }
    }
    return { output: routine.cpu(input), device: 'cpu', reason };
  }

  close(): void {
    this.#gpu?.close();
  }
}

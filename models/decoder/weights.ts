import type { Matrix } from './matrix.js';
import type { WeightFile } from './weight-file.js';

/** The tensors of a model, in whichever of its files each stands. */
export class Weights {
  readonly #files: readonly [WeightFile, ...WeightFile[]];

  private constructor(files: readonly [WeightFile, ...WeightFile[]]) {
    this.#files = files;
  }

  /** @throws what opening a file throws; those that are open are closed then */
  static async open(opening: readonly Promise<WeightFile>[]): Promise<Weights> {
    const opened = await Promise.allSettled(opening);
    const files = opened.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
    const failed = opened.find((each) => each.status === 'rejected');
    if (failed) {
      await Promise.all(files.map((file) => file.close()));
      throw failed.reason;
    }
    return new Weights(files as [WeightFile, ...WeightFile[]]);
  }

  has(name: string): boolean {
    return this.#files.some((file) => file.has(name));
  }

  /** @throws as those of WeightFile */
  dims(name: string): readonly number[] {
    return this.#fileOf(name).dims(name);
  }

  matrix(name: string, outputs: number, inputs: number): Matrix {
    return this.#fileOf(name).matrix(name, outputs, inputs);
  }

  vector(name: string, length: number): Float32Array {
    return this.#fileOf(name).vector(name, length);
  }

  async close(): Promise<void> {
    await Promise.all(this.#files.map((file) => file.close()));
  }

  /** Where none has it, the first, which says so. */
  #fileOf(name: string): WeightFile {
    return this.#files.find((file) => file.has(name)) ?? this.#files[0];
  }
}

/**
 * Of the input, the same on any device:
 * - `sizes`: an array is not as long as the sizes ask for, or the sizes are none that a routine takes
 * - `not-finite`: a number that is to be stored is NaN or infinite
 * - `range`: a number is too large for the format
 *
 * Of the GPU, so that the CPU is left to answer:
 * - `no-adapter`: there is no GPU, or nothing to reach it through
 * - `limits`: the input is larger than what the adapter binds or holds
 * - `shader`: a shader does not compile there
 * - `memory`: the GPU has not as much memory
 * - `lost`: the device went away
 * - `gpu`: it refused a command
 */
export type KernelErrorCode =
  'sizes' | 'not-finite' | 'range' | 'no-adapter' | 'limits' | 'shader' | 'memory' | 'lost' | 'gpu';

const OF_INPUT: readonly KernelErrorCode[] = ['sizes', 'not-finite', 'range'];

/** A routine that cannot be run. */
export class KernelError extends Error {
  override readonly name = 'KernelError';

  constructor(
    readonly code: KernelErrorCode,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** Whether the CPU can answer where this was thrown. */
  get isOfGpu(): boolean {
    return !OF_INPUT.includes(this.code);
  }
}

/** @throws KernelError `sizes` where an array has not as many numbers as its dimensions ask for */
export function checkLength(
  name: string,
  array: ArrayLike<unknown>,
  dims: Readonly<Record<string, number>>,
): void {
  const sizes = Object.entries(dims);
  const odd = sizes.find(([, size]) => !Number.isSafeInteger(size) || size < 0);
  if (odd) throw new KernelError('sizes', `${odd[0]} is ${odd[1]}; it is a whole number from 0`);
  const wanted = sizes.reduce((product, [, size]) => product * size, 1);
  if (array.length !== wanted)
    throw new KernelError(
      'sizes',
      `${name} has ${array.length} numbers where [${sizes.map(([dim, size]) => `${dim} ${size}`).join(', ')}] has ${wanted}`,
    );
}

/** @throws KernelError `sizes` where a number points past the end */
export function checkIndices(name: string, indices: ArrayLike<number>, end: number): void {
  for (let i = 0; i < indices.length; i++)
    if (!(indices[i]! < end))
      throw new KernelError('sizes', `${name}[${i}] is ${indices[i]!}; there are ${end}`);
}

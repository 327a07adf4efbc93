import type { Commands } from './commands.js';
import type { Gpu, GpuArray } from './gpu.js';
import { KernelError } from './kernel-error.js';

/** Sizes of one layer of a chunk. */
export interface StoredSizes {
  readonly kvHeads: number;
  readonly tokens: number;
  /** Even. */
  readonly headSize: number;
}

/** Keys and values, [kvHeads, tokens, headSize] each. */
export interface LayerNumbers {
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** A layer as a codec stores it. */
export interface DequantiseInput extends StoredSizes {
  readonly bytes: Uint8Array;
}

export interface DequantiseArrays {
  readonly stored: GpuArray;
  readonly keys: GpuArray;
  readonly values: GpuArray;
}

/** Takes a stored layer to a GPU, and brings back what a routine makes of it there. @throws KernelError */
export async function decodedOn<Input extends DequantiseInput>(
  gpu: Gpu,
  input: Input,
  encode: (commands: Commands, arrays: DequantiseArrays, input: Input) => void,
): Promise<LayerNumbers> {
  const commands = gpu.begin();
  const bytes = 4 * input.kvHeads * input.tokens * input.headSize;
  const [keys, values] = [commands.array(bytes), commands.array(bytes)];
  encode(commands, { stored: commands.upload(input.bytes), keys, values }, input);
  const [a, b] = await commands.read(keys, values);
  return { keys: new Float32Array(a!), values: new Float32Array(b!) };
}

/** WGSL that reads single bytes of `stored`, and what stands in them. */
export const READ_STORED = `
fn byte_at(place: u32) -> u32 { return (stored[place / 4u] >> (8u * (place % 4u))) & 255u; }
fn int8_at(place: u32) -> f32 { return f32(bitcast<i32>(byte_at(place) << 24u) >> 24u); }
fn float_at(place: u32) -> f32 {
  return bitcast<f32>(byte_at(place) | (byte_at(place + 1u) << 8u) | (byte_at(place + 2u) << 16u) | (byte_at(place + 3u) << 24u));
}
// A float16 by its bits: what unpacks it may take the smallest for 0.
fn half_of(half: u32) -> f32 {
  let exponent = (half >> 10u) & 31u;
  let fraction = half & 1023u;
  var size = bitcast<f32>(((exponent + 112u) << 23u) | (fraction << 13u));
  if (exponent == 0u) { size = f32(fraction) * 0x1p-24; }
  if (exponent == 31u) { size = bitcast<f32>(0x7f800000u | (fraction << 13u)); }
  return select(size, -size, (half & 0x8000u) != 0u);
}
fn half_at(place: u32) -> f32 { return half_of(byte_at(place) | (byte_at(place + 1u) << 8u)); }
// Sixteenths of an octave below 1; 255 is 0.
fn size_of(code: u32) -> f32 { return select(exp2(-f32(code) / 16.0), 0.0, code == 255u); }`;

/** What `size_of` is. */
export function sizeOfCode(code: number): number {
  return code === 255 ? 0 : 2 ** (-code / 16);
}

/** @throws KernelError `sizes` */
export function checkStored(bytes: Uint8Array, sizes: StoredSizes, wanted: number): void {
  checkSizes(sizes);
  if (bytes.length !== wanted)
    throw new KernelError('sizes', `${bytes.length} bytes where a layer of these sizes has ${wanted}`);
}

/** @throws KernelError `sizes` */
export function checkSizes({ kvHeads, tokens, headSize }: StoredSizes): void {
  const isWhole = [kvHeads, tokens, headSize].every((size) => Number.isSafeInteger(size) && size >= 1);
  if (!isWhole || headSize % 2 !== 0)
    throw new KernelError(
      'sizes',
      `a layer of ${kvHeads} heads, ${tokens} tokens and ${headSize} numbers a head; give 1 or more of each, and heads of an even size`,
    );
}

import type { Gpu, GpuArray } from './gpu.js';
import type { Commands } from './commands.js';
import { LARGEST_HALF, nearestHalf } from './half.js';
import { checkLength, KernelError } from './kernel-error.js';
import type { Routine } from './routine.js';
import { checkSizes, type LayerNumbers, type StoredSizes } from './stored-layer.js';
import { groupsFor, INVOCATION, IS_STRANGE, PLACE, WIDTH } from './wgsl.js';

export interface QuantiseInput extends StoredSizes, LayerNumbers {}

/**
 * A layer as float16, keys, then values, each number rounded to the nearest, of two as near to the even one (kvreuse,
 * codec `float16`, byte for byte). Rounded in the bits: `pack2x16float` may round as it likes.
 * @throws KernelError `not-finite`; `range` for a number above 65,504
 */
export const quantiseFloat16: Routine<QuantiseInput, Uint8Array> = {
  name: 'quantise-float16',
  cpu(input) {
    checkLayer(input);
    const numbers = [input.keys, input.values].flatMap((part) => [...part]);
    fail(Math.max(...numbers.map(faultOf)));
    const bits = new Uint32Array(Float32Array.from(numbers).buffer);
    return new Uint8Array(Uint16Array.from(bits, nearestHalf).buffer);
  },
  async gpu(gpu: Gpu, input) {
    checkLayer(input);
    const commands = gpu.begin();
    const bytes = 4 * input.keys.length;
    const stored = commands.array(bytes);
    const fault = commands.upload(Uint32Array.of(NONE));
    encodeQuantiseFloat16(
      commands,
      { keys: commands.upload(input.keys), values: commands.upload(input.values), stored, fault },
      input,
    );
    const [out, flag] = await commands.read(stored, fault);
    fail(new Uint32Array(flag!)[0]!);
    return new Uint8Array(out!, 0, bytes);
  },
};

/** @param arrays `fault` is 0 before, and after: 1 where a number was too large, 2 where one was none */
export function encodeQuantiseFloat16(
  commands: Commands,
  { keys, values, stored, fault }: Readonly<Record<'keys' | 'values' | 'stored' | 'fault', GpuArray>>,
  { kvHeads, tokens, headSize }: StoredSizes,
): void {
  const all = kvHeads * tokens * headSize;
  commands.dispatch(PROGRAM, [keys, values, stored, fault], groupsFor(all), { u32: [all] });
}

const PROGRAM = {
  name: 'quantise-float16',
  wgsl: `
struct Sizes { all: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> keys: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> stored: array<u32>;
@group(0) @binding(4) var<storage, read_write> fault: atomic<u32>;
${IS_STRANGE}
fn nearest_half(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (is_strange(x)) { atomicMax(&fault, 2u); } else if (size > ${new Uint32Array(Float32Array.of(LARGEST_HALF).buffer)[0]!}u) { atomicMax(&fault, 1u); }
  if (size >= 0x38800000u) { return sign | ((size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u); }
  return sign | (bitcast<u32>(bitcast<f32>(size) + 0.5) - 0x3f000000u);
}

// An invocation a word of the result: the first half of them are keys.
@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  if (at >= sizes.all) { return; }
  let first = 2u * at;
  if (first < sizes.all) { stored[at] = nearest_half(keys[first]) | (nearest_half(keys[first + 1u]) << 16u); }
  else { stored[at] = nearest_half(values[first - sizes.all]) | (nearest_half(values[first + 1u - sizes.all]) << 16u); }
}`,
};

const [NONE, TOO_LARGE, STRANGE] = [0, 1, 2];

function faultOf(x: number): number {
  return Number.isFinite(x) ? (Math.abs(x) > LARGEST_HALF ? TOO_LARGE : NONE) : STRANGE;
}

function fail(fault: number): void {
  if (fault === TOO_LARGE)
    throw new KernelError('range', `a number is above ${LARGEST_HALF}, the largest of float16`);
  if (fault === STRANGE) throw new KernelError('not-finite', 'a key or value is NaN or infinite');
}

/** @throws KernelError `sizes` */
export function checkLayer({ kvHeads, tokens, headSize, keys, values }: QuantiseInput): void {
  checkSizes({ kvHeads, tokens, headSize });
  checkLength('keys', keys, { kvHeads, tokens, headSize });
  checkLength('values', values, { kvHeads, tokens, headSize });
}

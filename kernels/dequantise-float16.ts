import type { Commands } from './commands.js';
import { HALVES } from './half.js';
import type { Routine } from './routine.js';
import {
  checkStored,
  decodedOn,
  READ_STORED,
  type DequantiseArrays,
  type DequantiseInput,
  type LayerNumbers,
  type StoredSizes,
} from './stored-layer.js';
import { groupsFor, INVOCATION, PLACE, WIDTH } from './wgsl.js';

/** A layer that is stored as float16: keys, then values (kvreuse, codec `float16`). Exact. */
export const dequantiseFloat16: Routine<DequantiseInput, LayerNumbers> = {
  name: 'dequantise-float16',
  cpu(input) {
    check(input);
    const { bytes } = input;
    const numbers = Float32Array.from(
      { length: bytes.length / 2 },
      (_, i) => HALVES[bytes[2 * i]! | (bytes[2 * i + 1]! << 8)]!,
    );
    return { keys: numbers.slice(0, numbers.length / 2), values: numbers.slice(numbers.length / 2) };
  },
  async gpu(gpu, input) {
    check(input);
    return decodedOn(gpu, input, encodeDequantiseFloat16);
  },
};

export function encodeDequantiseFloat16(
  commands: Commands,
  { stored, keys, values }: DequantiseArrays,
  { kvHeads, tokens, headSize }: StoredSizes,
): void {
  const all = kvHeads * tokens * headSize;
  commands.dispatch(PROGRAM, [stored, keys, values], groupsFor(all), { u32: [all] });
}

const PROGRAM = {
  name: 'dequantise-float16',
  wgsl: `
struct Sizes { all: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> stored: array<u32>;
@group(0) @binding(2) var<storage, read_write> keys: array<f32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;
${READ_STORED}
@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  if (at >= sizes.all) { return; }
  keys[at] = half_at(2u * at);
  values[at] = half_at(2u * (sizes.all + at));
}`,
};

function check({ bytes, ...sizes }: DequantiseInput): void {
  checkStored(bytes, sizes, 4 * sizes.kvHeads * sizes.tokens * sizes.headSize);
}

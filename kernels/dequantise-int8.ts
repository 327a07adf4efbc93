import type { Commands } from './commands.js';
import { HALVES } from './half.js';
import type { Routine } from './routine.js';
import {
  checkStored,
  decodedOn,
  READ_STORED,
  sizeOfCode,
  type DequantiseArrays,
  type DequantiseInput,
  type LayerNumbers,
  type StoredSizes,
} from './stored-layer.js';
import { groupsFor, INVOCATION, PLACE, WIDTH } from './wgsl.js';

/**
 * A layer of 8 bits (kvreuse, codec `int8`). A key is `low + (level + ½) · range / 256`, with the low end and the range
 * of its channel; a value `(level - 127½) · size / 128`, with the size of its token.
 *
 * Layout: units of keys and values, float32 · a head: its channels, low end (float16) and range (a size) of units each;
 * its tokens, a size each · a head: levels of keys, levels of values, [tokens, headSize] each.
 */
export const dequantiseInt8: Routine<DequantiseInput, LayerNumbers> = {
  name: 'dequantise-int8',
  cpu(input) {
    const { bytes, kvHeads, tokens, headSize } = input;
    checkStored(bytes, input, int8Bytes(input));
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const [keyUnit, valueUnit] = [view.getFloat32(0, true), view.getFloat32(4, true)];
    const numbers = tokens * headSize;
    const keys = new Float32Array(kvHeads * numbers);
    const values = new Float32Array(kvHeads * numbers);
    const levels = levelsStart(input);
    for (let at = 0; at < keys.length; at++) {
      const [head, token, channel] = [
        Math.floor(at / numbers),
        Math.floor(at / headSize) % tokens,
        at % headSize,
      ];
      const grid = UNITS + head * (3 * headSize + tokens);
      const from = levels + 2 * head * numbers + (at % numbers);
      const step = (2 * keyUnit * sizeOfCode(bytes[grid + 3 * channel + 2]!)) / 256;
      const low = keyUnit * HALVES[view.getUint16(grid + 3 * channel, true)]!;
      keys[at] = low + step / 2 + bytes[from]! * step;
      const size = valueUnit * sizeOfCode(bytes[grid + 3 * headSize + token]!);
      values[at] = ((bytes[from + numbers]! - 127.5) * size) / 128;
    }
    return { keys, values };
  },
  async gpu(gpu, input) {
    checkStored(input.bytes, input, int8Bytes(input));
    return decodedOn(gpu, input, encodeDequantiseInt8);
  },
};

export function encodeDequantiseInt8(
  commands: Commands,
  { stored, keys, values }: DequantiseArrays,
  sizes: StoredSizes,
): void {
  const { kvHeads, tokens, headSize } = sizes;
  const all = kvHeads * tokens * headSize;
  commands.dispatch(PROGRAM, [stored, keys, values], groupsFor(all), {
    u32: [all, tokens, headSize, levelsStart(sizes)],
  });
}

const UNITS = 8;

/** Where the levels begin. */
export function levelsStart({ kvHeads, tokens, headSize }: StoredSizes): number {
  return UNITS + kvHeads * (3 * headSize + tokens);
}

export function int8Bytes(sizes: StoredSizes): number {
  return levelsStart(sizes) + 2 * sizes.kvHeads * sizes.tokens * sizes.headSize;
}

const PROGRAM = {
  name: 'dequantise-int8',
  wgsl: `
struct Sizes { all: u32, tokens: u32, head_size: u32, levels: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> stored: array<u32>;
@group(0) @binding(2) var<storage, read_write> keys: array<f32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;
${READ_STORED}
@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  if (at >= sizes.all) { return; }
  let numbers = sizes.tokens * sizes.head_size;
  let head = at / numbers;
  let token = (at / sizes.head_size) % sizes.tokens;
  let channel = at % sizes.head_size;
  let grid = ${UNITS}u + head * (3u * sizes.head_size + sizes.tokens);
  let level = sizes.levels + 2u * head * numbers + at % numbers;
  let key_unit = float_at(0u);
  let step = 2.0 * key_unit * size_of(byte_at(grid + 3u * channel + 2u)) / 256.0;
  keys[at] = key_unit * half_at(grid + 3u * channel) + (f32(byte_at(level)) + 0.5) * step;
  let size = float_at(4u) * size_of(byte_at(grid + 3u * sizes.head_size + token));
  values[at] = (f32(byte_at(level + numbers)) - 127.5) * size / 128.0;
}`,
};

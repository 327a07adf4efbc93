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

/** What follows the 4 bits of every number: nothing; 4 more of salient tokens; of all; or outliers and factors. */
export type Int4Format = 'int4' | 'int4-mixed' | 'bit-planes' | 'gear';

export interface DequantiseInt4Input extends DequantiseInput {
  readonly format: Int4Format;
}

/**
 * A layer of 4 bits, and the codecs that add to it (kvreuse, codecs `int4`, `int4-mixed`, `bit-planes`, `gear`). A key
 * is `low + (level + ½) · range / 16`, with those of its channel. A value is its channel's size times
 * `low + (level + ½) · range / 16`, with the range of its token, and the share of it that is below 0.
 *
 * Layout: units of keys and values, float32 · a head: its channels, low end (float16) and range (a size) of keys; sizes
 * of values' channels; its tokens, range (a size) and share (of 255) · a head: upper 4 bits of keys, of values.
 * `int4-mixed`: a bit a token, 1 = salient · lower 4 bits of those tokens, likewise. `bit-planes`: lower 4 bits of all.
 * `gear`: units, float32 · a head's keys, a head's values: outliers, a place in their line and a float16 each; two
 * factors, a scale (float32) and 8 bits a token and a channel each.
 *
 * All decode on a GPU, each number by itself: it counts salient tokens before its own, and looks through the outliers of
 * its line. Only `float16` and `int8` are also encoded there: the others want tokens sorted by salience, numbers sorted
 * within lines, and power iterations one after the other, once a chunk and on nobody's way.
 */
export const dequantiseInt4: Routine<DequantiseInt4Input, LayerNumbers> = {
  name: 'dequantise-int4',
  cpu(input) {
    const { bytes, format, kvHeads, tokens, headSize } = input;
    const places = placesOf(format, input);
    checkStored(bytes, input, places.bytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    const numbers = tokens * headSize;
    const out = { keys: new Float32Array(kvHeads * numbers), values: new Float32Array(kvHeads * numbers) };
    const nibble = (plane: number, number: number) =>
      (bytes[plane + (number >> 1)]! >> (4 * (number & 1))) & 15;
    const isSalient = (token: number) => (bytes[places.bits + (token >> 3)]! >> (token & 7)) & 1;
    for (let at = 0; at < kvHeads * numbers; at++) {
      const [head, token, channel] = [
        Math.floor(at / numbers),
        Math.floor(at / headSize) % tokens,
        at % headSize,
      ];
      const grid = UNITS + head * gridBytes(input);
      const ofTokens = grid + 4 * headSize + 2 * token;
      const keyUnit = view.getFloat32(0, true);
      const range = 2 * keyUnit * sizeOfCode(bytes[grid + 3 * channel + 2]!);
      const low = keyUnit * HALVES[view.getUint16(grid + 3 * channel, true)]!;
      const valueRange = 4 * view.getFloat32(4, true) * sizeOfCode(bytes[ofTokens]!);
      const valueLow = (-valueRange * bytes[ofTokens + 1]!) / 255;
      const size = sizeOfCode(bytes[grid + 3 * headSize + channel]!);
      let [key, value] = [
        low + ((nibble(places.upper + head * numbers, at % numbers) + 0.5) * range) / 16,
        (valueLow +
          ((nibble(places.upper + head * numbers, numbers + (at % numbers)) + 0.5) * valueRange) / 16) *
          size,
      ];
      const refine = (row: number, rows: number) => {
        const number = row * headSize + channel;
        const plane = places.lower + head * rows * headSize;
        key += ((nibble(plane, number) - 7.5) * range) / 256;
        value += ((nibble(plane, rows * headSize + number) - 7.5) * valueRange * size) / 256;
      };
      if (format === 'bit-planes') refine(token, tokens);
      if (format === 'int4-mixed' && isSalient(token)) {
        let before = 0;
        for (let other = 0; other < token; other++) before += isSalient(other);
        refine(before, salientTokens(tokens));
      }
      if (format === 'gear') {
        const { keyOutliers, valueOutliers, factors } = places;
        const start = places.upper + kvHeads * numbers;
        const part = start + UNITS + head * (keyOutliers.bytes + valueOutliers.bytes + 2 * factors);
        const fixed = (x: number, from: number, of: Outliers, line: number, place: number, unit: number) => {
          let y = x;
          for (let column = 0, f = from + of.bytes; column < RANK; column++, f += 4 + tokens + headSize)
            y +=
              view.getFloat32(f, true) * view.getInt8(f + 4 + token) * view.getInt8(f + 4 + tokens + channel);
          for (let i = 0, o = from + line * of.count * (of.width + 2); i < of.count; i++, o += of.width + 2) {
            let there = 0;
            for (let byte = 0; byte < of.width; byte++) there += bytes[o + byte]! * 256 ** byte;
            if (there === place) y = unit * HALVES[view.getUint16(o + of.width, true)]!;
          }
          return y;
        };
        key = fixed(key, part, keyOutliers, channel, token, view.getFloat32(start, true));
        const ofValues = part + keyOutliers.bytes + factors;
        value = fixed(value, ofValues, valueOutliers, token, channel, view.getFloat32(start + 4, true));
      }
      out.keys[at] = key;
      out.values[at] = value;
    }
    return out;
  },
  async gpu(gpu, input) {
    checkStored(input.bytes, input, placesOf(input.format, input).bytes);
    return decodedOn(gpu, input, encodeDequantiseInt4);
  },
};

export function encodeDequantiseInt4(
  commands: Commands,
  { stored, keys, values }: DequantiseArrays,
  input: StoredSizes & { readonly format: Int4Format },
): void {
  const { kvHeads, tokens, headSize, format } = input;
  const all = kvHeads * tokens * headSize;
  const { upper, bits, lower, keyOutliers, valueOutliers } = placesOf(format, input);
  const u32 = [all, tokens, headSize, upper, bits, lower, salientTokens(tokens), kvHeads];
  u32.push(keyOutliers.count, keyOutliers.width, valueOutliers.count, valueOutliers.width);
  commands.dispatch(
    { name: `dequantise-${format}`, wgsl: wgslOf(format) },
    [stored, keys, values],
    groupsFor(all),
    {
      u32,
    },
  );
}

const UNITS = 8;
const SALIENT = 0.25;
const RANK = 2;
const OUTLIERS = 0.01;

function gridBytes({ tokens, headSize }: StoredSizes): number {
  return 4 * headSize + 2 * tokens;
}

function salientTokens(tokens: number): number {
  return Math.floor(SALIENT * tokens);
}

/** Of a head's keys, whose lines are channels, or values, whose lines are tokens. */
interface Outliers {
  /** Of a line. */
  readonly count: number;
  /** Bytes of a place. */
  readonly width: number;
  /** Of all lines. */
  readonly bytes: number;
}

function outliersOf(lines: number, length: number): Outliers {
  const count = 2 * Math.min(length >> 1, Math.max(1, Math.round(OUTLIERS * length)));
  const width = length <= 2 ** 8 ? 1 : length <= 2 ** 16 ? 2 : 4;
  return { count, width, bytes: lines * count * (width + 2) };
}

/** Where things stand, in bytes. */
function placesOf(format: Int4Format, sizes: StoredSizes) {
  const { kvHeads, tokens, headSize } = sizes;
  const upper = UNITS + kvHeads * gridBytes(sizes);
  const bits = upper + kvHeads * tokens * headSize;
  const lower = format === 'int4-mixed' ? bits + Math.ceil(tokens / 8) : bits;
  const keyOutliers = outliersOf(headSize, tokens);
  const valueOutliers = outliersOf(tokens, headSize);
  const factors = RANK * (4 + tokens + headSize);
  const more = {
    int4: 0,
    'int4-mixed': kvHeads * salientTokens(tokens) * headSize,
    'bit-planes': kvHeads * tokens * headSize,
    gear: UNITS + kvHeads * (keyOutliers.bytes + valueOutliers.bytes + 2 * factors),
  };
  return { upper, bits, lower, keyOutliers, valueOutliers, factors, bytes: lower + more[format] };
}

const REFINE = `
    let plane = sizes.lower + head * rows * sizes.head_size;
    key += (nibble_at(plane, row * sizes.head_size + channel) - 7.5) * range / 256.0;
    value += (nibble_at(plane, (rows + row) * sizes.head_size + channel) - 7.5) * value_range * size / 256.0;`;

const MORE: Readonly<Record<Int4Format, string>> = {
  int4: '',
  'bit-planes': `
  {
    let row = token;
    let rows = sizes.tokens;${REFINE}
  }`,
  'int4-mixed': `
  if (((byte_at(sizes.bits + token / 8u) >> (token % 8u)) & 1u) == 1u) {
    var row = countOneBits(byte_at(sizes.bits + token / 8u) & ((1u << (token % 8u)) - 1u));
    for (var i = 0u; i < token / 8u; i++) { row += countOneBits(byte_at(sizes.bits + i)); }
    let rows = sizes.salient;${REFINE}
  }`,
  gear: `
  {
    let factors = ${RANK}u * (4u + sizes.tokens + sizes.head_size);
    let of_keys = sizes.head_size * sizes.key_outliers * (sizes.key_width + 2u);
    let of_values = sizes.tokens * sizes.value_outliers * (sizes.value_width + 2u);
    let part = sizes.bits + ${UNITS}u + head * (of_keys + of_values + 2u * factors);
    key += lost_at(part + of_keys, token, channel);
    value += lost_at(part + of_keys + factors + of_values, token, channel);
    let key_line = part + channel * sizes.key_outliers * (sizes.key_width + 2u);
    let key_place = outlier_at(key_line, sizes.key_outliers, sizes.key_width, token);
    if (key_place != 0u) { key = float_at(sizes.bits) * half_at(key_place); }
    let value_line = part + of_keys + factors + token * sizes.value_outliers * (sizes.value_width + 2u);
    let value_place = outlier_at(value_line, sizes.value_outliers, sizes.value_width, channel);
    if (value_place != 0u) { value = float_at(sizes.bits + 4u) * half_at(value_place); }
  }`,
};

const GEAR = `
fn lost_at(start: u32, token: u32, channel: u32) -> f32 {
  var sum = 0.0;
  var at = start;
  for (var column = 0u; column < ${RANK}u; column++) {
    sum += float_at(at) * int8_at(at + 4u + token) * int8_at(at + 4u + sizes.tokens + channel);
    at += 4u + sizes.tokens + sizes.head_size;
  }
  return sum;
}
// Where the float16 of an outlier stands; 0 for a number that is none.
fn outlier_at(line: u32, count: u32, width: u32, place: u32) -> u32 {
  var found = 0u;
  for (var i = 0u; i < count; i++) {
    let at = line + i * (width + 2u);
    var there = 0u;
    for (var b = 0u; b < width; b++) { there |= byte_at(at + b) << (8u * b); }
    if (there == place) { found = at + width; }
  }
  return found;
}`;

function wgslOf(format: Int4Format): string {
  return `
struct Sizes {
  all: u32, tokens: u32, head_size: u32, upper: u32, bits: u32, lower: u32, salient: u32, heads: u32,
  key_outliers: u32, key_width: u32, value_outliers: u32, value_width: u32
}
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> stored: array<u32>;
@group(0) @binding(2) var<storage, read_write> keys: array<f32>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;
${READ_STORED}
fn nibble_at(plane: u32, number: u32) -> f32 {
  return f32((byte_at(plane + number / 2u) >> (4u * (number % 2u))) & 15u);
}${format === 'gear' ? GEAR : ''}

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  if (at >= sizes.all) { return; }
  let numbers = sizes.tokens * sizes.head_size;
  let head = at / numbers;
  let token = (at / sizes.head_size) % sizes.tokens;
  let channel = at % sizes.head_size;
  let grid = ${UNITS}u + head * (4u * sizes.head_size + 2u * sizes.tokens);
  let of_token = grid + 4u * sizes.head_size + 2u * token;
  let key_unit = float_at(0u);
  let range = 2.0 * key_unit * size_of(byte_at(grid + 3u * channel + 2u));
  let value_range = 4.0 * float_at(4u) * size_of(byte_at(of_token));
  let size = size_of(byte_at(grid + 3u * sizes.head_size + channel));
  let plane = sizes.upper + head * numbers;
  var key = key_unit * half_at(grid + 3u * channel) + (nibble_at(plane, at % numbers) + 0.5) * range / 16.0;
  let low = -value_range * f32(byte_at(of_token + 1u)) / 255.0;
  var value = (low + (nibble_at(plane, numbers + at % numbers) + 0.5) * value_range / 16.0) * size;${MORE[format]}
  keys[at] = key;
  values[at] = value;
}`;
}

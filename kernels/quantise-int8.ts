import type { Commands } from './commands.js';
import { int8Bytes, levelsStart } from './dequantise-int8.js';
import type { Gpu, GpuArray, Program } from './gpu.js';
import { halfBelow, HALVES } from './half.js';
import { KernelError } from './kernel-error.js';
import { checkLayer, type QuantiseInput } from './quantise-float16.js';
import type { Routine } from './routine.js';
import { READ_STORED, sizeOfCode, type StoredSizes } from './stored-layer.js';
import { groupsFor, INVOCATION, IS_STRANGE, PLACE, reductions, WIDTH } from './wgsl.js';

/**
 * A layer as 8 bits, in the layout of `dequantiseInt8` (kvreuse, codec `int8`): a grid a channel of keys over all tokens,
 * a size a token of values (Liu et al. 2024, KIVI). On a GPU a logarithm that falls between two sizes may fall to the
 * other side, and a number between two levels too: a byte may be off by one, and what is read from it by a step.
 * @throws KernelError `not-finite`
 */
export const quantiseInt8: Routine<QuantiseInput, Uint8Array> = {
  name: 'quantise-int8',
  cpu(input) {
    checkLayer(input);
    const { kvHeads, tokens, headSize, keys, values } = input;
    const bytes = new Uint8Array(int8Bytes(input));
    const view = new DataView(bytes.buffer);
    const [keyUnit, valueUnit] = [largestOf(keys), largestOf(values)];
    view.setFloat32(0, keyUnit, true);
    view.setFloat32(4, valueUnit, true);
    const numbers = tokens * headSize;
    for (let head = 0; head < kvHeads; head++) {
      const grid = UNITS + head * (3 * headSize + tokens);
      const levels = levelsStart(input) + 2 * head * numbers;
      for (let channel = 0; channel < headSize; channel++) {
        let [least, most] = [Infinity, -Infinity];
        for (let at = head * numbers + channel; at < (head + 1) * numbers; at += headSize) {
          least = Math.min(least, keys[at]!);
          most = Math.max(most, keys[at]!);
        }
        const low = keyUnit === 0 ? 0 : halfBelow(least / keyUnit);
        const code = keyUnit === 0 ? 255 : sizeCode((most / keyUnit - HALVES[low]!) / 2);
        view.setUint16(grid + 3 * channel, low, true);
        bytes[grid + 3 * channel + 2] = code;
        const step = (2 * keyUnit * sizeOfCode(code)) / 256;
        for (let at = channel; at < numbers; at += headSize)
          bytes[levels + at] = levelAt(keys[head * numbers + at]! - keyUnit * HALVES[low]!, step);
      }
      for (let token = 0; token < tokens; token++) {
        const row = values.subarray(
          head * numbers + token * headSize,
          head * numbers + (token + 1) * headSize,
        );
        const code = valueUnit === 0 ? 255 : sizeCode(largestOf(row) / valueUnit);
        bytes[grid + 3 * headSize + token] = code;
        const size = valueUnit * sizeOfCode(code);
        row.forEach((value, i) => {
          bytes[levels + numbers + token * headSize + i] = levelAt(value + size, size / 128);
        });
      }
    }
    return bytes;
  },
  async gpu(gpu, input) {
    checkLayer(input);
    const commands = gpu.begin();
    const bytes = int8Bytes(input);
    const stored = commands.array(bytes);
    encodeQuantiseInt8(
      gpu,
      commands,
      { keys: commands.upload(input.keys), values: commands.upload(input.values), stored },
      input,
    );
    const [out] = await commands.read(stored);
    const units = new Float32Array(out!, 0, 2);
    if (!units.every(Number.isFinite)) throw new KernelError('not-finite', STRANGE);
    return new Uint8Array(out!, 0, bytes);
  },
};

/** Where a number is none a unit, the first or second float32 of what is stored, is NaN. */
export function encodeQuantiseInt8(
  gpu: Gpu,
  commands: Commands,
  { keys, values, stored }: Readonly<Record<'keys' | 'values' | 'stored', GpuArray>>,
  sizes: StoredSizes,
): void {
  const { kvHeads, tokens, headSize } = sizes;
  const start = levelsStart(sizes);
  const bytes = int8Bytes(sizes);
  const units = commands.array(8);
  // A byte a word, until all are known: invocations cannot write parts of the same word.
  const raw = commands.array(4 * bytes);
  const u32 = [kvHeads, tokens, headSize, start, bytes];
  commands.dispatch(unitsProgram(gpu), [keys, values, units], 2, { u32: [kvHeads * tokens * headSize] });
  commands.dispatch(GRIDS, [keys, values, units, raw], groupsFor(kvHeads * (headSize + tokens)), { u32 });
  commands.dispatch(LEVELS, [keys, values, units, raw], groupsFor(2 * kvHeads * tokens * headSize), { u32 });
  commands.dispatch(PACK, [units, raw, stored], groupsFor(Math.ceil(bytes / 4)), { u32 });
}

const UNITS = 8;
const STRANGE = 'a key or value is NaN or infinite';

function unitsProgram(gpu: Gpu): Program {
  const { enable, functions, parameters, from } = reductions(gpu, ['most']);
  return {
    name: 'quantise-int8, units',
    wgsl: `${enable}
struct Sizes { all: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> keys: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read_write> units: array<u32>;
${IS_STRANGE}
${functions}
@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}${parameters}) {
  ${PLACE}
  var largest = 0.0;
  var strange = 0.0;
  for (var i = lane; i < sizes.all; i += ${WIDTH}u) {
    var x = values[i];
    if (group == 0u) { x = keys[i]; }
    if (is_strange(x)) { strange = 1.0; } else { largest = max(largest, abs(x)); }
  }
  let unit = group_most(largest, ${from});
  let is_strange_somewhere = group_most(strange, ${from}) > 0.0;
  if (lane == 0u && group < 2u) { units[group] = select(bitcast<u32>(unit), 0x7fc00000u, is_strange_somewhere); }
}`,
  };
}

const SHARED = `
struct Sizes { heads: u32, tokens: u32, head_size: u32, levels: u32, bytes: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;`;
const NUMBERS = `${SHARED}
@group(0) @binding(1) var<storage, read> keys: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;
@group(0) @binding(3) var<storage, read> units: array<f32>;
@group(0) @binding(4) var<storage, read_write> raw: array<u32>;`;
/** Of READ_STORED what reads no bytes. */
const SIZE_OF = READ_STORED.slice(READ_STORED.indexOf('fn size_of'));
const HALF_OF = READ_STORED.slice(READ_STORED.indexOf('fn half_of'), READ_STORED.indexOf('fn half_at'));

/** An invocation a channel of keys or a token of values. */
const GRIDS: Program = {
  name: 'quantise-int8, grids',
  wgsl: `${NUMBERS}
${HALF_OF}
fn half_below(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  var half = sign | (bitcast<u32>(bitcast<f32>(size) + 0.5) - 0x3f000000u);
  if (size >= 0x38800000u) { half = sign | ((size - 0x38000000u + 0xfffu + ((size >> 13u) & 1u)) >> 13u); }
  if (half_of(half) <= x) { return half; }
  if ((half & 0x8000u) != 0u) { return half + 1u; }
  return select(half - 1u, 0x8001u, half == 0u);
}
fn size_code(share: f32) -> u32 {
  if (share <= 0.0) { return 255u; }
  return u32(clamp(floor(-16.0 * log2(share)), 0.0, 254.0));
}

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  let lines = sizes.head_size + sizes.tokens;
  if (at >= sizes.heads * lines) { return; }
  let head = at / lines;
  let line = at % lines;
  let first = head * sizes.tokens * sizes.head_size;
  let grid = ${UNITS}u + head * (3u * sizes.head_size + sizes.tokens);
  if (line < sizes.head_size) {
    var least = keys[first + line];
    var most = least;
    for (var token = 1u; token < sizes.tokens; token++) {
      let key = keys[first + token * sizes.head_size + line];
      least = min(least, key);
      most = max(most, key);
    }
    let unit = units[0];
    var low = 0u;
    var code = 255u;
    if (unit > 0.0) {
      low = half_below(least / unit);
      code = size_code((most / unit - half_of(low)) / 2.0);
    }
    raw[grid + 3u * line] = low & 255u;
    raw[grid + 3u * line + 1u] = low >> 8u;
    raw[grid + 3u * line + 2u] = code;
  } else {
    let token = line - sizes.head_size;
    var largest = 0.0;
    for (var i = 0u; i < sizes.head_size; i++) {
      largest = max(largest, abs(values[first + token * sizes.head_size + i]));
    }
    var code = 255u;
    if (units[1] > 0.0) { code = size_code(largest / units[1]); }
    raw[grid + 3u * sizes.head_size + token] = code;
  }
}`,
};

/** An invocation a number. */
const LEVELS: Program = {
  name: 'quantise-int8, levels',
  wgsl: `${NUMBERS}
${HALF_OF}
${SIZE_OF}
fn level_at(above: f32, step: f32) -> u32 {
  if (step == 0.0) { return 0u; }
  return u32(clamp(floor(above / step), 0.0, 255.0));
}

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  let numbers = sizes.tokens * sizes.head_size;
  if (at >= 2u * sizes.heads * numbers) { return; }
  let head = at / (2u * numbers);
  let number = at % numbers;
  let grid = ${UNITS}u + head * (3u * sizes.head_size + sizes.tokens);
  if (at % (2u * numbers) < numbers) {
    let channel = grid + 3u * (number % sizes.head_size);
    let low = units[0] * half_of(raw[channel] | (raw[channel + 1u] << 8u));
    let step = 2.0 * units[0] * size_of(raw[channel + 2u]) / 256.0;
    raw[sizes.levels + at] = level_at(keys[head * numbers + number] - low, step);
  } else {
    let size = units[1] * size_of(raw[grid + 3u * sizes.head_size + number / sizes.head_size]);
    raw[sizes.levels + at] = level_at(values[head * numbers + number] + size, size / 128.0);
  }
}`,
};

/** An invocation a word of the result. */
const PACK: Program = {
  name: 'quantise-int8, pack',
  wgsl: `${SHARED}
@group(0) @binding(1) var<storage, read> units: array<u32>;
@group(0) @binding(2) var<storage, read> raw: array<u32>;
@group(0) @binding(3) var<storage, read_write> stored: array<u32>;

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  if (at >= (sizes.bytes + 3u) / 4u) { return; }
  if (at < 2u) { stored[at] = units[at]; return; }
  var word = 0u;
  for (var i = 0u; i < 4u; i++) {
    if (4u * at + i < sizes.bytes) { word |= raw[4u * at + i] << (8u * i); }
  }
  stored[at] = word;
}`,
};

/** The code of the least size that is not below a share; the least but 0 for a share below them all. */
function sizeCode(share: number): number {
  return share > 0 ? Math.max(0, Math.min(254, Math.floor(-16 * Math.log2(share)))) : 255;
}

function levelAt(above: number, step: number): number {
  return step === 0 ? 0 : Math.max(0, Math.min(255, Math.floor(above / step)));
}

function largestOf(numbers: Float32Array): number {
  let largest = 0;
  for (const number of numbers) {
    if (!Number.isFinite(number)) throw new KernelError('not-finite', STRANGE);
    largest = Math.max(largest, Math.abs(number));
  }
  return largest;
}

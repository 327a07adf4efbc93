import type { Commands } from './commands.js';
import type { Gpu, GpuArray, Program } from './gpu.js';
import { checkLength } from './kernel-error.js';
import type { Routine } from './routine.js';
import { INVOCATION, PLACE, reductions, WIDTH } from './wgsl.js';

export interface DeviationSizes {
  readonly heads: number;
  readonly rows: number;
  readonly headSize: number;
}

export interface RowDeviationInput extends DeviationSizes {
  /** What caches hold of one layer, [heads, rows, headSize] each. */
  readonly cachedKeys: Float32Array;
  readonly cachedValues: Float32Array;
  /** What the prompt makes of the same rows. */
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** How far a row's keys and values are from the cached ones: Σ (k - k')² + (v - v')² over heads, [rows] (CacheBlend). */
export const rowDeviation: Routine<RowDeviationInput, Float32Array> = {
  name: 'row-deviation',
  cpu(input) {
    check(input);
    const { heads, rows, headSize, cachedKeys, cachedValues, keys, values } = input;
    return Float32Array.from({ length: rows }, (_, row) => {
      let sum = 0;
      for (let head = 0; head < heads; head++) {
        const from = (head * rows + row) * headSize;
        for (let at = from; at < from + headSize; at++)
          sum += (keys[at]! - cachedKeys[at]!) ** 2 + (values[at]! - cachedValues[at]!) ** 2;
      }
      return sum;
    });
  },
  async gpu(gpu, input) {
    check(input);
    if (input.rows === 0) return new Float32Array(0);
    const commands = gpu.begin();
    const out = commands.array(4 * input.rows);
    const arrays = {
      cachedKeys: commands.upload(input.cachedKeys),
      cachedValues: commands.upload(input.cachedValues),
      keys: commands.upload(input.keys),
      values: commands.upload(input.values),
      out,
    };
    encodeRowDeviation(gpu, commands, arrays, input);
    const [result] = await commands.read(out);
    return new Float32Array(result!);
  },
};

/**
 * A group a row.
 * @param stride rows between two heads, where there is room for more than `rows`. Default `rows`
 */
export function encodeRowDeviation(
  gpu: Gpu,
  commands: Commands,
  arrays: Readonly<Record<'cachedKeys' | 'cachedValues' | 'keys' | 'values' | 'out', GpuArray>>,
  { heads, rows, headSize }: DeviationSizes,
  stride = rows,
): void {
  const { cachedKeys, cachedValues, keys, values, out } = arrays;
  commands.dispatch(program(gpu), [cachedKeys, cachedValues, keys, values, out], rows, {
    u32: [heads, rows, headSize, stride],
  });
}

function program(gpu: Gpu): Program {
  const { enable, functions, parameters, from } = reductions(gpu, ['sum']);
  return {
    name: 'row-deviation',
    wgsl: `${enable}
struct Sizes { heads: u32, rows: u32, head_size: u32, stride: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> cached_keys: array<f32>;
@group(0) @binding(2) var<storage, read> cached_values: array<f32>;
@group(0) @binding(3) var<storage, read> keys: array<f32>;
@group(0) @binding(4) var<storage, read> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> deviations: array<f32>;
${functions}
@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}${parameters}) {
  ${PLACE}
  if (group >= sizes.rows) { return; }
  var sum = 0.0;
  for (var i = lane; i < sizes.heads * sizes.head_size; i += ${WIDTH}u) {
    let head = i / sizes.head_size;
    let number = (head * sizes.stride + group) * sizes.head_size + i % sizes.head_size;
    let key = keys[number] - cached_keys[number];
    let value = values[number] - cached_values[number];
    sum += key * key + value * value;
  }
  let all = group_sum(sum, ${from});
  if (lane == 0u) { deviations[group] = all; }
}`,
  };
}

function check(input: RowDeviationInput): void {
  const { heads, rows, headSize } = input;
  for (const name of ['cachedKeys', 'cachedValues', 'keys', 'values'] as const)
    checkLength(name, input[name], { heads, rows, headSize });
}

import type { Commands } from './commands.js';
import type { Gpu, GpuArray, Program } from './gpu.js';
import { checkLength, KernelError } from './kernel-error.js';
import type { Routine } from './routine.js';
import { numbersOf } from './selected-attention.js';
import { INVOCATION, pairsOf, PLACE, reductions, WIDTH, type Storage } from './wgsl.js';

/** y = x Wᵀ + b */
export interface LinearLayer {
  /** [outputs, inputs], numbers or float16 by their bits. */
  readonly weights: Float32Array | Uint16Array;
  /** [outputs] */
  readonly bias: Float32Array;
}

export interface XragProjectorInput {
  /** Passages' embeddings, [rows, inputs]. */
  readonly rows: Float32Array;
  /** Even, as `inner` is. */
  readonly inputs: number;
  readonly inner: number;
  readonly outputs: number;
  readonly first: LinearLayer;
  readonly second: LinearLayer;
}

/**
 * Embeddings of passages as rows that a decoder reads in the place of tokens: Linear, GELU (by the error function),
 * Linear (Cheng et al. 2024, xRAG, section 3.2). Result: [rows, outputs].
 */
export const xragProjector: Routine<XragProjectorInput, Float32Array> = {
  name: 'xrag-projector',
  cpu(input) {
    check(input);
    return projected(input);
  },
  async gpu(gpu, input) {
    check(input);
    const { inputs, inner, outputs, first, second } = input;
    const rows = input.rows.length / inputs;
    if (rows === 0) return new Float32Array(0);
    const commands = gpu.begin();
    const hidden = commands.array(4 * rows * inner);
    const out = commands.array(4 * rows * outputs);
    const put = ({ weights, bias }: LinearLayer) => ({
      weights: commands.upload(weights),
      bias: commands.upload(bias),
      storage: weights instanceof Uint16Array ? ('float16' as const) : ('float32' as const),
    });
    const from = commands.upload(input.rows);
    encodeLinear(
      gpu,
      commands,
      { ...put(first), from, to: hidden },
      { rows, inputs, outputs: inner, gelu: true },
    );
    encodeLinear(
      gpu,
      commands,
      { ...put(second), from: hidden, to: out },
      { rows, inputs: inner, outputs, gelu: false },
    );
    const [result] = await commands.read(out);
    return new Float32Array(result!);
  },
};

/** The routine on the CPU, for sizes that are known to follow on each other, odd ones too. */
export function projected({ rows, inputs, inner, outputs, first, second }: XragProjectorInput): Float32Array {
  const hidden = linear(Float64Array.from(rows), inputs, inner, first).map(
    (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  );
  return Float32Array.from(linear(hidden, inner, outputs, second));
}

/** One layer, a group a number of a row's result: for few rows, as fast as the weights can be read. */
export function encodeLinear(
  gpu: Gpu,
  commands: Commands,
  arrays: Readonly<Record<'from' | 'weights' | 'bias' | 'to', GpuArray>> & { readonly storage: Storage },
  sizes: { readonly rows: number; readonly inputs: number; readonly outputs: number; readonly gelu: boolean },
): void {
  const { rows, inputs, outputs, gelu } = sizes;
  const { from, weights, bias, to, storage } = arrays;
  commands.dispatch(program(gpu, storage), [from, weights, bias, to], rows * outputs, {
    u32: [rows, inputs / 2, outputs, Number(gelu)],
  });
}

function program(gpu: Gpu, storage: Storage): Program {
  const { enable, functions, parameters, from } = reductions(gpu, ['sum']);
  const { enable: half, type, pair } = pairsOf(gpu, storage);
  return {
    name: 'xrag-projector',
    wgsl: `${enable}${half}
struct Sizes { rows: u32, pairs: u32, outputs: u32, gelu: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> rows: array<vec2f>;
@group(0) @binding(2) var<storage, read> weights: ${type};
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> result: array<f32>;
${functions}
// Abramowitz and Stegun, 7.1.26: off by 1.5e-7 at most.
fn erf(x: f32) -> f32 {
  let t = 1.0 / (1.0 + 0.3275911 * abs(x));
  let poly = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
  return sign(x) * (1.0 - poly * exp(-x * x));
}

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}${parameters}) {
  ${PLACE}
  if (group >= sizes.rows * sizes.outputs) { return; }
  let row = group / sizes.outputs;
  let output = group % sizes.outputs;
  var dots = vec2f();
  for (var i = lane; i < sizes.pairs; i += ${WIDTH}u) {
    dots += rows[row * sizes.pairs + i] * ${pair('weights', 'output * sizes.pairs + i')};
  }
  let x = group_sum(dots.x + dots.y, ${from}) + bias[output];
  let bent = 0.5 * x * (1.0 + erf(x * 0.70710678));
  if (lane == 0u) { result[group] = select(x, bent, sizes.gelu == 1u); }
}`,
  };
}

function linear(
  rows: Float64Array,
  inputs: number,
  outputs: number,
  { weights, bias }: LinearLayer,
): Float64Array {
  const numbers = numbersOf(weights);
  return Float64Array.from({ length: (rows.length / inputs) * outputs }, (_, at) => {
    const row = Math.floor(at / outputs) * inputs;
    const from = (at % outputs) * inputs;
    let sum = bias[at % outputs]!;
    for (let i = 0; i < inputs; i++) sum += rows[row + i]! * numbers[from + i]!;
    return sum;
  });
}

/** The error function by its series near 0, and by a continued fraction far from it. */
function erf(x: number): number {
  const size = Math.abs(x);
  if (size < 2.5) {
    let [term, sum] = [size, size];
    for (let n = 1; Math.abs(term) > 1e-17; n++) {
      term *= (-size * size) / n;
      sum += term / (2 * n + 1);
      if (n > 100) break;
    }
    return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * sum;
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (size + fraction);
  return Math.sign(x) * (1 - Math.exp(-size * size) / (size + fraction) / Math.sqrt(Math.PI));
}

function check({ rows, inputs, inner, outputs, first, second }: XragProjectorInput): void {
  if (!(inputs > 0 && inputs % 2 === 0 && inner > 0 && inner % 2 === 0 && rows.length % inputs === 0))
    throw new KernelError(
      'sizes',
      `${rows.length} numbers in rows of ${inputs}, ${inner} inside; whole rows of an even size are run, and an even size inside`,
    );
  checkLength('first.weights', first.weights, { inner, inputs });
  checkLength('first.bias', first.bias, { inner });
  checkLength('second.weights', second.weights, { outputs, inner });
  checkLength('second.bias', second.bias, { outputs });
}

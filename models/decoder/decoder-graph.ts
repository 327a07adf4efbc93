import type { ColumnWeights, Room } from './column-rounding.js';
import type { Device, LayerRange } from './engine.js';
import { OnnxGraph } from './onnx-graph.js';
import { BLOCK, type BlockWeights, type FloatWeights } from './quantise.js';
import type { DecoderShape } from './shape.js';

/** The four matrix products of a layer: queries, keys and values are one, gate and up another. */
export type Product = 'qkv' | 'output' | 'gateUp' | 'down';

/** What the graph is made from; matrices one at a time, so that no more need be in memory. */
export interface GraphWeights {
  /** @param room where levels of 8 bits a column may be put, for the graph to have them without a copy */
  product(layer: number, name: Product, room: Room): Promise<ColumnWeights | BlockWeights | FloatWeights>;
  norm(layer: number, name: 'attention' | 'feedForward'): Float32Array;
  /** Of queries, keys and values, one after the other; undefined where the model has none. */
  bias(layer: number): Float32Array | undefined;
  readonly finalNorm: Float32Array;
}

const OPSET = 21;
const CONTRIB = { domain: 'com.microsoft' } as const;

/**
 * Layers of a decoder: rows go in, each at its position, beside keys and values of before.
 *
 * Inputs: `rows` [1, rows, width], embedded tokens or what the layers before put out; `cos`, `sin` [rows, headSize / 2]
 * of the rows' positions; `past_k.N`, `past_v.N` [kvHeads, slots, headSize] of layer N, keys rotated; `mask`
 * [rows, slots + rows], 0 where a row sees a slot or another row, HIDDEN where not. Only the mask knows of order: a key
 * may stand in any slot. Where masses are asked for, `groups` [slots + rows, groups].
 *
 * Outputs: `hidden` [1, rows, width] for the next layers or, after the last, for the vocabulary; `k`, `v`
 * [layers, kvHeads, rows, headSize] of the rows alone, keys rotated; `mass` [layers, rows, groups], attention that a row
 * pays to each group, a mean over heads.
 *
 * `device`: the WebGPU provider of ONNX Runtime has neither products of 8-bit integers nor FusedMatMul: there weights of 8
 * bits are in blocks, activations are numbers, and keys are transposed.
 *
 * Weights of 8 bits for a CPU have a scale a column, and every row of activations a scale of its own, so that one large number
 * does not make the other rows coarse, and no row depends on which others are computed with it.
 */
export async function decoderGraph(
  shape: DecoderShape,
  weights: GraphWeights,
  { from, to }: LayerRange,
  masses: boolean,
  device: Device = 'cpu',
): Promise<OnnxGraph> {
  const { layers, width, heads, kvHeads, headSize, epsilon } = shape;
  const onnx = new OnnxGraph(OPSET);
  const whole = (...values: number[]) => onnx.constant(BigInt64Array.from(values, BigInt), [values.length]);
  const join = (...parts: string[]) => onnx.node('Concat', parts, { attributes: { axis: 0 } });
  const halves = (x: string, sizes: string) =>
    onnx.nodes('Split', [x, sizes], { outputs: 2, attributes: { axis: -1 } }) as [string, string];
  const times = (a: string, b: string) => onnx.node('Mul', [a, b]);
  const reshape = (x: string, dims: string) => onnx.node('Reshape', [x, dims]);
  const swap = (x: string) => onnx.node('Transpose', [x], { attributes: { perm: [1, 0, 2] } });

  onnx.input('rows', 'float32', [1, 'rows', width]);
  onnx.input('cos', 'float32', ['rows', headSize / 2]);
  onnx.input('sin', 'float32', ['rows', headSize / 2]);
  onnx.input('mask', 'float32', ['rows', 'total']);
  if (masses) onnx.input('groups', 'float32', ['total', 'groups']);
  for (let layer = from; layer < to; layer++)
    for (const name of ['past_k', 'past_v'])
      onnx.input(`${name}.${layer}`, 'float32', [kvHeads, 'slots', headSize]);

  const sizeOf = (x: string, axis: number) =>
    onnx.node('Shape', [x], { attributes: { start: axis, end: axis + 1 } });
  const rows = sizeOf('rows', 1);
  const total = sizeOf('mask', 1);
  const [zero, last] = [whole(0), whole(-1)];
  const level = onnx.constant(Float32Array.of(1 / 127), []);
  const one = onnx.constant(Float32Array.of(1), []);
  const middle = onnx.constant(Uint8Array.of(128), []);
  const middles = onnx.node('Expand', [onnx.constant(Uint8Array.of(128), [1]), rows]);
  const dims = {
    flat: last,
    queries: whole(-1, heads, headSize),
    keys: whole(-1, kvHeads, headSize),
    grouped: whole(kvHeads, -1, headSize),
    byHead: whole(heads, -1, headSize),
    scoresByHead: join(whole(heads), rows, total),
    scoresByGroup: join(whole(kvHeads), times(rows, whole(heads / kvHeads)), total),
    attended: whole(1, -1, heads * headSize),
    qkv: whole((heads + kvHeads) * headSize, kvHeads * headSize),
    qk: whole(heads * headSize, kvHeads * headSize),
  };

  const groupsOf = () => {
    const count = sizeOf('groups', 1);
    return {
      /** The same for each head of values. */
      ofEach: onnx.node('Expand', ['groups', whole(kvHeads, 1, 1)]),
      both: join(whole(headSize), count),
      byHead: join(whole(heads), rows, count),
    };
  };
  const groups = masses ? groupsOf() : undefined;

  const scaled = (x: string, step: string | undefined) => (step === undefined ? x : times(x, step));
  /** A matrix product but for `step`, a number a row that it has still to be multiplied with. */
  const product = async (x: string, layer: number, name: Product) => {
    const matrix = await weights.product(layer, name, (bytes) => onnx.room(bytes));
    if (!('zero' in matrix)) return { y: plainProduct(onnx, x, matrix), step: undefined };
    const { inputs, outputs, levels, zero, scales } = matrix;
    const largest = onnx.node('ReduceMax', [onnx.node('Abs', [x]), last]);
    const step = times(largest, level);
    const inLevels = onnx.node('QuantizeLinear', [x, reshape(step, dims.flat), middles], {
      attributes: { axis: 1 },
    });
    const y = onnx.node(
      'MatMulIntegerToFloat',
      [
        inLevels,
        onnx.constant(levels, [inputs, outputs]),
        one,
        onnx.constant(scales, [outputs]),
        middle,
        ...(zero === 128 ? [middle] : []),
      ],
      CONTRIB,
    );
    return { y, step };
  };
  const multiply = async (x: string, layer: number, name: Product) => {
    const { y, step } = await product(x, layer, name);
    return scaled(y, step);
  };

  /** Queries with keys, [heads, rows, total]. */
  const dots = (queries: string, keys: string) =>
    device === 'cpu'
      ? onnx.node('FusedMatMul', [queries, keys], {
          ...CONTRIB,
          attributes: { transB: 1, alpha: { float: 1 / Math.sqrt(headSize) } },
        })
      : onnx.node('MatMul', [
          times(queries, onnx.constant(Float32Array.of(1 / Math.sqrt(headSize)), [])),
          onnx.node('Transpose', [keys], { attributes: { perm: [0, 2, 1] } }),
        ]);

  const kept: Record<'k' | 'v' | 'mass', string[]> = { k: [], v: [], mass: [] };
  const attention = async (x: string, layer: number) => {
    const bias = weights.bias(layer);
    const plain = await multiply(x, layer, 'qkv');
    const qkv = bias ? onnx.node('Add', [plain, onnx.constant(bias, [bias.length])]) : plain;
    const [qk, v] = halves(qkv, dims.qkv);
    const turned = onnx.node('RotaryEmbedding', [qk, zero, 'cos', 'sin'], {
      ...CONTRIB,
      attributes: { num_heads: heads + kvHeads, rotary_embedding_dim: headSize },
    });
    const [q, k] = halves(turned, dims.qk);
    const keys = swap(reshape(k, dims.keys));
    const values = swap(reshape(v, dims.keys));
    kept.k.push(keys);
    kept.v.push(values);
    const beside = (past: string, own: string) =>
      onnx.node('Concat', [`${past}.${layer}`, own], { attributes: { axis: 1 } });
    // Heads of queries that share a head of keys are rows of one product (GQA).
    const scores = dots(reshape(swap(reshape(q, dims.queries)), dims.grouped), beside('past_k', keys));
    const masked = onnx.node('Add', [reshape(scores, dims.scoresByHead), 'mask']);
    const shares = onnx.node('Softmax', [masked], { attributes: { axis: -1 } });
    const mix = (values: string) => onnx.node('MatMul', [reshape(shares, dims.scoresByGroup), values]);
    let mixed: string;
    if (groups) {
      // One product with the values: a second one ONNX Runtime puts off to the end, with the shares of all layers alive.
      const both = mix(
        onnx.node('Concat', [beside('past_v', values), groups.ofEach], { attributes: { axis: 2 } }),
      );
      const [own, mass] = halves(both, groups.both);
      mixed = own;
      const byHead = reshape(mass, groups.byHead);
      kept.mass.push(onnx.node('ReduceMean', [byHead, zero], { attributes: { keepdims: 0 } }));
    } else mixed = mix(beside('past_v', values));
    const attended = reshape(swap(reshape(mixed, dims.byHead)), dims.attended);
    return multiply(attended, layer, 'output');
  };

  const feedForward = async (x: string, layer: number) => {
    const gateUp = await product(x, layer, 'gateUp');
    const [gate, up] = onnx.nodes('Split', [gateUp.y], {
      outputs: 2,
      attributes: { axis: -1, num_outputs: 2 },
    }) as [string, string];
    // x * sigmoid(x), SiLU. What `up` has still to be multiplied with does not change the levels of its product.
    const open = onnx.node('QuickGelu', [scaled(gate, gateUp.step)], {
      ...CONTRIB,
      attributes: { alpha: { float: 1 } },
    });
    const down = await product(times(open, up), layer, 'down');
    return scaled(down.y, down.step && scaled(down.step, gateUp.step));
  };

  const attributes = { epsilon: { float: epsilon } };
  /** Adds to what goes past the layers, and norms the sum. */
  const add = (x: string, more: string, norm: Float32Array, outputs: readonly string[] | number = 4) => {
    const weight = onnx.constant(norm, [width]);
    const [y, , , sum] = onnx.nodes('SkipSimplifiedLayerNormalization', [x, more, weight], {
      ...CONTRIB,
      outputs,
      attributes,
    });
    return { y: y!, sum: sum! };
  };

  const firstNorm = onnx.constant(weights.norm(from, 'attention'), [width]);
  let x = 'rows';
  let y = onnx.node('SimplifiedLayerNormalization', [x, firstNorm], {
    attributes: { ...attributes, axis: -1 },
  });
  for (let layer = from; layer < to; layer++) {
    const attended = add(x, await attention(y, layer), weights.norm(layer, 'feedForward'));
    const fed = await feedForward(attended.y, layer);
    if (layer < to - 1) ({ y, sum: x } = add(attended.sum, fed, weights.norm(layer + 1, 'attention')));
    else if (to === layers) add(attended.sum, fed, weights.finalNorm, ['hidden']);
    else onnx.nodes('Add', [attended.sum, fed], { outputs: ['hidden'] });
    if (layer === from) onnx.reserve((to - from - 1) * onnx.weightBytes); // Each has as many.
  }
  onnx.output('hidden', 'float32', [1, 'rows', width]);
  const sizes = { k: [kvHeads, 'rows', headSize], v: [kvHeads, 'rows', headSize], mass: ['rows', 'groups'] };
  for (const [name, parts] of Object.entries(kept)) {
    if (parts.length === 0) continue;
    const stacked = parts.map((part) => onnx.node('Unsqueeze', [part, zero]));
    onnx.nodes('Concat', stacked, { outputs: [name], attributes: { axis: 0 } });
    onnx.output(name, 'float32', [to - from, ...sizes[name as keyof typeof sizes]]);
  }
  return onnx;
}

/** `hidden` [1, rows, width] to `logits` [1, rows, vocabulary]: few rows, as fast as the weights can be read. */
export function headGraph(
  { width, vocabulary }: DecoderShape,
  weights: BlockWeights | FloatWeights,
  device: Device = 'cpu',
): OnnxGraph {
  const onnx = new OnnxGraph(OPSET);
  onnx.input('hidden', 'float32', [1, 'rows', width]);
  // Level 4: products of 8-bit integers, activations with a scale a block (onnxruntime, docs/ContribOperators.md).
  plainProduct(onnx, 'hidden', weights, ['logits'], device === 'cpu' ? { accuracy_level: 4 } : {});
  onnx.output('logits', 'float32', [1, 'rows', vocabulary]);
  return onnx;
}

/** A product with weights as numbers, or of 8 bits in blocks. */
function plainProduct(
  onnx: OnnxGraph,
  x: string,
  weights: BlockWeights | FloatWeights,
  outputs: readonly string[] | number = 1,
  attributes: Readonly<Record<string, number>> = {},
): string {
  const { inputs: K, outputs: N } = weights;
  if ('numbers' in weights)
    return onnx.node('MatMul', [x, onnx.constant(weights.numbers, [K, N])], { outputs });
  const levels = onnx.constant(weights.levels, [N, K / BLOCK, BLOCK]);
  const scales = onnx.constant(weights.scales, [(N * K) / BLOCK]);
  return onnx.node('MatMulNBits', [x, levels, scales], {
    ...CONTRIB,
    outputs,
    attributes: { K, N, bits: 8, block_size: BLOCK, ...attributes },
  });
}

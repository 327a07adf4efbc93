import { gguf } from '@huggingface/gguf';
import { ModelError } from '../model-error.js';
import {
  ARCHITECTURES,
  matrixSize,
  unsupportedArchitecture,
  vectorSize,
  type Checkpoint,
  type LayerPart,
  type MatrixPart,
} from './checkpoint.js';
import { ggufTokenizer } from './gguf-tokenizer.js';
import type { Matrix } from './matrix.js';
import type { DecoderShape, RopeScaling } from './shape.js';
import type { Smoothing } from './smoothing.js';
import { WeightFile, type TensorPlace } from './weight-file.js';
import { Weights } from './weights.js';

const NAMES: Readonly<Record<LayerPart, string>> = {
  attentionNorm: 'attn_norm.weight',
  q: 'attn_q.weight',
  k: 'attn_k.weight',
  v: 'attn_v.weight',
  output: 'attn_output.weight',
  qBias: 'attn_q.bias',
  kBias: 'attn_k.bias',
  vBias: 'attn_v.bias',
  feedForwardNorm: 'ffn_norm.weight',
  gate: 'ffn_gate.weight',
  up: 'ffn_up.weight',
  down: 'ffn_down.weight',
};

type Metadata = Readonly<Record<string, unknown>>;

/**
 * A model in llama.cpp's files (ggml/docs/gguf.md): one, or parts of one, the first of which has the settings.
 * @throws ModelError `damaged`, `unsupported`
 */
export async function openGguf(
  paths: readonly [string, ...string[]],
  smoothing: Smoothing | undefined,
): Promise<Checkpoint> {
  const [path] = paths;
  const parts = await Promise.all(paths.map(readHeader));
  const { metadata } = parts[0]!;
  const declared = metadata['split.count'];
  if (declared !== undefined && declared !== paths.length)
    throw new ModelError(
      'damaged',
      path,
      `${path} is one of ${Number(declared)} parts, of which ${paths.length} are there`,
    );
  const architecture = ARCHITECTURES[String(metadata['general.architecture'])];
  if (architecture === undefined) throw unsupportedArchitecture(path, metadata['general.architecture']);
  const weights = await Weights.open(parts.map(({ places }, i) => WeightFile.open(paths[i]!, places)));
  try {
    const shape = shapeOf(path, metadata, architecture, weights);
    const { layers, width, headSize, vocabulary } = shape;
    const turned = (part: MatrixPart) => architecture === 'llama' && (part === 'q' || part === 'k');
    const name = (layer: number, part: LayerPart) => {
      if (layer >= layers) throw new RangeError(`there are ${layers} layers`);
      return `blk.${layer}.${NAMES[part]}`;
    };
    return {
      path,
      shape,
      ...ggufTokenizer(path, metadata),
      chatTemplate: text(metadata['tokenizer.chat_template']),
      embedding: weights.matrix('token_embd.weight', vocabulary, width),
      head: weights.has('output.weight') ? weights.matrix('output.weight', vocabulary, width) : undefined,
      finalNorm: weights.vector('output_norm.weight', width),
      matrix(layer, part) {
        const matrix = weights.matrix(name(layer, part), ...matrixSize(shape, part));
        return turned(part) ? inHalves(matrix, headSize) : matrix;
      },
      vector: (layer, part) => weights.vector(name(layer, part), vectorSize(shape, part)),
      smoothing: (layer, product) => smoothing?.(layer, product, product === 'down' ? shape.inner : width),
      close: () => weights.close(),
    };
  } catch (error) {
    await weights.close();
    throw error;
  }
}

async function readHeader(
  path: string,
): Promise<{ readonly metadata: Metadata; readonly places: ReadonlyMap<string, TensorPlace> }> {
  try {
    const { metadata, tensorInfos, tensorDataOffset } = await gguf(path, { allowLocalFile: true });
    const places = tensorInfos.map(({ name, shape, dtype, offset }): [string, TensorPlace] => [
      name,
      { dims: shape.map(Number).reverse(), type: dtype, offset: Number(tensorDataOffset) + Number(offset) },
    ]);
    return { metadata: metadata as unknown as Metadata, places: new Map(places) };
  } catch (error) {
    throw new ModelError(
      'damaged',
      path,
      `${path} is no GGUF that can be read: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}

/** llama.cpp keeps the rows of Llama's q and k by rotated pairs; the graph has them by halves, as Transformers. */
function inHalves(matrix: Matrix, headSize: number): Matrix {
  const { inputs, outputs, readQ8 } = matrix;
  const turned = <A extends Float32Array | Uint8Array>(from: A, to: A): A => {
    const length = from.length / outputs;
    for (let row = 0; row < outputs; row++) {
      const within = row % headSize;
      const source = row - within + (within % (headSize / 2)) * 2 + Math.floor(within / (headSize / 2));
      to.set(from.subarray(source * length, (source + 1) * length), row * length);
    }
    return to;
  };
  return {
    inputs,
    outputs,
    read() {
      const numbers = matrix.read();
      return turned(numbers, new Float32Array(numbers.length));
    },
    ...(readQ8 && {
      readQ8(into) {
        const bytes = new Uint8Array(into.length);
        readQ8(bytes);
        turned(bytes, into);
      },
    }),
  };
}

function shapeOf(path: string, metadata: Metadata, architecture: string, weights: Weights): DecoderShape {
  const own = String(metadata['general.architecture']);
  const number = (key: string, otherwise?: number): number => {
    const value = metadata[`${own}.${key}`] ?? otherwise;
    if (typeof value === 'number' || typeof value === 'bigint') return Number(value);
    throw new ModelError('damaged', path, `${path} does not say ${own}.${key}`);
  };
  const width = number('embedding_length');
  const heads = number('attention.head_count');
  const headSize = number('attention.key_length', width / heads);
  const vocabulary = weights.dims('token_embd.weight')[0]!;
  if (number('rope.dimension_count', headSize) !== headSize)
    throw new ModelError('unsupported', path, `${path} rotates a part of each head, which is not run here`);
  const contextLength = number('context_length');
  return {
    layers: number('block_count'),
    width,
    inner: number('feed_forward_length'),
    heads,
    kvHeads: number('attention.head_count_kv', heads),
    headSize,
    vocabulary,
    contextLength: Math.min(
      contextLength,
      number('attention.sliding_window', contextLength) || contextLength,
    ),
    epsilon: number('attention.layer_norm_rms_epsilon'),
    rope: {
      theta: number('rope.freq_base', 10_000),
      scaling: scalingOf(path, (key) => metadata[`${own}.rope.scaling.${key}`]),
      ...(weights.has('rope_freqs.weight') && {
        divisors: weights.vector('rope_freqs.weight', headSize / 2),
      }),
    },
    attentionBias: architecture === 'qwen2',
  };
}

function scalingOf(path: string, of: (key: string) => unknown): RopeScaling {
  const type = of('type') ?? 'none';
  const factor = Number(of('factor') ?? 1);
  if (type === 'none' || factor === 1) return { type: 'none' };
  if (type === 'linear') return { type, factor };
  if (type === 'yarn') {
    return {
      type,
      factor,
      originalContext: Number(of('original_context_length')),
      betaFast: Number(of('yarn_beta_fast') ?? 32),
      betaSlow: Number(of('yarn_beta_slow') ?? 1),
      attentionFactor: Number(of('attn_factor') ?? 1) * (0.1 * Math.log(factor) + 1),
    };
  }
  throw new ModelError(
    'unsupported',
    path,
    `${path} stretches positions by ${text(type) ?? 'what it does not say'}; those that are run: none, linear, yarn, and given frequencies`,
  );
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

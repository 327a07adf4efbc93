import { InferenceSession, Tensor } from 'onnxruntime-node';
import { ModelError } from '../model-error.js';
import type { Checkpoint, MatrixPart } from './checkpoint.js';
import { decoderGraph, headGraph, HIDDEN, type GraphWeights, type Product } from './decoder-graph.js';
import type { KvSlots } from './kv-slots.js';
import {
  BLOCK,
  inBlocks,
  inColumns,
  rowsOf,
  transposed,
  type BlockWeights,
  type FloatWeights,
} from './quantise.js';
import { Rope } from './rope.js';
import type { DecoderShape } from './shape.js';

/** Rows to compute. */
export interface StepInput {
  /** [rows, width] */
  readonly embeds: Float32Array;
  /** A position a row. */
  readonly positions: ArrayLike<number>;
  readonly past: KvSlots;
  /** [rows, capacity of past + rows], as the graph takes it. Default each row sees the past, itself and rows before it. */
  readonly mask?: Float32Array;
}

/** Of the rows alone; keys and values [layers, kvHeads, rows, headSize]. */
export interface StepOutput {
  /** [rows, width] */
  readonly hidden: Float32Array;
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** `int8`: as fast as the machine is. `float32`: weights and products as the checkpoint has them, for comparison. */
export type Precision = 'int8' | 'float32';

export interface EngineOptions {
  /** Threads of one run. */
  readonly threads: number;
  readonly precision: Precision;
}

/** A decoder on ONNX Runtime. Computes inside the call: for a thread of its own. */
export class DecoderEngine {
  readonly shape: DecoderShape;
  readonly rope: Rope;
  readonly #path: string;
  readonly #layers: InferenceSession;
  readonly #head: InferenceSession;
  readonly #embed: (tokens: ArrayLike<number>) => Float32Array;

  private constructor(
    { path, shape }: Checkpoint,
    layers: InferenceSession,
    head: InferenceSession,
    embed: (tokens: ArrayLike<number>) => Float32Array,
  ) {
    this.#path = path;
    this.shape = shape;
    this.rope = new Rope(shape);
    this.#layers = layers;
    this.#head = head;
    this.#embed = embed;
  }

  /** @throws ModelError `damaged`, `unsupported`, `inference` */
  static async open(checkpoint: Checkpoint, { threads, precision }: EngineOptions): Promise<DecoderEngine> {
    const { path, shape } = checkpoint;
    if (shape.width % BLOCK !== 0 || shape.heads % shape.kvHeads !== 0 || shape.headSize % 2 !== 0)
      throw new ModelError(
        'unsupported',
        path,
        `${path} has a width of ${shape.width}, ${shape.heads} heads of ${shape.headSize} and ${shape.kvHeads} of keys; ` +
          `a width that ${BLOCK} divides, heads that the heads of keys divide, and an even size of heads are run`,
      );
    const { embed, headWeights } =
      precision === 'float32' ? floatVocabulary(checkpoint) : blockVocabulary(checkpoint);
    const head = await session(path, headGraph(shape, headWeights), threads);
    try {
      const layers = await session(path, decoderGraph(shape, weightsOf(checkpoint, precision)), threads);
      return new DecoderEngine(checkpoint, layers, head, embed);
    } catch (error) {
      await head.release();
      throw error;
    }
  }

  embed(tokens: ArrayLike<number>): Float32Array {
    return this.#embed(tokens);
  }

  /** @throws ModelError `inference` */
  async step({ embeds, positions, past, mask }: StepInput): Promise<StepOutput> {
    const { layers, width, kvHeads, headSize } = this.shape;
    const rows = positions.length;
    const { capacity } = past;
    const { cos, sin } = this.rope.rotation(positions);
    const feeds: Record<string, Tensor> = {
      embeds: new Tensor('float32', embeds, [1, rows, width]),
      cos: new Tensor('float32', cos, [rows, headSize / 2]),
      sin: new Tensor('float32', sin, [rows, headSize / 2]),
      mask: new Tensor('float32', mask ?? causalMask(past, rows), [rows, capacity + rows]),
    };
    const dims = [kvHeads, capacity, headSize];
    for (let layer = 0; layer < layers; layer++) {
      feeds[`past_k.${layer}`] = new Tensor('float32', past.keys(layer), dims);
      feeds[`past_v.${layer}`] = new Tensor('float32', past.values(layer), dims);
    }
    const { hidden, k, v } = await run(this.#path, this.#layers, feeds, ['hidden', 'k', 'v']);
    return { hidden, keys: k, values: v };
  }

  /**
   * @param hidden one row of a step's
   * @throws ModelError `inference`
   */
  async logits(hidden: Float32Array): Promise<Float32Array> {
    const feeds = { hidden: new Tensor('float32', hidden, [1, 1, this.shape.width]) };
    const { logits } = await run(this.#path, this.#head, feeds, ['logits']);
    return logits;
  }

  async close(): Promise<void> {
    await this.#layers.release();
    await this.#head.release();
  }
}

interface Vocabulary {
  readonly embed: (tokens: ArrayLike<number>) => Float32Array;
  readonly headWeights: BlockWeights | FloatWeights;
}

function blockVocabulary({ embedding, head }: Checkpoint): Vocabulary {
  const blocks = inBlocks(embedding);
  return { embed: (tokens) => rowsOf(blocks, tokens), headWeights: head ? inBlocks(head) : blocks };
}

function floatVocabulary({ embedding, head, shape: { width } }: Checkpoint): Vocabulary {
  const numbers = embedding.read();
  return {
    embed(tokens) {
      const rows = new Float32Array(tokens.length * width);
      for (let row = 0; row < tokens.length; row++)
        rows.set(numbers.subarray(tokens[row]! * width, (tokens[row]! + 1) * width), row * width);
      return rows;
    },
    headWeights: transposed([head ?? embedding]),
  };
}

/** Each row sees all slots in use, itself, and the rows before it. */
function causalMask({ length, capacity }: KvSlots, rows: number): Float32Array {
  const mask = new Float32Array(rows * (capacity + rows));
  for (let row = 0, at = 0; row < rows; row++, at += capacity + rows) {
    mask.fill(HIDDEN, at + length, at + capacity);
    mask.fill(HIDDEN, at + capacity + row + 1, at + capacity + rows);
  }
  return mask;
}

const PARTS: Readonly<Record<Product, readonly MatrixPart[]>> = {
  qkv: ['q', 'k', 'v'],
  output: ['output'],
  gateUp: ['gate', 'up'],
  down: ['down'],
};

function weightsOf(checkpoint: Checkpoint, precision: Precision): GraphWeights {
  const { shape, finalNorm } = checkpoint;
  const isRounded = precision === 'int8';
  const smoothing = (layer: number, name: Product) =>
    isRounded && name !== 'output' ? checkpoint.smoothing(layer, name) : undefined;
  return {
    product(layer, name) {
      const matrices = PARTS[name].map((part) => checkpoint.matrix(layer, part));
      if (!isRounded) return transposed(matrices);
      const { inputs } = matrices[0]!;
      const weights = inColumns(matrices, smoothing(layer, name) ?? new Float32Array(inputs).fill(1));
      // What goes into `down` is divided where it comes from: the columns of `up`.
      const factors = name === 'gateUp' ? smoothing(layer, 'down') : undefined;
      factors?.forEach((factor, i) => (weights.scales[shape.inner + i]! /= factor));
      return weights;
    },
    norm(layer, name) {
      const weight = checkpoint.vector(layer, `${name}Norm`);
      const factors = smoothing(layer, name === 'attention' ? 'qkv' : 'gateUp');
      return factors ? weight.map((value, i) => value / factors[i]!) : weight;
    },
    bias(layer) {
      if (!shape.attentionBias) return undefined;
      const biases = (['qBias', 'kBias', 'vBias'] as const).map((part) => checkpoint.vector(layer, part));
      return Float32Array.from(biases.flatMap((bias) => [...bias]));
    },
    finalNorm,
  };
}

async function session(path: string, graph: Uint8Array, threads: number): Promise<InferenceSession> {
  try {
    return await InferenceSession.create(graph, {
      executionProviders: ['cpu'],
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'basic', // What could be fused further is fused in the graph already.
      enableMemPattern: false, // Every number of slots would make a new plan.
      // Threads wait for the next product of a run spinning, hundreds a token, and not once the run is over.
      extra: { session: { intra_op: { allow_spinning: '1' }, force_spinning_stop: '1' } },
      logSeverityLevel: 4, // What it would write to stderr is thrown too.
    });
  } catch (error) {
    throw new ModelError('inference', path, `${path}: ${(error as Error).message}`, { cause: error });
  }
}

async function run<Name extends string>(
  path: string,
  on: InferenceSession,
  feeds: Record<string, Tensor>,
  outputs: readonly Name[],
): Promise<Record<Name, Float32Array>> {
  try {
    const results = await on.run(feeds, outputs);
    return Object.fromEntries(
      Object.entries(results).map(([name, tensor]) => [name, tensor.data as Float32Array]),
    ) as Record<Name, Float32Array>;
  } catch (error) {
    throw new ModelError('inference', path, `${path}: ${(error as Error).message}`, { cause: error });
  }
}

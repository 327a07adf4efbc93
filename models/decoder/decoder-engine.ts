import { InferenceSession, Tensor } from 'onnxruntime-node';
import { ModelError } from '../model-error.js';
import { causalMask } from './attention-mask.js';
import type { Checkpoint, MatrixPart } from './checkpoint.js';
import { ColumnRounding } from './column-rounding.js';
import { decoderGraph, headGraph, type GraphWeights, type Product } from './decoder-graph.js';
import type { Engine, LayerRange, StepInput, StepOutput } from './engine.js';
import type { OnnxGraph } from './onnx-graph.js';
import { KvSlots, SlotMemory, type RowsKv } from './kv-slots.js';
import { pickRows } from './pick-rows.js';
import {
  BLOCK,
  inBlocks,
  inBlocksOf,
  rowsOf,
  transposed,
  type BlockWeights,
  type FloatWeights,
} from './quantise.js';
import { Rope } from './rope.js';
import { Scratch } from './scratch.js';
import { areSignedProductsExact } from './signed-products.js';
import type { DecoderShape } from './shape.js';

/** `int8`: as fast as the machine is. `float32`: weights and products as the checkpoint has them, for comparison. */
export type Precision = 'int8' | 'float32';

export interface EngineOptions {
  /** Threads of one run. */
  readonly threads: number;
  readonly precision: Precision;
  /** Layers before which rows can be held back, ascending. Default none: all layers are one graph. */
  readonly cuts?: readonly number[];
  /** Whether steps may ask what attention groups of slots get. Default no. */
  readonly masses?: boolean;
}

interface Part extends LayerRange {
  readonly session: InferenceSession;
  readonly keys: Scratch;
  readonly values: Scratch;
}

interface CpuInput extends StepInput {
  readonly past: KvSlots;
}

interface CpuOutput extends StepOutput {
  readonly kv: readonly RowsKv[];
}

/** A decoder on ONNX Runtime's CPU provider. Computes inside the call: for a thread of its own. */
export class DecoderEngine implements Engine {
  readonly device = 'cpu';
  readonly shape: DecoderShape;
  readonly rope: Rope;
  readonly #path: string;
  readonly #parts: readonly Part[];
  readonly #masses: boolean;
  readonly #memory = new SlotMemory();
  readonly #head: InferenceSession;
  readonly #embed: (tokens: ArrayLike<number>) => Float32Array;

  private constructor(
    { path, shape }: Checkpoint,
    parts: readonly Part[],
    masses: boolean,
    head: InferenceSession,
    embed: (tokens: ArrayLike<number>) => Float32Array,
  ) {
    this.#path = path;
    this.shape = shape;
    this.rope = new Rope(shape);
    this.#parts = parts;
    this.#masses = masses;
    this.#head = head;
    this.#embed = embed;
  }

  /** @throws ModelError `damaged`, `unsupported`, `inference` */
  static async open(
    checkpoint: Checkpoint,
    { threads, precision, cuts = [], masses = false }: EngineOptions,
  ): Promise<DecoderEngine> {
    const { path, shape } = checkpoint;
    checkShape(checkpoint);
    const { embed, headWeights } = vocabularyOf(checkpoint, precision);
    const rounding =
      precision === 'int8'
        ? new ColumnRounding((await areSignedProductsExact()) ? 0 : 128, threads)
        : undefined;
    const head = await session(path, headGraph(shape, headWeights), threads);
    const parts: Part[] = [];
    try {
      const weights = weightsOf(checkpoint, precision, rounding);
      const bounds = [0, ...cuts, shape.layers];
      for (let i = 0; i + 1 < bounds.length; i++) {
        const range = { from: bounds[i]!, to: bounds[i + 1]! };
        const graph = await decoderGraph(shape, weights, range, masses);
        await rounding?.close(); // The graph's session takes the memory that it had.
        const opened = await session(path, graph, threads);
        parts.push({ ...range, session: opened, keys: new Scratch(), values: new Scratch() });
      }
      return new DecoderEngine(checkpoint, parts, masses, head, embed);
    } catch (error) {
      await rounding?.close();
      for (const opened of [head, ...parts.map((part) => part.session)]) await opened.release();
      throw error;
    }
  }

  /** The graphs, in order: cuts lie between them. */
  get parts(): readonly LayerRange[] {
    return this.#parts;
  }

  embed(tokens: ArrayLike<number>): Float32Array {
    return this.#embed(tokens);
  }

  slots(expected?: number): KvSlots {
    return new KvSlots(this.shape, this.rope, expected, this.#memory);
  }

  /**
   * All layers.
   * @throws ModelError `inference`
   */
  async step(input: CpuInput): Promise<CpuOutput> {
    return this.through(0, this.#parts.length, input);
  }

  /**
   * The layers of parts `first` to `end`, the last not among them.
   * @throws ModelError `inference`
   */
  async through(
    first: number,
    end: number,
    { rows, positions, past, mask, groups }: CpuInput,
  ): Promise<CpuOutput> {
    const { width, kvHeads, headSize } = this.shape;
    const count = positions.length;
    const total = past.capacity + count;
    const { cos, sin } = this.rope.rotation(positions);
    const shared: Record<string, Tensor> = {
      cos: new Tensor('float32', cos, [count, headSize / 2]),
      sin: new Tensor('float32', sin, [count, headSize / 2]),
      mask: new Tensor('float32', mask ?? causalMask(past, count), [count, total]),
    };
    const asked = groups ?? new Float32Array(0);
    if (this.#masses) shared.groups = new Tensor('float32', asked, [total, asked.length / total]);
    let hidden = rows;
    const kv: RowsKv[] = [];
    const masses: Float32Array[] = [];
    for (const { from, to, session, keys: k, values: v } of this.#parts.slice(first, end)) {
      const feeds = { ...shared, rows: new Tensor('float32', hidden, [1, count, width]) };
      const ofRows = [to - from, kvHeads, count, headSize];
      const [keys, values] = [k.take(sizeOf(ofRows)), v.take(sizeOf(ofRows))];
      const mass = new Float32Array(groups ? ((to - from) * count * groups.length) / total : 0);
      hidden = new Float32Array(count * width);
      await run(
        this.#path,
        session,
        { ...feeds, ...pastOf(past, from, to) },
        {
          hidden: new Tensor('float32', hidden, [1, count, width]),
          k: new Tensor('float32', keys, ofRows),
          v: new Tensor('float32', values, ofRows),
          ...(groups && { mass: new Tensor('float32', mass, [to - from, count, groups.length / total]) }),
        },
      );
      kv.push({ from, keys, values });
      if (groups) masses.push(mass);
    }
    return { hidden, kv, masses };
  }

  /**
   * @param hidden one row of a step's
   * @throws ModelError `inference`
   */
  async logits(hidden: Float32Array): Promise<Float32Array> {
    const { width, vocabulary } = this.shape;
    const logits = new Float32Array(vocabulary);
    await run(
      this.#path,
      this.#head,
      { hidden: new Tensor('float32', hidden, [1, 1, width]) },
      { logits: new Tensor('float32', logits, [1, 1, vocabulary]) },
    );
    return logits;
  }

  async close(): Promise<void> {
    for (const { session } of this.#parts) await session.release();
    await this.#head.release();
  }
}

function pastOf(past: KvSlots, from: number, to: number): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  for (let layer = from; layer < to; layer++) {
    feeds[`past_k.${layer}`] = new Tensor('float32', past.keys(layer), past.dims);
    feeds[`past_v.${layer}`] = new Tensor('float32', past.values(layer), past.dims);
  }
  return feeds;
}

/** @throws ModelError `unsupported` */
export function checkShape({ path, shape }: Checkpoint): void {
  if (shape.width % BLOCK === 0 && shape.heads % shape.kvHeads === 0 && shape.headSize % 2 === 0) return;
  throw new ModelError(
    'unsupported',
    path,
    `${path} has a width of ${shape.width}, ${shape.heads} heads of ${shape.headSize} and ${shape.kvHeads} of keys; ` +
      `a width that ${BLOCK} divides, heads that the heads of keys divide, and an even size of heads are run`,
  );
}

interface Vocabulary {
  readonly embed: (tokens: ArrayLike<number>) => Float32Array;
  readonly headWeights: BlockWeights | FloatWeights;
}

/** How tokens become rows, and rows logits. */
export function vocabularyOf(checkpoint: Checkpoint, precision: Precision): Vocabulary {
  return precision === 'float32' ? floatVocabulary(checkpoint) : blockVocabulary(checkpoint);
}

function blockVocabulary({ embedding, head }: Checkpoint): Vocabulary {
  const blocks = inBlocks(embedding);
  return { embed: (tokens) => rowsOf(blocks, tokens), headWeights: head ? inBlocks(head) : blocks };
}

function floatVocabulary({ embedding, head, shape: { width } }: Checkpoint): Vocabulary {
  const numbers = embedding.read();
  return {
    embed: (tokens) => pickRows(numbers, width, tokens),
    headWeights: transposed([head ?? embedding]),
  };
}

const PARTS: Readonly<Record<Product, readonly MatrixPart[]>> = {
  qkv: ['q', 'k', 'v'],
  output: ['output'],
  gateUp: ['gate', 'up'],
  down: ['down'],
};

/** @param rounding of weights to 8 bits, for a CPU. Default none: they are numbers, or in blocks for a GPU. */
export function weightsOf(
  checkpoint: Checkpoint,
  precision: Precision,
  rounding?: ColumnRounding,
): GraphWeights {
  const { shape, finalNorm } = checkpoint;
  // Only where activations are rounded, too.
  const smoothing = (layer: number, name: Product) =>
    rounding && name !== 'output' ? checkpoint.smoothing(layer, name) : undefined;
  return {
    async product(layer, name, room) {
      const matrices = PARTS[name].map((part) => checkpoint.matrix(layer, part));
      if (!rounding) {
        const fits = shape.inner % BLOCK === 0 && shape.width % BLOCK === 0;
        return precision === 'int8' && fits ? inBlocksOf(matrices) : transposed(matrices);
      }
      const weights = await rounding.columns(matrices, smoothing(layer, name), room);
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

async function session(path: string, graph: OnnxGraph, threads: number): Promise<InferenceSession> {
  const { file, weights } = graph.encodeApart();
  try {
    return await InferenceSession.create(file, {
      externalData: [weights],
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

/**
 * Into outputs that are there: those that ONNX Runtime makes lie in its arena until garbage is collected, and V8 does not
 * know how large they are.
 */
async function run(
  path: string,
  on: InferenceSession,
  feeds: Record<string, Tensor>,
  outputs: Record<string, Tensor>,
): Promise<void> {
  try {
    await on.run(feeds, outputs);
  } catch (error) {
    throw new ModelError('inference', path, `${path}: ${(error as Error).message}`, { cause: error });
  }
}

function sizeOf(dims: readonly number[]): number {
  return dims.reduce((size, dim) => size * dim, 1);
}

import { InferenceSession, Tensor } from 'onnxruntime-node';
import { half, Q8_BYTES } from './ggml-types.js';
import type { Matrix } from './matrix.js';
import { DATA_TYPE, OnnxGraph } from './onnx-graph.js';
import { BLOCK } from './quantise.js';

/** Weights with 8 bits and a scale a column, transposed: [inputs, outputs], as products of many rows want them. */
export interface ColumnWeights {
  readonly inputs: number;
  readonly outputs: number;
  readonly levels: Int8Array | Uint8Array;
  /** The level that is 0: of signed levels 0, of unsigned ones 128. */
  readonly zero: ZeroLevel;
  readonly scales: Float32Array;
}

export type ZeroLevel = 0 | 128;

/** What a file has of a matrix: numbers, or blocks of Q8_0. */
type Source = 'numbers' | 'q8';

/** Gives memory of so many bytes. */
export type Room = (bytes: number) => Uint8Array<ArrayBuffer>;

type Feeds = Readonly<Record<string, Tensor>>;

/**
 * Rounds matrices to 8 bits, a scale a column: by graphs of ONNX Runtime, whose vectors and threads are sooner done than
 * loops over typed arrays, and a model is loaded when all of its weights have been through them.
 */
export class ColumnRounding {
  readonly #zero: ZeroLevel;
  readonly #threads: number;
  // What goes into a run: the same memory each time, so that a model is not there several times.
  #blocks = new ArrayBuffer(0);
  readonly #sessions = new Map<Source, Promise<InferenceSession>>();

  /** @param zero the level that is to be 0 */
  constructor(zero: ZeroLevel, threads: number) {
    this.#zero = zero;
    this.#threads = threads;
  }

  /**
   * @param parts matrices [outputs, inputs] with the same inputs, one below the other
   * @param factors what each input is multiplied with
   * @param room memory for the levels, a byte each
   */
  async columns(
    parts: readonly Matrix[],
    factors?: Float32Array,
    room: Room = (bytes) => new Uint8Array(bytes),
  ): Promise<ColumnWeights> {
    const { inputs } = parts[0]!;
    const outputs = parts.reduce((sum, part) => sum + part.outputs, 0);
    const { source, feeds } = this.#read(parts, inputs, outputs);
    const session = await this.#session(source);
    const scales = new Float32Array(outputs);
    const size = inputs * outputs;
    const bytes = room(size);
    const levels = this.#zero === 0 ? new Int8Array(bytes.buffer, bytes.byteOffset, size) : bytes;
    await session.run(
      { ...feeds, factors: new Tensor('float32', factors ?? new Float32Array(inputs).fill(1), [inputs]) },
      { scales: new Tensor('float32', scales, [outputs]), levels: new Tensor(levels, [inputs, outputs]) },
    );
    return { inputs, outputs, levels, zero: this.#zero, scales };
  }

  /** Gives up its memory, until it is used again. */
  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).release();
    this.#sessions.clear();
  }

  #read(parts: readonly Matrix[], inputs: number, outputs: number): { source: Source; feeds: Feeds } {
    if (parts.every(({ readQ8 }) => readQ8)) {
      const blocks = inputs / BLOCK;
      const size = outputs * blocks * Q8_BYTES;
      this.#blocks = roomFor(size, this.#blocks);
      let at = 0;
      for (const part of parts) {
        const of = new Uint8Array(this.#blocks, at, part.outputs * blocks * Q8_BYTES);
        part.readQ8!(of);
        at += of.length;
      }
      // Not halves of the same bytes: from Node 24 on, onnxruntime-node takes no float16 (its pull request 32323).
      const steps = new Float32Array(outputs * blocks);
      const bytes = new Uint8Array(this.#blocks, 0, size);
      for (let block = 0; block < steps.length; block++) steps[block] = half(bytes, block * Q8_BYTES);
      return {
        source: 'q8',
        feeds: {
          bytes: new Tensor(new Int8Array(this.#blocks, 0, size), [outputs, blocks, Q8_BYTES]),
          steps: new Tensor(steps, [outputs, blocks, 1]),
        },
      };
    }
    const numbers = new Float32Array(outputs * inputs);
    let at = 0;
    for (const part of parts) {
      numbers.set(part.read(), at);
      at += part.outputs * inputs;
    }
    return { source: 'numbers', feeds: { numbers: new Tensor(numbers, [outputs, inputs]) } };
  }

  #session(source: Source): Promise<InferenceSession> {
    let session = this.#sessions.get(source);
    if (!session) {
      session = InferenceSession.create(roundingGraph(source, this.#zero), {
        executionProviders: ['cpu'],
        intraOpNumThreads: this.#threads,
        enableMemPattern: false,
        logSeverityLevel: 4,
      });
      this.#sessions.set(source, session);
    }
    return session;
  }
}

function roomFor(bytes: number, there: ArrayBuffer): ArrayBuffer {
  return there.byteLength < bytes ? new ArrayBuffer(bytes) : there;
}

/**
 * Inputs: `factors` [inputs]; of numbers `numbers` [outputs, inputs]; of blocks their `bytes` [outputs, blocks, Q8_BYTES],
 * which are levels but for the first two, and `steps` [outputs, blocks, 1], from one level to the next. Outputs: `scales`
 * [outputs], `levels` [inputs, outputs].
 */
function roundingGraph(source: Source, zero: ZeroLevel): Uint8Array {
  const onnx = new OnnxGraph(21);
  const whole = (...values: number[]) => onnx.constant(BigInt64Array.from(values, BigInt), [values.length]);
  const reshape = (x: string, ...dims: number[]) => onnx.node('Reshape', [x, whole(...dims)]);
  onnx.input('factors', 'float32', ['inputs']);
  let unscaled = 'numbers';
  if (source === 'numbers') onnx.input('numbers', 'float32', ['outputs', 'inputs']);
  else {
    onnx.input('bytes', 'int8', ['outputs', 'blocks', Q8_BYTES]);
    onnx.input('steps', 'float32', ['outputs', 'blocks', 1]);
    const levels = onnx.node('Slice', ['bytes', whole(2), whole(Q8_BYTES), whole(2)]);
    const asFloats = onnx.node('Cast', [levels], { attributes: { to: DATA_TYPE.float32 } });
    unscaled = reshape(onnx.node('Mul', [asFloats, 'steps']), 0, -1);
  }
  const numbers = onnx.node('Mul', [unscaled, 'factors']);
  const over = (op: string) => onnx.node(op, [numbers, whole(1)], { attributes: { keepdims: 0 } });
  const largest = onnx.node('Max', [over('ReduceMax'), onnx.node('Neg', [over('ReduceMin')])]);
  onnx.nodes('Mul', [largest, onnx.constant(Float32Array.of(1 / 127), [])], { outputs: ['scales'] });
  const middle = onnx.constant(zero === 0 ? Int8Array.of(0) : Uint8Array.of(zero), [1]);
  const middles = onnx.node('Expand', [middle, onnx.node('Shape', ['scales'])]);
  const levels = onnx.node('QuantizeLinear', [numbers, 'scales', middles], { attributes: { axis: 0 } });
  onnx.nodes('Transpose', [levels], { outputs: ['levels'], attributes: { perm: [1, 0] } });
  onnx.output('scales', 'float32', ['outputs']);
  onnx.output('levels', zero === 0 ? 'int8' : 'uint8', ['inputs', 'outputs']);
  return onnx.encode();
}

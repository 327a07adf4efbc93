import type { Slots, StepKv } from './kv-slots.js';
import type { Rope } from './rope.js';
import type { DecoderShape } from './shape.js';

/** What a decoder is run on. */
export type Device = 'cpu' | 'gpu';

/** Layers `from` to `to`, the last not among them. */
export interface LayerRange {
  readonly from: number;
  readonly to: number;
}

/** Rows to compute. */
export interface StepInput {
  /** [rows, width]: embedded tokens, or what the layers before put out. */
  readonly rows: Float32Array;
  /** A position a row. */
  readonly positions: ArrayLike<number>;
  /** Of the same engine. */
  readonly past: Slots;
  /** [rows, capacity of past + rows], as the graph takes it. Default each row sees the past, itself and rows before it. */
  readonly mask?: Float32Array;
  /**
   * [capacity of past + rows, groups], which group a slot or a row is of: the engine was opened for masses. Default
   * none.
   */
  readonly groups?: Float32Array;
}

/** Of the rows alone. */
export interface StepOutput {
  /** [rows, width]: for the next layers or, after the last, for the vocabulary. */
  readonly hidden: Float32Array;
  /** In the order of layers; they go into slots before the next step. */
  readonly kv: readonly StepKv[];
  /** [layers, rows, groups] for each of `kv`: attention paid to each group, a mean over heads. */
  readonly masses: readonly Float32Array[];
}

/** A decoder on a device: what a request has of keys and values stays there, in slots. */
export interface Engine {
  readonly device: Device;
  readonly shape: DecoderShape;
  readonly rope: Rope;
  /** The graphs, in order: cuts lie between them. */
  readonly parts: readonly LayerRange[];
  embed(tokens: ArrayLike<number>): Float32Array;
  /**
   * None in use.
   * @param expected how many there will be, where that is known: memory is then taken once
   */
  slots(expected?: number): Slots;
  /**
   * All layers.
   * @throws ModelError `inference`; on a GPU KernelError
   */
  step(input: StepInput): Promise<StepOutput>;
  /**
   * The layers of parts `first` to `end`, the last not among them.
   * @throws as `step`
   */
  through(first: number, end: number, input: StepInput): Promise<StepOutput>;
  /**
   * @param hidden one row of a step's
   * @throws as `step`
   */
  logits(hidden: Float32Array): Promise<Float32Array>;
  close(): Promise<void>;
}

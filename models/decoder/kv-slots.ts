import { carriedRows, carryRows, type CarriedRows } from './carry-over.js';
import type { LayerRange } from './engine.js';
import { Rope, turn, type Rotation } from './rope.js';
import type { DecoderShape } from './shape.js';

/** Slots are added so many at once: a graph sees no more than this many that hold nothing. */
export const STEP = 64;

/** Keys and values of rows as an engine puts them out, of the layers from `from` on: what is in them its slots know. */
export interface StepKv {
  readonly from: number;
}

/** Keys, as they are before their rotation, and values of consecutive tokens: [layers, kvHeads, tokens, headSize] each. */
export interface TokensKv {
  readonly tokens: number;
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/**
 * Shares of what some rows of known tokens changed by where they were computed anew that the others are moved by, between 0
 * and 1. What stands before some tokens changes most of them alike, their keys more so than their values.
 */
export interface CarryShares {
  readonly keys: number;
  readonly values: number;
}

/** Keys, rotated, and values of a sequence, on an engine's device: a slot a token, `length` of `capacity` in use. */
export interface Slots {
  readonly length: number;
  readonly capacity: number;
  /** Puts rows behind those in use. */
  append(kv: readonly StepKv[], rows: number): void;
  /**
   * Puts runs of rows into slots, whatever is there; slots up to the last one put count as in use.
   * @param rows of `kv`, in all; those that no run has are left out
   */
  put(kv: readonly StepKv[], runs: readonly SlotRun[], rows: number): void;
  /**
   * Makes room for so many slots at once.
   * @param soon those that are filled before anything is computed: nothing is put there now. Default none
   */
  reserve(slots: number, soon?: readonly SlotSpan[]): void;
  /**
   * Puts tokens into slots from `start` on, their keys rotated to the positions of the same numbers.
   * @param layer the first of those that `kv` has. Default 0
   */
  place(kv: TokensKv, start: number, layer?: number): void;
  /**
   * Moves placed tokens, but for those that were computed anew since, by shares of what these have changed by: a mean over
   * them of each number of each head, of keys before their rotation.
   * @param old what was placed from `start` on
   * @param isAnew a token each
   * @param layers those that are moved
   */
  carry(
    old: TokensKv,
    start: number,
    isAnew: readonly boolean[],
    shares: CarryShares,
    layers: LayerRange,
  ): Promise<void>;
  /** Forgets slots from `length` on, of those in use, and the room for them. */
  truncate(length: number): void;
  /** What stands in slots from `start` on, whose keys were rotated to `position` and those after it. */
  read(start: number, count: number, position: number): Promise<TokensKv>;
  /**
   * Remembers a layer of the first slots as it is. @returns what tells how far it has gone from there: squared differences
   * of keys and values, summed over heads, a number a slot
   */
  watch(layer: number, slots: number): () => Promise<Float32Array>;
  /** Lets memory go: nothing is read of it, or put into it, any more. */
  release(): void;
}

/** Keys, rotated, and values of rows, of the layers from `from` on: [layers, kvHeads, rows, headSize] each. */
export interface RowsKv extends StepKv {
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** Numbers that are kept of the sequence that ended last: 2,000 tokens of SmolLM2. */
const SPARE = 24e6;

/** What sequences of an engine have of each other: memory of one that has ended serves the next. */
export class SlotMemory {
  #spare: Float32Array | undefined;

  /** @returns at least as many numbers, whatever they are */
  take(length: number): Float32Array {
    const spare = this.#spare;
    this.#spare = undefined;
    return spare && spare.length >= length ? spare : new Float32Array(length);
  }

  give(numbers: Float32Array): void {
    if (numbers.length <= SPARE && numbers.length > (this.#spare?.length ?? 0)) this.#spare = numbers;
  }
}

/** Slots in the process's memory. */
export class KvSlots implements Slots {
  readonly #shape: DecoderShape;
  readonly #rope: Rope;
  readonly #memory: SlotMemory;
  /** Keys of all layers, then values, each with room for so many slots. */
  #numbers: Float32Array = new Float32Array(0);
  #room: number;
  #length = 0;
  #capacity = 0;

  /** @param expected slots that memory is taken for at once */
  constructor(shape: DecoderShape, rope = new Rope(shape), expected = 0, memory = new SlotMemory()) {
    this.#shape = shape;
    this.#rope = rope;
    this.#memory = memory;
    this.#room = inSteps(expected);
  }

  get length(): number {
    return this.#length;
  }

  get capacity(): number {
    return this.#capacity;
  }

  /** Of a layer's keys, and of its values. */
  get dims(): readonly [number, number, number] {
    return [this.#shape.kvHeads, this.#capacity, this.#shape.headSize];
  }

  /** [kvHeads, capacity, headSize]. */
  keys(layer: number): Float32Array {
    return this.#layer(layer, this.#capacity);
  }

  values(layer: number): Float32Array {
    return this.#layer(this.#shape.layers + layer, this.#capacity);
  }

  append(kv: readonly RowsKv[], rows: number): void {
    this.put(kv, [{ row: 0, slot: this.#length, count: rows }], rows);
  }

  put(kv: readonly RowsKv[], runs: readonly SlotRun[], rows: number): void {
    const end = Math.max(this.#length, ...runs.map(({ slot, count }) => slot + count));
    this.reserve(end);
    const { kvHeads, headSize } = this.#shape;
    for (const { from, keys, values } of kv) {
      const layers = keys.length / (kvHeads * rows * headSize);
      for (let i = 0; i < layers * kvHeads; i++) {
        const layer = from + Math.floor(i / kvHeads);
        const head = i % kvHeads;
        const [ownKeys, ownValues] = [this.keys(layer), this.values(layer)];
        for (const { row, slot, count } of runs) {
          const start = (i * rows + row) * headSize;
          const to = (head * this.#capacity + slot) * headSize;
          ownKeys.set(keys.subarray(start, start + count * headSize), to);
          ownValues.set(values.subarray(start, start + count * headSize), to);
        }
      }
    }
    this.#length = end;
  }

  reserve(slots: number, soon: readonly SlotSpan[] = []): void {
    if (slots <= this.#capacity) return;
    const [before, capacity] = [this.#capacity, inSteps(slots)];
    const { layers, kvHeads, headSize } = this.#shape;
    const [old, oldRoom] = [this.#numbers, this.#room];
    if (old.length === 0 || capacity > oldRoom) {
      if (capacity > oldRoom) this.#room = Math.max(inSteps(1.25 * oldRoom), capacity);
      this.#numbers = this.#memory.take(2 * layers * kvHeads * this.#room * headSize);
    }
    const used = this.#length * headSize;
    const empty = spansBetween(soon, this.#length, capacity);
    for (let i = 0; i < 2 * layers; i++) {
      const from = i * kvHeads * oldRoom * headSize;
      const to = this.#layer(i, capacity);
      // The last first: in the same memory what moves up would cover it.
      for (let head = kvHeads - 1; head >= 0; head--) {
        const start = head * capacity * headSize;
        const source = from + head * before * headSize;
        if (used > 0) to.set(old.subarray(source, source + used), start);
        for (const span of empty) to.fill(0, start + span.from * headSize, start + span.to * headSize);
      }
    }
    this.#capacity = capacity;
  }

  place({ tokens, keys, values }: TokensKv, start: number, layer = 0): void {
    const end = Math.max(this.#length, start + tokens);
    this.reserve(end);
    const { kvHeads, headSize } = this.#shape;
    const rotation = this.#rope.rotation(placesFrom(start, tokens));
    const size = tokens * headSize;
    for (let i = 0; i * size < keys.length; i++) {
      const to = ((i % kvHeads) * this.#capacity + start) * headSize;
      const own = layer + Math.floor(i / kvHeads);
      turn(
        keys.subarray(i * size, (i + 1) * size),
        rotation,
        headSize,
        this.keys(own).subarray(to, to + size),
      );
      this.values(own).set(values.subarray(i * size, (i + 1) * size), to);
    }
    this.#length = end;
  }

  carry(
    old: TokensKv,
    start: number,
    isAnew: readonly boolean[],
    shares: CarryShares,
    { from, to }: LayerRange,
  ): Promise<void> {
    const { kvHeads, headSize } = this.#shape;
    const { tokens } = old;
    const carried = carriedRows(isAnew, headSize);
    if (carried.anew.length === 0) return Promise.resolve();
    const positions = placesFrom(start, tokens);
    const [there, back] = [this.#rope.rotation(positions), this.#rope.unrotation(positions)];
    for (let layer = from; layer < to; layer++)
      for (let head = 0; head < kvHeads; head++) {
        const slots = (head * this.#capacity + start) * headSize;
        const [first, end] = [slots, slots + tokens * headSize];
        const rows = (layer * kvHeads + head) * tokens * headSize;
        const was = (numbers: Float32Array) => numbers.subarray(rows, rows + tokens * headSize);
        carryKeys(was(old.keys), this.keys(layer).subarray(first, end), there, back, carried, shares.keys);
        carryRows(was(old.values), this.values(layer).subarray(first, end), carried, shares.values);
      }
    return Promise.resolve();
  }

  truncate(length: number): void {
    this.#length = Math.min(this.#length, length);
    const [before, capacity] = [this.#capacity, inSteps(this.#length + 1)];
    if (capacity >= before) return;
    const { layers, kvHeads, headSize } = this.#shape;
    for (let i = 0; i < 2 * layers; i++)
      for (let head = 1; head < kvHeads; head++) {
        const start = (i * this.#room * kvHeads + head * before) * headSize;
        const to = (i * this.#room * kvHeads + head * capacity) * headSize;
        this.#numbers.copyWithin(to, start, start + capacity * headSize);
      }
    this.#capacity = capacity;
  }

  read(start: number, count: number, position: number): Promise<TokensKv> {
    const { layers, kvHeads, headSize } = this.#shape;
    const keys = new Float32Array(layers * kvHeads * count * headSize);
    const values = new Float32Array(keys.length);
    for (let layer = 0, into = 0; layer < layers; layer++)
      for (let head = 0; head < kvHeads; head++, into += count * headSize) {
        const from = (head * this.#capacity + start) * headSize;
        keys.set(this.keys(layer).subarray(from, from + count * headSize), into);
        values.set(this.values(layer).subarray(from, from + count * headSize), into);
      }
    this.#rope.turned(keys, placesFrom(position, count), true, keys);
    return Promise.resolve({ tokens: count, keys, values });
  }

  watch(layer: number, slots: number): () => Promise<Float32Array> {
    this.reserve(slots);
    const known = { keys: this.keys(layer).slice(), values: this.values(layer).slice() };
    const stride = this.#capacity;
    const { kvHeads, headSize } = this.#shape;
    return () => {
      const [keys, values] = [this.keys(layer), this.values(layer)];
      const deviations = Float32Array.from({ length: slots }, (_, slot) => {
        let sum = 0;
        for (let head = 0; head < kvHeads; head++) {
          const [a, b] = [(head * stride + slot) * headSize, (head * this.#capacity + slot) * headSize];
          for (let i = 0; i < headSize; i++)
            sum += (known.keys[a + i]! - keys[b + i]!) ** 2 + (known.values[a + i]! - values[b + i]!) ** 2;
        }
        return sum;
      });
      return Promise.resolve(deviations);
    };
  }

  /** What is in them is not read again. */
  release(): void {
    this.#memory.give(this.#numbers);
    this.#numbers = new Float32Array(0);
    [this.#room, this.#length, this.#capacity] = [0, 0, 0];
  }

  /** Keys or, behind those of all layers, values. */
  #layer(i: number, capacity: number): Float32Array {
    const { kvHeads, headSize } = this.#shape;
    const start = i * kvHeads * this.#room * headSize;
    return this.#numbers.subarray(start, start + kvHeads * capacity * headSize);
  }
}

/** As `carryRows`, of keys that are rotated where they are. */
function carryKeys(
  old: Float32Array,
  keys: Float32Array,
  { cos, sin }: Rotation,
  back: Rotation,
  { anew, others, headSize }: CarriedRows,
  share: number,
): void {
  const pairs = headSize / 2;
  const mean = new Float64Array(headSize);
  for (const row of anew) {
    const at = row * headSize;
    for (let pair = 0; pair < pairs; pair++) {
      const x = keys[at + pair]!;
      const y = keys[at + pairs + pair]!;
      const c = back.cos[row * pairs + pair]!;
      const s = back.sin[row * pairs + pair]!;
      mean[pair]! += x * c - y * s - old[at + pair]!;
      mean[pairs + pair]! += y * c + x * s - old[at + pairs + pair]!;
    }
  }
  for (let i = 0; i < headSize; i++) mean[i]! *= share / anew.length;
  for (let n = 0; n < others.length; n++) {
    const row = others[n]!;
    const at = row * headSize;
    const turn = row * pairs;
    for (let pair = 0; pair < pairs; pair++) {
      const x = mean[pair]!;
      const y = mean[pairs + pair]!;
      const c = cos[turn + pair]!;
      const s = sin[turn + pair]!;
      keys[at + pair]! += x * c - y * s;
      keys[at + pairs + pair]! += y * c + x * s;
    }
  }
}

/** Room for so many slots. */
export function inSteps(slots: number): number {
  return Math.ceil(slots / STEP) * STEP;
}

/** Slots `from` to `to`, the last not among them. */
export interface SlotSpan {
  readonly from: number;
  readonly to: number;
}

/** What ascending spans leave between `from` and `to`; of others more. */
function spansBetween(spans: readonly SlotSpan[], from: number, to: number): SlotSpan[] {
  const left: SlotSpan[] = [];
  let at = from;
  for (const span of spans) {
    if (span.from > at) left.push({ from: at, to: span.from });
    at = Math.max(at, span.to);
  }
  if (to > at) left.push({ from: at, to });
  return left;
}

/** Consecutive rows that go into consecutive slots. */
export interface SlotRun {
  readonly row: number;
  readonly slot: number;
  readonly count: number;
}

/** Consecutive positions. */
export function placesFrom(start: number, count: number): Int32Array {
  return Int32Array.from({ length: count }, (_, i) => start + i);
}

/** Bytes that a token's keys and values take. */
export function bytesAToken({ layers, kvHeads, headSize }: DecoderShape): number {
  return 2 * layers * kvHeads * headSize * Float32Array.BYTES_PER_ELEMENT;
}

import type { DecoderShape } from './shape.js';

/** Slots are added so many at once: a graph sees no more than this many that hold nothing. */
const STEP = 64;

/** Keys, rotated, and values of rows, of the layers from `from` on: [layers, kvHeads, rows, headSize] each. */
export interface RowsKv {
  readonly from: number;
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

/** Keys, rotated, and values of a sequence: a slot a token, the first `length` of `capacity` in use. */
export class KvSlots {
  readonly #shape: DecoderShape;
  /** A layer each, [kvHeads, capacity, headSize]. */
  readonly #keys: Float32Array[];
  readonly #values: Float32Array[];
  #length = 0;
  #capacity = 0;

  constructor(shape: DecoderShape) {
    this.#shape = shape;
    this.#keys = Array.from({ length: shape.layers }, () => new Float32Array(0));
    this.#values = Array.from({ length: shape.layers }, () => new Float32Array(0));
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

  keys(layer: number): Float32Array {
    return this.#keys[layer]!;
  }

  values(layer: number): Float32Array {
    return this.#values[layer]!;
  }

  /** Puts rows behind those in use. */
  append(kv: readonly RowsKv[], rows: number): void {
    this.put(kv, [{ row: 0, slot: this.#length, count: rows }], rows);
  }

  /**
   * Puts runs of rows into slots, whatever is there; slots up to the last one put count as in use.
   * @param rows of `kv`, in all
   */
  put(kv: readonly RowsKv[], runs: readonly SlotRun[], rows: number): void {
    const end = Math.max(this.#length, ...runs.map(({ slot, count }) => slot + count));
    this.reserve(end);
    const { kvHeads, headSize } = this.#shape;
    for (const { from, keys, values } of kv) {
      const layers = keys.length / (kvHeads * rows * headSize);
      for (let i = 0; i < layers * kvHeads; i++) {
        const layer = from + Math.floor(i / kvHeads);
        const head = i % kvHeads;
        for (const { row, slot, count } of runs) {
          const start = (i * rows + row) * headSize;
          const to = (head * this.#capacity + slot) * headSize;
          this.#keys[layer]!.set(keys.subarray(start, start + count * headSize), to);
          this.#values[layer]!.set(values.subarray(start, start + count * headSize), to);
        }
      }
    }
    this.#length = end;
  }

  /** Makes room for so many slots at once. */
  reserve(slots: number): void {
    if (slots <= this.#capacity) return;
    const capacity = Math.ceil(slots / STEP) * STEP;
    for (const arrays of [this.#keys, this.#values])
      for (let layer = 0; layer < arrays.length; layer++)
        arrays[layer] = this.#moved(arrays[layer]!, capacity);
    this.#capacity = capacity;
  }

  #moved(from: Float32Array, capacity: number): Float32Array {
    const { kvHeads, headSize } = this.#shape;
    const to = new Float32Array(kvHeads * capacity * headSize);
    for (let head = 0; head < kvHeads; head++) {
      const start = head * this.#capacity * headSize;
      to.set(from.subarray(start, start + this.#length * headSize), head * capacity * headSize);
    }
    return to;
  }
}

/** Consecutive rows that go into consecutive slots. */
export interface SlotRun {
  readonly row: number;
  readonly slot: number;
  readonly count: number;
}

/** Bytes that a token's keys and values take. */
export function bytesAToken({ layers, kvHeads, headSize }: DecoderShape): number {
  return 2 * layers * kvHeads * headSize * Float32Array.BYTES_PER_ELEMENT;
}

import type { DecoderShape } from './shape.js';

/** Slots are added so many at once: a graph sees no more than this many that hold nothing. */
const STEP = 64;

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

  keys(layer: number): Float32Array {
    return this.#keys[layer]!;
  }

  values(layer: number): Float32Array {
    return this.#values[layer]!;
  }

  /** @param keys,values [layers, kvHeads, rows, headSize] */
  append(keys: Float32Array, values: Float32Array, rows: number): void {
    this.#reserve(this.#length + rows);
    const { kvHeads, headSize } = this.#shape;
    const piece = rows * headSize;
    for (let layer = 0, from = 0; layer < this.#keys.length; layer++) {
      for (let head = 0; head < kvHeads; head++, from += piece) {
        const to = (head * this.#capacity + this.#length) * headSize;
        this.#keys[layer]!.set(keys.subarray(from, from + piece), to);
        this.#values[layer]!.set(values.subarray(from, from + piece), to);
      }
    }
    this.#length += rows;
  }

  #reserve(slots: number): void {
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

/** Bytes that a token's keys and values take. */
export function bytesAToken({ layers, kvHeads, headSize }: DecoderShape): number {
  return 2 * layers * kvHeads * headSize * Float32Array.BYTES_PER_ELEMENT;
}

import { setImmediate } from 'node:timers/promises';

export type Precision = 'int8' | 'float32';

export interface Neighbour {
  /** Number of the vector. */
  readonly slot: number;
  /** Inner product with the query. */
  readonly score: number;
}

const TURN_MILLISECONDS = 5;
const SCANNED_A_CHECK = 512;

/**
 * Vectors of one width, by number. As int8 each is stored as round(v · 127 / max|v|) beside its scale max|v| / 127: a
 * quarter of the memory, and a query that stays float32 keeps the error small.
 */
export class Vectors {
  readonly width: number;
  readonly precision: Precision;
  #values: Int8Array | Float32Array;
  #scales = new Float32Array(0);
  #size = 0;

  constructor(width: number, precision: Precision) {
    this.width = width;
    this.precision = precision;
    this.#values = precision === 'int8' ? new Int8Array(0) : new Float32Array(0);
  }

  /** One more than the highest number in use. */
  get size(): number {
    return this.#size;
  }

  /** @param vector of length 1 or any other, `width` wide */
  set(slot: number, vector: Float32Array): void {
    if (slot >= this.#scales.length) this.#grow(Math.max(64, 2 * slot));
    this.#size = Math.max(this.#size, slot + 1);
    let scale = 1;
    if (this.precision === 'int8')
      scale = vector.reduce((max, value) => Math.max(max, Math.abs(value)), 0) / 127 || 1;
    this.#scales[slot] = scale;
    const at = slot * this.width;
    for (let i = 0; i < this.width; i++)
      this.#values[at + i] = this.precision === 'int8' ? Math.round(vector[i]! / scale) : vector[i]!;
  }

  /** As stored, back in float32. */
  get(slot: number): Float32Array {
    const scale = this.#scales[slot]!;
    const at = slot * this.width;
    return Float32Array.from(this.#values.subarray(at, at + this.width), (value) => value * scale);
  }

  score(slot: number, query: Float32Array): number {
    return this.#scales[slot]! * dot(this.#values, slot * this.width, query);
  }

  /**
   * The nearest of all vectors, best first, ties by number. The event loop has its turns in between.
   * @throws the signal's reason when aborted
   */
  async nearest(
    query: Float32Array,
    count: number,
    includes: (slot: number) => boolean,
    signal?: AbortSignal,
  ): Promise<Neighbour[]> {
    // A heap would save little: few vectors are better than the worst kept once a few hundred were seen.
    let best: Neighbour[] = [];
    let floor = -Infinity;
    let turn = performance.now();
    for (let slot = 0; slot < this.#size; slot++) {
      if (slot % SCANNED_A_CHECK === 0 && performance.now() - turn > TURN_MILLISECONDS) {
        await setImmediate();
        signal?.throwIfAborted();
        turn = performance.now();
      }
      if (!includes(slot)) continue;
      const score = this.score(slot, query);
      if (score <= floor) continue;
      best.push({ slot, score });
      if (best.length === 4 * count) {
        best = best.sort(byScore).slice(0, count);
        floor = best[count - 1]!.score;
      }
    }
    return best.sort(byScore).slice(0, count);
  }

  /** Values and scales, as bytes in this machine's order. */
  bytes(): Buffer[] {
    return [this.#values.subarray(0, this.#size * this.width), this.#scales.subarray(0, this.#size)].map(
      ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength),
    );
  }

  /** From what `bytes` gave; copied. */
  static from(width: number, precision: Precision, size: number, bytes: Buffer): Vectors {
    const vectors = new Vectors(width, precision);
    vectors.#grow(size);
    vectors.#size = size;
    let at = 0;
    for (const part of vectors.bytes()) at += bytes.copy(part, 0, at, at + part.length);
    return vectors;
  }

  #grow(capacity: number): void {
    const values =
      this.precision === 'int8'
        ? new Int8Array(capacity * this.width)
        : new Float32Array(capacity * this.width);
    values.set(this.#values);
    this.#values = values;
    const scales = new Float32Array(capacity);
    scales.set(this.#scales);
    this.#scales = scales;
  }
}

function byScore(a: Neighbour, b: Neighbour): number {
  return b.score - a.score || a.slot - b.slot;
}

/** In four sums, which the processor adds side by side. */
function dot(values: Int8Array | Float32Array, at: number, query: Float32Array): number {
  const width = query.length;
  let a = 0;
  let b = 0;
  let c = 0;
  let d = 0;
  let i = 0;
  for (; i + 3 < width; i += 4) {
    a += values[at + i]! * query[i]!;
    b += values[at + i + 1]! * query[i + 1]!;
    c += values[at + i + 2]! * query[i + 2]!;
    d += values[at + i + 3]! * query[i + 3]!;
  }
  for (; i < width; i++) a += values[at + i]! * query[i]!;
  return a + b + c + d;
}

import { HIDDEN } from './attention-mask.js';
import type { KvSlots } from './kv-slots.js';
import type { Rope } from './rope.js';
import type { DecoderShape } from './shape.js';

/** First tokens, which every token goes on seeing. */
const SINKS = 4;

/**
 * Lets a sequence grow past what a model was trained for: a token sees the first four and a window of those before it,
 * and no distance is larger than the window (Han et al. 2023, LM-Infinite).
 */
export class LambdaWindow {
  readonly #shape: DecoderShape;
  readonly #rope: Rope;
  readonly #window: number;
  /** A layer each, [kvHeads, SINKS, headSize], before rotation. */
  #sinks: Float32Array[] | undefined;

  /** @param window in tokens, more than are computed at once */
  constructor(shape: DecoderShape, rope: Rope, window: number) {
    this.#shape = shape;
    this.#rope = rope;
    this.#window = window;
  }

  /**
   * Moves the first keys to where the furthest of the rows takes them to be.
   * @param positions of rows that come next, ascending; a slot is at its position
   * @returns the mask of the rows, [rows, capacity + rows]; undefined as long as all is within the window
   */
  mask(slots: KvSlots, positions: readonly number[]): Float32Array | undefined {
    const last = positions.at(-1)!;
    if (last < this.#window) return undefined;
    this.#moveSinks(slots, last - this.#window);
    const { capacity, length } = slots;
    const total = capacity + positions.length;
    const mask = new Float32Array(positions.length * total).fill(HIDDEN);
    positions.forEach((position, row) => {
      const at = row * total;
      mask.fill(0, at, at + Math.min(SINKS, length));
      mask.fill(0, at + Math.min(length, Math.max(0, position - this.#window + 1)), at + length);
      mask.fill(0, at + capacity, at + capacity + row + 1);
    });
    return mask;
  }

  #moveSinks(slots: KvSlots, by: number): void {
    const { layers, kvHeads, headSize } = this.#shape;
    const places = Int32Array.from({ length: SINKS }, (_, i) => i);
    const size = SINKS * headSize;
    const startOf = (head: number) => head * slots.capacity * headSize;
    this.#sinks ??= Array.from({ length: layers }, (_, layer) => {
      const keys = new Float32Array(kvHeads * size);
      for (let head = 0; head < kvHeads; head++)
        keys.set(slots.keys(layer).subarray(startOf(head), startOf(head) + size), head * size);
      return this.#rope.turned(keys, places, true);
    });
    for (const [layer, sinks] of this.#sinks.entries()) {
      const keys = this.#rope.turned(
        sinks,
        places.map((place) => place + by),
      );
      for (let head = 0; head < kvHeads; head++)
        slots.keys(layer).set(keys.subarray(head * size, (head + 1) * size), startOf(head));
    }
  }
}

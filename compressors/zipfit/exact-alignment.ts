import type { Alignment } from './alignment.js';
import type { CompressedLength } from './codecs.js';

const encoder = new TextEncoder();

/**
 * ZIP-FIT as its authors compute it (Obbad et al. 2024, arXiv 2410.18194, section 2): the mean over the targets of
 * 1 − NCD, the pair compressed candidate first, every pair from scratch.
 */
export class ExactAlignment implements Alignment {
  readonly #targets: readonly { bytes: Uint8Array; length: number }[];
  readonly #compressedLength: CompressedLength;
  readonly #scores: number[] = [];

  /** @throws TypeError where the codec gives no length, here and in `add` */
  constructor(targets: readonly string[], codec: CompressedLength) {
    this.#compressedLength = (bytes) => {
      const length = codec(bytes);
      if (!(length > 0 && length < Infinity))
        throw new TypeError(`the codec gave ${String(length)} as the length of ${bytes.length} bytes`);
      return length;
    };
    this.#targets = targets.map((target) => {
      const bytes = encoder.encode(target);
      return { bytes, length: this.#compressedLength(bytes) };
    });
  }

  add(candidate: string): void {
    const bytes = encoder.encode(candidate);
    const length = this.#compressedLength(bytes);
    let sum = 0;
    for (const target of this.#targets) {
      const pair = new Uint8Array(bytes.length + target.bytes.length);
      pair.set(bytes);
      pair.set(target.bytes, bytes.length);
      sum += 1 - normalizedCompressionDistance(length, target.length, this.#compressedLength(pair));
    }
    this.#scores.push(sum / this.#targets.length);
  }

  scores(): Float64Array {
    return Float64Array.from(this.#scores);
  }
}

/** NCD of Cilibrasi and Vitányi (2005), from the compressed lengths of two texts and of the one after the other. */
export function normalizedCompressionDistance(first: number, second: number, both: number): number {
  return (both - Math.min(first, second)) / Math.max(first, second);
}

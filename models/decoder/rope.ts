import type { DecoderShape } from './shape.js';

/** Cosines and sines of rows' angles, [rows, headSize / 2]. */
export interface Rotation {
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** Angles of rotary positions (Su et al. 2021), taken in double precision: positions may be far out. */
export class Rope {
  /** Radians a position, a pair of numbers of a head. */
  readonly frequencies: Float64Array;
  /** What cosines and sines are multiplied with (YaRN). */
  readonly factor: number;

  constructor(shape: DecoderShape) {
    this.frequencies = frequenciesOf(shape);
    const { scaling } = shape.rope;
    this.factor = scaling.type === 'yarn' ? scaling.attentionFactor : 1;
  }

  rotation(positions: ArrayLike<number>): Rotation {
    const pairs = this.frequencies.length;
    const cos = new Float32Array(positions.length * pairs);
    const sin = new Float32Array(positions.length * pairs);
    for (let row = 0, at = 0; row < positions.length; row++) {
      for (let pair = 0; pair < pairs; pair++, at++) {
        const angle = positions[row]! * this.frequencies[pair]!;
        cos[at] = this.factor * Math.cos(angle);
        sin[at] = this.factor * Math.sin(angle);
      }
    }
    return { cos, sin };
  }

  /** What undoes a rotation: the transposed one, once the factor in it is gone twice. */
  unrotation(positions: ArrayLike<number>): Rotation {
    const { cos, sin } = this.rotation(positions);
    const by = 1 / this.factor ** 2;
    return { cos: cos.map((value) => by * value), sin: sin.map((value) => -by * value) };
  }

  /**
   * Keys [heads, rows, headSize] as the graph rotates them, or with `back` as they were before: by one rotation from
   * double angles, so nothing adds up however often a key is moved.
   * @param out may be `keys`
   */
  turned(
    keys: Float32Array,
    positions: ArrayLike<number>,
    back = false,
    out: Float32Array = new Float32Array(keys.length),
  ): Float32Array {
    turn(
      keys,
      back ? this.unrotation(positions) : this.rotation(positions),
      2 * this.frequencies.length,
      out,
    );
    return out;
  }
}

/**
 * Rotates keys [heads, rows, headSize].
 * @param rotation of the rows
 * @param out may be `keys`
 */
export function turn(keys: Float32Array, { cos, sin }: Rotation, headSize: number, out: Float32Array): void {
  const pairs = headSize / 2;
  for (let at = 0, angle = 0; at < keys.length; at += headSize) {
    for (let pair = 0; pair < pairs; pair++, angle++) {
      const x = keys[at + pair]!;
      const y = keys[at + pairs + pair]!;
      const c = cos[angle]!;
      const s = sin[angle]!;
      out[at + pair] = x * c - y * s;
      out[at + pairs + pair] = y * c + x * s;
    }
    if (angle === cos.length) angle = 0;
  }
}

function frequenciesOf({ headSize, rope: { theta, scaling, divisors } }: DecoderShape): Float64Array {
  const pairs = headSize / 2;
  const plain = Float64Array.from({ length: pairs }, (_, pair) => theta ** ((-2 * pair) / headSize));
  if (divisors) return plain.map((frequency, pair) => frequency / divisors[pair]!);
  switch (scaling.type) {
    case 'none':
      return plain;
    case 'linear':
      return plain.map((frequency) => frequency / scaling.factor);
    case 'llama3': {
      const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalContext } = scaling;
      return plain.map((frequency) => {
        // How often it turns within the original context.
        const turns = (originalContext * frequency) / (2 * Math.PI);
        if (turns > high) return frequency;
        if (turns < low) return frequency / factor;
        const smooth = (turns - low) / (high - low);
        return ((1 - smooth) * frequency) / factor + smooth * frequency;
      });
    }
    case 'yarn': {
      // Peng et al. 2023, section 3.2: pairs that turn often stay, those that turn seldom are stretched.
      const { factor, originalContext, betaFast, betaSlow } = scaling;
      const pairOf = (turns: number) =>
        (headSize * Math.log(originalContext / (turns * 2 * Math.PI))) / (2 * Math.log(theta));
      const first = Math.max(0, Math.floor(pairOf(betaFast)));
      const last = Math.min(headSize - 1, Math.ceil(pairOf(betaSlow)));
      return plain.map((frequency, pair) => {
        const stretched = Math.min(1, Math.max(0, (pair - first) / Math.max(0.001, last - first)));
        return (stretched * frequency) / factor + (1 - stretched) * frequency;
      });
    }
  }
}

import fc from 'fast-check';
import type { LayerKv } from '../../../kvreuse/codecs/kv-codec.js';
import { mulberry32 } from '../../../models/decoder/sampler.js';

/** A layer as decoders have it: keys with four channels far from 0, values about 0 in channels of different sizes. */
export function syntheticLayer(kvHeads: number, tokens: number, headSize: number, seed = 1): LayerKv {
  const next = mulberry32(seed);
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  const keys = new Float32Array(kvHeads * tokens * headSize);
  const values = new Float32Array(keys.length);
  for (let head = 0, at = 0; head < kvHeads; head++) {
    const sizes = Array.from({ length: headSize }, () => 0.3 + next());
    for (let token = 0; token < tokens; token++)
      for (let channel = 0; channel < headSize; channel++, at++) {
        const isOutlier = channel % 16 === head % 16;
        keys[at] = normal() + (isOutlier ? 8 : 0);
        values[at] = 0.2 * sizes[channel]! * normal();
      }
  }
  return { kvHeads, tokens, headSize, keys, values };
}

/** Layers of all sizes and magnitudes, some with channels or tokens that are all alike. */
export const layers: fc.Arbitrary<LayerKv> = fc
  .record({
    kvHeads: fc.integer({ min: 1, max: 3 }),
    tokens: fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 70 })),
    headSize: fc.integer({ min: 1, max: 64 }).map((pairs) => 2 * pairs),
    seed: fc.integer(),
    magnitude: fc.constantFrom(1, 1, 1e-30, 1e30, 1e-42, 0),
    alike: fc.constantFrom('nothing', 'a channel', 'a token', 'everything'),
  })
  .map(({ kvHeads, tokens, headSize, seed, magnitude, alike }) => {
    const layer = syntheticLayer(kvHeads, tokens, headSize, seed);
    for (const numbers of [layer.keys, layer.values])
      for (let at = 0; at < numbers.length; at++) {
        const [token, channel] = [Math.floor(at / headSize) % tokens, at % headSize];
        const isAlike =
          alike === 'everything' ||
          (alike === 'a channel' && channel === 1) ||
          (alike === 'a token' && token === 0);
        numbers[at] = magnitude * (isAlike ? 1.7 : numbers[at]!);
      }
    return layer;
  });

/** A layer of the same sizes to decode into; numbers that are not written show. */
export function emptyLayer({ kvHeads, tokens, headSize }: LayerKv): LayerKv {
  const numbers = kvHeads * tokens * headSize;
  return {
    kvHeads,
    tokens,
    headSize,
    keys: new Float32Array(numbers).fill(NaN),
    values: new Float32Array(numbers).fill(NaN),
  };
}

/** The root of the mean square of what differs, for that of the numbers. */
export function relativeError(exact: Float32Array, got: Float32Array): number {
  let lost = 0;
  let all = 0;
  for (let at = 0; at < exact.length; at++) {
    lost += (exact[at]! - got[at]!) ** 2;
    all += exact[at]! ** 2;
  }
  return all === 0 ? Math.sqrt(lost) : Math.sqrt(lost / all);
}

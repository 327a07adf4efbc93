/** The number that each float16 stands for. */
export const HALVES: Float32Array = Float32Array.from({ length: 65_536 }, (_, half) => {
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  const size =
    exponent === 31
      ? fraction === 0
        ? Infinity
        : NaN
      : exponent === 0
        ? fraction * 2 ** -24
        : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return half & 0x8000 ? -size : size;
});

/** The largest number of a float16. */
export const LARGEST_HALF = 65_504;

/**
 * The float16 nearest to a float32, of two as near the even one.
 * @param bits of a float32 of a magnitude of at most LARGEST_HALF
 */
export function nearestHalf(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const size = bits & 0x7fffffff;
  // From 2^-14 a float16 has an exponent of its own: it is rounded in the bits, a carry going into the exponent.
  if (size >= 0x38800000) return sign | ((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13);
  // Below, it counts steps of 2^-24, as the last bit of a float32 from 0.5 to 1 does.
  number[0] = size;
  asFloat[0] = asFloat[0]! + 0.5;
  return sign | (number[0] - 0x3f000000);
}

/** The largest float16 that is not above x, of a magnitude of at most 1. */
export function halfBelow(x: number): number {
  asFloat[0] = x;
  const half = nearestHalf(number[0]!);
  if (HALVES[half]! <= x) return half;
  if (half & 0x8000) return half + 1;
  return half === 0 ? 0x8001 : half - 1;
}

const number = new Uint32Array(1);
const asFloat = new Float32Array(number.buffer);

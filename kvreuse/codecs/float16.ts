import { largestOf } from './grid.js';
import { HALVES, LARGEST_HALF, nearestHalf } from '../../kernels/half.js';
import { checkBytes, checkLayer, KvCodecError, type KvCodec } from './kv-codec.js';

/** Keys, then values, as float16, rounded to the nearest. */
export const float16: KvCodec = {
  name: 'float16',
  layerBytes: ({ kvHeads, tokens, headSize }) => 4 * kvHeads * tokens * headSize,
  encodeLayer(layer) {
    checkLayer(this.name, layer);
    const halves = new Uint16Array(this.layerBytes(layer) / 2);
    for (const numbers of [layer.keys, layer.values]) {
      const largest = largestOf(numbers);
      if (largest > LARGEST_HALF)
        throw new KvCodecError(
          'range',
          this.name,
          `${largest} is above ${LARGEST_HALF}, the largest that float16 holds; store the chunk as float32`,
        );
    }
    takeHalves(layer.keys, halves.subarray(0, layer.keys.length));
    takeHalves(layer.values, halves.subarray(layer.keys.length));
    return new Uint8Array(halves.buffer);
  },
  decodeLayer(bytes, into) {
    checkBytes(this, bytes, into);
    // Views of 16 bits begin at even places; bytes that came from elsewhere may not.
    const { buffer, byteOffset } = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice();
    const halves = new Uint16Array(buffer, byteOffset, bytes.length / 2);
    putHalves(halves.subarray(0, into.keys.length), into.keys);
    putHalves(halves.subarray(into.keys.length), into.values);
  },
};

function putHalves(halves: Uint16Array, to: Float32Array): void {
  for (let at = 0; at < to.length; at++) to[at] = HALVES[halves[at]!]!;
}

function takeHalves(from: Float32Array, halves: Uint16Array): void {
  const bits = new Uint32Array(from.buffer, from.byteOffset, from.length);
  for (let at = 0; at < bits.length; at++) halves[at] = nearestHalf(bits[at]!);
}

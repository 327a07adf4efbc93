import { int4 } from './int4.js';
import { checkBytes, checkLayer, type KvCodec } from './kv-codec.js';
import { gridsBytes, planeBytes, putLower, putUpper, readGrids, refine, writeGrids } from './planes.js';

/**
 * 8 bits as two planes of 4, the upper first (Wang et al. 2024, BitStack, do so with weights): without its end a layer
 * is what `int4` makes of the same numbers, byte for byte.
 *
 * Layout: a layer of `int4` · the lower plane of the levels.
 */
export const bitPlanes: KvCodec = {
  name: 'bit-planes',
  layerBytes: (sizes) => int4.layerBytes(sizes) + planeBytes(sizes),
  encodeLayer(layer) {
    checkLayer(this.name, layer);
    const bytes = new Uint8Array(this.layerBytes(layer));
    const [upper, lower] = [gridsBytes(layer), int4.layerBytes(layer)];
    const levels = writeGrids(layer, bytes.subarray(0, upper));
    putUpper(levels, bytes.subarray(upper, lower));
    putLower(levels, everyToken(layer.tokens), layer, bytes.subarray(lower));
    return bytes;
  },
  decodeLayer(bytes, into) {
    checkBytes(this, bytes, into);
    const lower = int4.layerBytes(into);
    int4.decodeLayer(bytes.subarray(0, lower), into);
    refine(bytes.subarray(lower), everyToken(into.tokens), readGrids(bytes, into, 256), into);
  },
  degraded: {
    codec: int4,
    degradeLayer: (bytes, sizes) => bytes.subarray(0, int4.layerBytes(sizes)),
  },
};

function everyToken(tokens: number): Uint32Array {
  return Uint32Array.from({ length: tokens }, (_, token) => token);
}

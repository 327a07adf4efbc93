import { checkBytes, checkLayer, type KvCodec } from './kv-codec.js';

/** Keys, then values, as they are: for caches that are read often. */
export const float32: KvCodec = {
  name: 'float32',
  layerBytes: ({ kvHeads, tokens, headSize }) => 8 * kvHeads * tokens * headSize,
  encodeLayer(layer) {
    checkLayer(this.name, layer);
    const { keys, values } = layer;
    const bytes = new Uint8Array(this.layerBytes(layer));
    bytes.set(new Uint8Array(keys.buffer, keys.byteOffset, keys.byteLength));
    bytes.set(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), keys.byteLength);
    return bytes;
  },
  decodeLayer(bytes, into) {
    checkBytes(this, bytes, into);
    const { keys, values } = into;
    new Uint8Array(keys.buffer, keys.byteOffset, keys.byteLength).set(bytes.subarray(0, keys.byteLength));
    new Uint8Array(values.buffer, values.byteOffset, values.byteLength).set(bytes.subarray(keys.byteLength));
  },
};

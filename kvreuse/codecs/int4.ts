import type { Grid, TokenGrid } from './grid.js';
import { checkBytes, checkLayer, type KvCodec } from './kv-codec.js';
import { gridsBytes, planeBytes, putUpper, readGrids, writeGrids } from './planes.js';

/**
 * 4 bits: keys on a grid a channel (Liu et al. 2024, KIVI), values channel-separable on one a token (He et al. 2024,
 * ZipCache).
 *
 * Layout: grids · the upper plane of the levels.
 */
export const int4: KvCodec = {
  name: 'int4',
  layerBytes: (sizes) => gridsBytes(sizes) + planeBytes(sizes),
  encodeLayer(layer) {
    checkLayer(this.name, layer);
    const bytes = new Uint8Array(this.layerBytes(layer));
    putUpper(writeGrids(layer, bytes.subarray(0, gridsBytes(layer))), bytes.subarray(gridsBytes(layer)));
    return bytes;
  },
  decodeLayer(bytes, into) {
    checkBytes(this, bytes, into);
    const numbers = into.tokens * into.headSize;
    let from = gridsBytes(into);
    readGrids(bytes, into, 16).forEach(({ keys, values }, head) => {
      const [start, end] = [head * numbers, (head + 1) * numbers];
      takeKeys(bytes.subarray(from, (from += numbers / 2)), keys, into.keys.subarray(start, end));
      takeValues(bytes.subarray(from, (from += numbers / 2)), values, into.values.subarray(start, end));
    });
  },
};

function takeKeys(levels: Uint8Array, { middles, steps }: Grid, keys: Float32Array): void {
  const headSize = steps.length;
  for (let at = 0, from = 0; at < keys.length;)
    for (let channel = 0; channel < headSize; channel += 2, at += 2, from++) {
      const pair = levels[from]!;
      keys[at] = middles[channel]! + (pair & 15) * steps[channel]!;
      keys[at + 1] = middles[channel + 1]! + (pair >> 4) * steps[channel + 1]!;
    }
}

function takeValues(levels: Uint8Array, { middles, steps, channels }: TokenGrid, values: Float32Array): void {
  const headSize = channels.length;
  for (let token = 0, at = 0, from = 0; token < steps.length; token++) {
    const middle = middles[token]!;
    const step = steps[token]!;
    for (let channel = 0; channel < headSize; channel += 2, at += 2, from++) {
      const pair = levels[from]!;
      values[at] = (middle + (pair & 15) * step) * channels[channel]!;
      values[at + 1] = (middle + (pair >> 4) * step) * channels[channel + 1]!;
    }
  }
}

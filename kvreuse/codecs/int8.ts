import {
  channelGridBytes,
  largestOf,
  levelAt,
  putChannelLevels,
  readChannelGrid,
  sizeCode,
  SIZES,
  writeChannelGrid,
  type Grid,
} from './grid.js';
import { checkBytes, checkLayer, type KvCodec, type LayerSizes } from './kv-codec.js';

const UNITS = 8;
const CELLS = 256;

/**
 * 8 bits: keys on a grid a channel, values on one a token (Liu et al. 2024, KIVI). What is not levels takes so little
 * that a chunk of 100 tokens is 3.9 times smaller than in float32.
 *
 * Layout: units of keys and values, float32 · a head: grid of keys, sizes of values [tokens] · a head: levels of keys,
 * levels of values, [tokens, headSize] each.
 */
export const int8: KvCodec = {
  name: 'int8',
  layerBytes: (sizes) => levelsStart(sizes) + 2 * sizes.kvHeads * sizes.tokens * sizes.headSize,
  encodeLayer(layer) {
    checkLayer(this.name, layer);
    const { kvHeads, tokens, headSize } = layer;
    const bytes = new Uint8Array(this.layerBytes(layer));
    const units = new DataView(bytes.buffer);
    const keyUnit = largestOf(layer.keys);
    const valueUnit = largestOf(layer.values);
    units.setFloat32(0, keyUnit, true);
    units.setFloat32(4, valueUnit, true);
    const numbers = tokens * headSize;
    let at = UNITS;
    let to = levelsStart(layer);
    for (let head = 0; head < kvHeads; head++) {
      const keys = layer.keys.subarray(head * numbers, (head + 1) * numbers);
      const values = layer.values.subarray(head * numbers, (head + 1) * numbers);
      const grid = bytes.subarray(at, (at += channelGridBytes(headSize)));
      const sizes = bytes.subarray(at, (at += tokens));
      writeChannelGrid(keys, headSize, keyUnit, grid);
      const channels = readChannelGrid(grid, headSize, keyUnit, CELLS);
      putChannelLevels(keys, channels, bytes.subarray(to, (to += numbers)));
      putValues(values, valueUnit, sizes, bytes.subarray(to, (to += numbers)));
    }
    return bytes;
  },
  decodeLayer(bytes, into) {
    checkBytes(this, bytes, into);
    const { kvHeads, tokens, headSize } = into;
    const units = new DataView(bytes.buffer, bytes.byteOffset);
    const keyUnit = units.getFloat32(0, true);
    const valueUnit = units.getFloat32(4, true);
    const numbers = tokens * headSize;
    let at = UNITS;
    let from = levelsStart(into);
    for (let head = 0; head < kvHeads; head++) {
      const keys = into.keys.subarray(head * numbers, (head + 1) * numbers);
      const values = into.values.subarray(head * numbers, (head + 1) * numbers);
      const grid = bytes.subarray(at, (at += channelGridBytes(headSize)));
      const sizes = bytes.subarray(at, (at += tokens));
      const channels = readChannelGrid(grid, headSize, keyUnit, CELLS);
      takeKeys(bytes.subarray(from, (from += numbers)), channels, keys);
      takeValues(bytes.subarray(from, (from += numbers)), valueUnit, sizes, values);
    }
  },
};

function takeKeys(levels: Uint8Array, { middles, steps }: Grid, keys: Float32Array): void {
  const headSize = steps.length;
  for (let at = 0; at < keys.length;)
    for (let channel = 0; channel < headSize; channel++, at++)
      keys[at] = middles[channel]! + levels[at]! * steps[channel]!;
}

/** Values lie about 0, as far to both sides. */
function putValues(values: Float32Array, unit: number, sizes: Uint8Array, levels: Uint8Array): void {
  const headSize = values.length / sizes.length;
  for (let token = 0, at = 0; token < sizes.length; token++) {
    const end = at + headSize;
    const code = unit === 0 ? 255 : sizeCode(largestOf(values.subarray(at, end)) / unit);
    sizes[token] = code;
    const size = unit * SIZES[code]!;
    const by = size === 0 ? 0 : CELLS / 2 / size;
    for (; at < end; at++) levels[at] = levelAt((values[at]! + size) * by);
  }
}

function takeValues(levels: Uint8Array, unit: number, sizes: Uint8Array, values: Float32Array): void {
  const headSize = values.length / sizes.length;
  for (let token = 0, at = 0; token < sizes.length; token++) {
    const step = (unit * SIZES[sizes[token]!]!) / (CELLS / 2);
    const middle = -127.5 * step;
    for (const end = at + headSize; at < end; at++) values[at] = middle + levels[at]! * step;
  }
}

function levelsStart({ kvHeads, tokens, headSize }: LayerSizes): number {
  return UNITS + kvHeads * (channelGridBytes(headSize) + tokens);
}

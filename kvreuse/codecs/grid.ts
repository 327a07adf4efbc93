import { halfBelow, HALVES } from '../../kernels/half.js';

/**
 * Sizes (of ranges, of channels) are stored as a byte: sixteenths of an octave below the largest there may be, so that
 * one byte spans a factor of 2^15.9 within 4.4%. 255 is 0.
 */
export const SIZES: Float64Array = Float64Array.from({ length: 256 }, (_, code) =>
  code === 255 ? 0 : 2 ** (-code / 16),
);

/** The least of SIZES that is not below a share of 0 to 1; the least but 0 for a share below them all. */
export function sizeCode(share: number): number {
  return share > 0 ? Math.max(0, Math.min(254, Math.floor(-16 * Math.log2(share)))) : 255;
}

/** Largest magnitude. */
export function largestOf(numbers: Float32Array): number {
  let largest = 0;
  for (let at = 0; at < numbers.length; at++) {
    const size = Math.abs(numbers[at]!);
    if (size > largest) largest = size;
  }
  return largest;
}

/**
 * What a level stands for, a channel or a token each: `middles + level * steps`, the middle of a cell. So the upper bits
 * of a level alone are a level of fewer cells, without bias, and few cells are used better than where the outermost
 * levels stand for the ends of the range (keys of SmolLM2, 2 bits: a relative error of 20% for 26%).
 */
export interface Grid {
  readonly middles: Float64Array;
  readonly steps: Float64Array;
}

/** Where the middle of the first cell is. */
function gridOf(lows: Float64Array, ranges: Float64Array, cells: number): Grid {
  const steps = ranges.map((range) => range / cells);
  return { middles: lows.map((low, i) => low + steps[i]! / 2), steps };
}

/** Bytes that the grid of a head's channels takes. */
export const channelGridBytes = (headSize: number): number => 3 * headSize;

/**
 * Finds and writes the grid of a head's keys, a channel over all tokens: keys have channels that are far from 0 for
 * every token (Liu et al. 2024, KIVI). A channel: its least number, rounded down to float16; its range.
 * @param keys [tokens, headSize]
 * @param unit largest magnitude of the layer's keys
 */
export function writeChannelGrid(keys: Float32Array, headSize: number, unit: number, to: Uint8Array): void {
  const least = new Float64Array(headSize).fill(Infinity);
  const most = new Float64Array(headSize).fill(-Infinity);
  for (let at = 0; at < keys.length;)
    for (let channel = 0; channel < headSize; channel++, at++) {
      const key = keys[at]!;
      if (key < least[channel]!) least[channel] = key;
      if (key > most[channel]!) most[channel] = key;
    }
  for (let channel = 0, at = 0; channel < headSize; channel++, at += 3) {
    const low = unit === 0 ? 0 : halfBelow(least[channel]! / unit);
    to[at] = low & 255;
    to[at + 1] = low >> 8;
    to[at + 2] = unit === 0 ? 255 : sizeCode((most[channel]! / unit - HALVES[low]!) / 2);
  }
}

/** What `writeChannelGrid` wrote, for levels of so many cells. */
export function readChannelGrid(from: Uint8Array, headSize: number, unit: number, cells: number): Grid {
  const lows = new Float64Array(headSize);
  const ranges = new Float64Array(headSize);
  for (let channel = 0, at = 0; channel < headSize; channel++, at += 3) {
    lows[channel] = unit * HALVES[from[at]! | (from[at + 1]! << 8)]!;
    ranges[channel] = 2 * unit * SIZES[from[at + 2]!]!;
  }
  return gridOf(lows, ranges, cells);
}

/** @param keys,levels [tokens, headSize] */
export function putChannelLevels(keys: Float32Array, { middles, steps }: Grid, levels: Uint8Array): void {
  const headSize = steps.length;
  const by = steps.map((step) => (step === 0 ? 0 : 1 / step));
  for (let at = 0; at < keys.length;)
    for (let channel = 0; channel < headSize; channel++, at++)
      levels[at] = levelAt((keys[at]! - middles[channel]!) * by[channel]! + 0.5);
}

/** Bytes that the grid of a head's tokens takes. */
export const tokenGridBytes = (tokens: number, headSize: number): number => headSize + 2 * tokens;

/** Values are their channel's size times a number on their token's grid. */
export interface TokenGrid extends Grid {
  readonly channels: Float64Array;
}

/** The widest range that a token has, in units: both sides, and what rounding adds. */
const WIDEST = 4;

/**
 * Finds and writes the grid of a head's values, a token over all channels, each channel divided by the root of its
 * largest magnitude (He et al. 2024, ZipCache, channel-separable tokenwise). A channel: its size. A token: its range,
 * and how much of it is below 0.
 * @param values [tokens, headSize]
 * @param unit largest magnitude of the layer's values
 */
export function writeTokenGrid(values: Float32Array, headSize: number, unit: number, to: Uint8Array): void {
  const most = new Float64Array(headSize);
  for (let at = 0; at < values.length;)
    for (let channel = 0; channel < headSize; channel++, at++)
      most[channel] = Math.max(most[channel]!, Math.abs(values[at]!));
  for (let channel = 0; channel < headSize; channel++)
    to[channel] = unit === 0 ? 255 : sizeCode(Math.sqrt(most[channel]! / unit));
  const by = inverse(readChannelSizes(to, headSize));
  for (let from = 0, at = headSize; from < values.length; at += 2) {
    let below = 0;
    let above = 0;
    for (let channel = 0; channel < headSize; channel++, from++) {
      const number = values[from]! * by[channel]!;
      if (number > above) above = number;
      else if (-number > below) below = -number;
    }
    // The smaller side is rounded up: it costs the larger little.
    const part = (255 * below) / (below + above);
    const share = below === 0 ? 0 : below <= above ? Math.ceil(part) : Math.floor(part);
    const range = Math.max(
      share === 0 ? 0 : (below * 255) / share,
      share === 255 ? 0 : (above * 255) / (255 - share),
    );
    to[at] = unit === 0 ? 255 : sizeCode(range / unit / WIDEST);
    to[at + 1] = share;
  }
}

/** What `writeTokenGrid` wrote, for levels of so many cells. */
export function readTokenGrid(from: Uint8Array, headSize: number, unit: number, cells: number): TokenGrid {
  const tokens = (from.length - headSize) / 2;
  const lows = new Float64Array(tokens);
  const ranges = new Float64Array(tokens);
  for (let token = 0, at = headSize; token < tokens; token++, at += 2) {
    ranges[token] = WIDEST * unit * SIZES[from[at]!]!;
    lows[token] = (-ranges[token]! * from[at + 1]!) / 255;
  }
  return { ...gridOf(lows, ranges, cells), channels: readChannelSizes(from, headSize) };
}

/** @param values,levels [tokens, headSize] */
export function putTokenLevels(
  values: Float32Array,
  { middles, steps, channels }: TokenGrid,
  levels: Uint8Array,
): void {
  const headSize = channels.length;
  const by = inverse(channels);
  for (let token = 0, at = 0; at < values.length; token++) {
    const middle = middles[token]!;
    const inSteps = steps[token] === 0 ? 0 : 1 / steps[token]!;
    for (let channel = 0; channel < headSize; channel++, at++)
      levels[at] = levelAt((values[at]! * by[channel]! - middle) * inSteps + 0.5);
  }
}

/** The level, of 256, of a place counted in cells. */
export function levelAt(place: number): number {
  return place < 0 ? 0 : place > 255 ? 255 : place | 0;
}

function readChannelSizes(from: Uint8Array, headSize: number): Float64Array {
  return Float64Array.from({ length: headSize }, (_, channel) => SIZES[from[channel]!]!);
}

function inverse(sizes: Float64Array): Float64Array {
  return sizes.map((size) => (size === 0 ? 0 : 1 / size));
}

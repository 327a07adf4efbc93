import {
  channelGridBytes,
  largestOf,
  putChannelLevels,
  putTokenLevels,
  readChannelGrid,
  readTokenGrid,
  tokenGridBytes,
  writeChannelGrid,
  writeTokenGrid,
  type Grid,
  type TokenGrid,
} from './grid.js';
import type { LayerKv, LayerSizes } from './kv-codec.js';

const UNITS = 8;

/** Grids of a head for levels of 4 or 8 bits. */
export interface HeadGrids {
  readonly keys: Grid;
  readonly values: TokenGrid;
}

/** Bytes of a layer's grids: units of keys and values, float32 · a head: grid of keys, grid of values. */
export function gridsBytes({ kvHeads, tokens, headSize }: LayerSizes): number {
  return UNITS + kvHeads * (channelGridBytes(headSize) + tokenGridBytes(tokens, headSize));
}

/** Bytes of one plane of a layer's levels: 4 bits each, keys then values, a head after the other. */
export function planeBytes({ kvHeads, tokens, headSize }: LayerSizes): number {
  return kvHeads * tokens * headSize;
}

/** Writes a layer's grids. @returns its levels of 8 bits, [kvHeads, keys and values, tokens, headSize] */
export function writeGrids(layer: LayerKv, to: Uint8Array): Uint8Array {
  const { kvHeads, tokens, headSize } = layer;
  const units = new DataView(to.buffer, to.byteOffset);
  const keyUnit = largestOf(layer.keys);
  const valueUnit = largestOf(layer.values);
  units.setFloat32(0, keyUnit, true);
  units.setFloat32(4, valueUnit, true);
  const numbers = tokens * headSize;
  for (let head = 0, at = UNITS; head < kvHeads; head++) {
    const keys = layer.keys.subarray(head * numbers, (head + 1) * numbers);
    const values = layer.values.subarray(head * numbers, (head + 1) * numbers);
    writeChannelGrid(keys, headSize, keyUnit, to.subarray(at, (at += channelGridBytes(headSize))));
    writeTokenGrid(values, headSize, valueUnit, to.subarray(at, (at += tokenGridBytes(tokens, headSize))));
  }
  const levels = new Uint8Array(2 * kvHeads * numbers);
  readGrids(to, layer, 256).forEach((grids, head) => {
    const keys = layer.keys.subarray(head * numbers, (head + 1) * numbers);
    const values = layer.values.subarray(head * numbers, (head + 1) * numbers);
    const from = 2 * head * numbers;
    putChannelLevels(keys, grids.keys, levels.subarray(from, from + numbers));
    putTokenLevels(values, grids.values, levels.subarray(from + numbers, from + 2 * numbers));
  });
  return levels;
}

/** Grids of each head, for levels of so many cells. */
export function readGrids(
  from: Uint8Array,
  { kvHeads, tokens, headSize }: LayerSizes,
  cells: number,
): HeadGrids[] {
  const units = new DataView(from.buffer, from.byteOffset);
  const keyUnit = units.getFloat32(0, true);
  const valueUnit = units.getFloat32(4, true);
  let at = UNITS;
  return Array.from({ length: kvHeads }, () => ({
    keys: readChannelGrid(from.subarray(at, (at += channelGridBytes(headSize))), headSize, keyUnit, cells),
    values: readTokenGrid(
      from.subarray(at, (at += tokenGridBytes(tokens, headSize))),
      headSize,
      valueUnit,
      cells,
    ),
  }));
}

/** The upper 4 bits of levels, two a byte, the first of them below. */
export function putUpper(levels: Uint8Array, to: Uint8Array): void {
  for (let at = 0, from = 0; from < levels.length; at++, from += 2)
    to[at] = (levels[from]! >> 4) | (levels[from + 1]! & 0xf0);
}

/** The lower 4 bits of the levels of some tokens, likewise; keys then values, a head after the other. */
export function putLower(levels: Uint8Array, tokens: Uint32Array, sizes: LayerSizes, to: Uint8Array): void {
  const { headSize } = sizes;
  const numbers = sizes.tokens * headSize;
  let at = 0;
  for (let start = 0; start < levels.length; start += numbers)
    for (let i = 0; i < tokens.length; i++) {
      const from = start + tokens[i]! * headSize;
      for (let channel = 0; channel < headSize; channel += 2, at++)
        to[at] = (levels[from + channel]! & 15) | ((levels[from + channel + 1]! & 15) << 4);
    }
}

/**
 * Makes numbers that were read from the upper plane finer by the lower one: its 16 levels divide a cell.
 * @param lower what `putLower` wrote for the tokens
 * @param grids for 256 cells
 */
export function refine(
  lower: Uint8Array,
  tokens: Uint32Array,
  grids: readonly HeadGrids[],
  { tokens: all, headSize, keys, values }: LayerKv,
): void {
  const piece = (tokens.length * headSize) / 2;
  let from = 0;
  grids.forEach((grid, head) => {
    const [start, end] = [head * all * headSize, (head + 1) * all * headSize];
    refineKeys(lower.subarray(from, (from += piece)), tokens, grid.keys, keys.subarray(start, end));
    refineValues(lower.subarray(from, (from += piece)), tokens, grid.values, values.subarray(start, end));
  });
}

function refineKeys(lower: Uint8Array, tokens: Uint32Array, { steps }: Grid, keys: Float32Array): void {
  const headSize = steps.length;
  for (let i = 0, from = 0; i < tokens.length; i++) {
    const row = tokens[i]! * headSize;
    for (let channel = 0; channel < headSize; channel += 2, from++) {
      const pair = lower[from]!;
      keys[row + channel]! += ((pair & 15) - 7.5) * steps[channel]!;
      keys[row + channel + 1]! += ((pair >> 4) - 7.5) * steps[channel + 1]!;
    }
  }
}

function refineValues(
  lower: Uint8Array,
  tokens: Uint32Array,
  { steps, channels }: TokenGrid,
  values: Float32Array,
): void {
  const headSize = channels.length;
  for (let i = 0, from = 0; i < tokens.length; i++) {
    const row = tokens[i]! * headSize;
    const step = steps[tokens[i]!]!;
    for (let channel = 0; channel < headSize; channel += 2, from++) {
      const pair = lower[from]!;
      values[row + channel]! += ((pair & 15) - 7.5) * step * channels[channel]!;
      values[row + channel + 1]! += ((pair >> 4) - 7.5) * step * channels[channel + 1]!;
    }
  }
}

import { expect } from 'vitest';
import { chunkMass } from '../../kernels/chunk-mass.js';
import { dequantiseFloat16 } from '../../kernels/dequantise-float16.js';
import { dequantiseInt4, type Int4Format } from '../../kernels/dequantise-int4.js';
import { dequantiseInt8 } from '../../kernels/dequantise-int8.js';
import { gatherRows } from '../../kernels/gather-rows.js';
import { nearestHalf } from '../../kernels/half.js';
import { quantiseFloat16 } from '../../kernels/quantise-float16.js';
import { rotateKeys } from '../../kernels/rotate-keys.js';
import type { Routine } from '../../kernels/routine.js';
import { rowDeviation } from '../../kernels/row-deviation.js';
import { scatterRows } from '../../kernels/scatter-rows.js';
import { NO_POSITION, selectedAttention } from '../../kernels/selected-attention.js';
import { topRows } from '../../kernels/top-rows.js';
import { xragProjector } from '../../kernels/xrag-projector.js';
import { codecNamed } from '../../kvreuse/codecs/codec-named.js';

/** The same numbers each time, of a magnitude of about 1. */
function numbers(length: number, seed = 1, scale = 1): Float32Array {
  return Float32Array.from(
    { length },
    (_, i) => scale * Math.sin(seed * 12.9898 + i * 78.233) * (1 + (i % 7) / 7),
  );
}

const halves = (from: Float32Array) => Uint16Array.from(new Uint32Array(from.buffer), nearestHalf);
const whole = (length: number, of: (i: number) => number) => Uint32Array.from({ length }, (_, i) => of(i));

export interface Case<Input, Output> {
  readonly name: string;
  readonly input: Input;
  readonly routine: Routine<Input, Output>;
  /** The most that a number may be off, of the largest there is: what float32 makes of sums in another order. */
  readonly within: number;
}

function cases<Input, Output>(
  routine: Routine<Input, Output>,
  within: number,
  inputs: Readonly<Record<string, Input>>,
): Case<unknown, unknown>[] {
  return Object.entries(inputs).map(([name, input]) => ({ name, input, routine, within }));
}

function rotation(heads: number, rows: number, headSize: number, far = 0) {
  const angles = Float64Array.from({ length: (rows * headSize) / 2 }, (_, i) => (far + i) * 0.37);
  return {
    heads,
    rows,
    headSize,
    keys: numbers(heads * rows * headSize),
    cos: Float32Array.from(angles, Math.cos),
    sin: Float32Array.from(angles, Math.sin),
  };
}

function copied(heads: number, rows: number, headSize: number, capacity: number) {
  // Scattered: 7 and the capacities below have no divisor in common.
  const slots = whole(rows, (row) => (row * 7 + 3) % capacity);
  const sizes = { heads, rows, headSize, capacity, slots };
  return {
    ...sizes,
    rowsOf: numbers(heads * rows * headSize),
    slotsOf: numbers(heads * capacity * headSize, 2),
  };
}

function attention(
  [rows, heads, kvHeads, headSize, slots]: [number, number, number, number, number],
  { kind = 'float32', hide = [] as number[], first = 5 } = {},
) {
  const numbersOf = (seed: number) => {
    const made = numbers(kvHeads * slots * headSize, seed);
    return kind === 'float16' ? halves(made) : made;
  };
  return {
    rows,
    heads,
    kvHeads,
    headSize,
    slots,
    queries: numbers(heads * rows * headSize, 3, 2),
    keys: numbersOf(4),
    values: numbersOf(5),
    rowPositions: whole(rows, (row) => first + 3 * row),
    // In no order, as recomputed rows come after cached ones.
    slotPositions: whole(slots, (slot) =>
      hide.includes(slot) ? NO_POSITION : (slot * 5) % Math.max(1, slots),
    ),
  };
}

export const masses = (chunks: number, ...from: Parameters<typeof attention>) => {
  const given = attention(...from);
  return { ...given, chunks, chunkOf: whole(given.slots, (slot) => slot % (chunks + 1)) };
};

const deviation = (heads: number, rows: number, headSize: number) => ({
  heads,
  rows,
  headSize,
  cachedKeys: numbers(heads * rows * headSize, 1),
  cachedValues: numbers(heads * rows * headSize, 2),
  keys: numbers(heads * rows * headSize, 3),
  values: numbers(heads * rows * headSize, 4),
});

export function layer(kvHeads: number, tokens: number, headSize: number, scale = 1) {
  const length = kvHeads * tokens * headSize;
  return { kvHeads, tokens, headSize, keys: numbers(length, 6, scale), values: numbers(length, 7, scale) };
}

function stored(codec: string, sizes: ReturnType<typeof layer>) {
  return { ...sizes, bytes: codecNamed(codec).encodeLayer(sizes) };
}

const projector = (rows: number, inputs: number, inner: number, outputs: number, kind = 'float32') => {
  const weights = (length: number, seed: number) => {
    const made = numbers(length, seed, 1 / Math.sqrt(inputs));
    return kind === 'float16' ? halves(made) : made;
  };
  return {
    rows: numbers(rows * inputs, 8),
    inputs,
    inner,
    outputs,
    first: { weights: weights(inner * inputs, 9), bias: numbers(inner, 10) },
    second: { weights: weights(outputs * inner, 11), bias: numbers(outputs, 12) },
  };
};

export const INT4: readonly Int4Format[] = ['int4', 'int4-mixed', 'bit-planes', 'gear'];

/** Odd sizes, one row, none, and limits of each routine. */
export const TABLE: readonly Case<unknown, unknown>[] = [
  // A product and a sum of float32: two roundings, and one more where the GPU fuses them.
  ...cases(rotateKeys, 1e-6, {
    'one row': rotation(1, 1, 2),
    'odd sizes': rotation(3, 5, 6),
    'a decoder’s': rotation(6, 20, 64),
    'far positions': rotation(2, 3, 8, 100_000),
    'no rows': rotation(3, 0, 8),
  }),
  ...cases(scatterRows, 0, {
    'one row': copied(1, 1, 2, 1),
    'odd sizes': copied(3, 5, 6, 11),
    'a decoder’s': copied(3, 40, 64, 64 + 1),
    'no rows': copied(2, 0, 4, 3),
    'no slots': copied(2, 0, 4, 0),
  }),
  ...cases(gatherRows, 0, {
    'one row': copied(1, 1, 2, 1),
    'odd sizes': copied(3, 5, 6, 11),
    'a decoder’s': copied(3, 40, 64, 64 + 1),
    'more groups than a dimension has': copied(1, 65_535 + 3, 64, 11),
    'no rows': copied(2, 0, 4, 3),
  }),
  // Exponentials are within 2 to 5 units of the last place (WGSL, accuracy), sums of 130 shares beside.
  ...cases(selectedAttention, 1e-5, {
    'one row, one slot': attention([1, 1, 1, 2, 1]),
    'odd sizes': attention([3, 6, 2, 10, 13]),
    'tiles, one not full': attention([2, 9, 3, 64, 130], { first: 120 }),
    'a head wider than a group': attention([1, 2, 1, 256, 5]),
    'float16 caches': attention([3, 4, 2, 16, 70], { kind: 'float16', first: 60 }),
    'dead slots': attention([4, 2, 1, 8, 66], { hide: [0, 3, 64, 65], first: 30 }),
    'a row that sees nothing': attention([2, 2, 2, 4, 3], { hide: [0, 1, 2] }),
    'no slots': attention([2, 2, 1, 4, 0]),
    'no rows': attention([0, 2, 1, 4, 3]),
  }),
  ...cases(chunkMass, 1e-5, {
    'one row, one slot': masses(1, [1, 1, 1, 2, 1]),
    'odd sizes': masses(3, [3, 6, 2, 10, 13]),
    'tiles, one not full': masses(5, [2, 9, 3, 64, 130], { first: 120 }),
    'as many chunks as there may be': masses(64, [2, 2, 1, 8, 140], { first: 130 }),
    'float16 caches': masses(2, [3, 4, 2, 16, 70], { kind: 'float16', first: 60 }),
    'a row that sees nothing': masses(2, [2, 2, 2, 4, 3], { hide: [0, 1, 2] }),
    'no chunks': masses(0, [2, 2, 1, 4, 3]),
    'no rows': masses(2, [0, 2, 1, 4, 3]),
  }),
  ...cases(rowDeviation, 1e-6, {
    'one row': deviation(1, 1, 2),
    'odd sizes': deviation(3, 7, 10),
    'a decoder’s': deviation(3, 33, 64),
    'no rows': deviation(3, 0, 8),
  }),
  ...cases(topRows, 0, {
    'one of one': { deviations: Float32Array.of(3), count: 1 },
    'of equals the earlier': { deviations: Float32Array.of(1, 2, 2, 0, 2, 1), count: 4 },
    'NaN and infinity first': { deviations: Float32Array.of(1, NaN, 5, Infinity, 5), count: 3 },
    'more than there are': { deviations: numbers(70).map(Math.abs), count: 100 },
    'of many': { deviations: numbers(300).map(Math.abs), count: 45 },
    none: { deviations: numbers(5), count: 0 },
    'of none': { deviations: new Float32Array(0), count: 3 },
  }),
  // The GPU's error function is off by 1.5e-7, and sums are of up to 96 products.
  ...cases(xragProjector, 1e-5, {
    'one row': projector(1, 2, 2, 1),
    'odd sizes': projector(3, 10, 6, 7),
    'wider than a group': projector(2, 96, 40, 24),
    'float16 weights': projector(2, 96, 40, 24, 'float16'),
    'no rows': projector(0, 4, 4, 4),
  }),
  ...cases(dequantiseFloat16, 0, {
    'one token': stored('float16', layer(1, 1, 2)),
    'odd sizes': stored('float16', layer(3, 5, 6)),
    'the smallest numbers': stored('float16', layer(1, 3, 4, 1e-7)),
  }),
  ...cases(quantiseFloat16, 0, {
    'one token': layer(1, 1, 2),
    'odd sizes': layer(3, 5, 6),
    'large and small': layer(2, 3, 4, 3e4),
    'the smallest numbers': layer(1, 3, 4, 1e-7),
  }),
  // A power of two is within 3 to 5 units of the last place (WGSL, exp2).
  ...cases(dequantiseInt8, 1e-6, {
    'one token': stored('int8', layer(1, 1, 2)),
    'odd sizes': stored('int8', layer(3, 7, 6)),
    'nothing but 0': stored('int8', layer(1, 3, 4, 0)),
  }),
  ...INT4.flatMap((format) =>
    cases(dequantiseInt4, 1e-6, {
      [`${format}, one token`]: { format, ...stored(format, layer(1, 1, 2)) },
      [`${format}, odd sizes`]: { format, ...stored(format, layer(3, 37, 6)) },
      [`${format}, outliers of a long line`]: { format, ...stored(format, layer(1, 260, 4)) },
      [`${format}, nothing but 0`]: { format, ...stored(format, layer(1, 9, 4, 0)) },
    }),
  ),
];

const flat = (output: unknown): ArrayLike<number> =>
  ArrayBuffer.isView(output)
    ? (output as unknown as ArrayLike<number>)
    : Object.values(output as Record<string, Float32Array>).flatMap((part) => [...part]);

/** The most that two results differ by, of the largest number there is. */
export function difference(given: unknown, wanted: unknown): number {
  const [a, b] = [flat(given), flat(wanted)];
  expect(a.length).toBe(b.length);
  let [off, largest] = [0, 1e-30];
  for (let i = 0; i < a.length; i++) {
    off = Math.max(off, a[i] === b[i] ? 0 : Math.abs(a[i]! - b[i]!));
    largest = Math.max(largest, Math.abs(b[i]!));
    if (Number.isNaN(a[i]!) !== Number.isNaN(b[i]!)) return NaN;
  }
  return off / largest;
}

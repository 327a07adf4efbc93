import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { ColumnRounding, type ZeroLevel } from '../../../models/decoder/column-rounding.js';
import type { Matrix } from '../../../models/decoder/matrix.js';

const BLOCK = 32;

/** Levels of a matrix in Q8_0, [outputs, inputs]; each block's scale is a power of two, which a half holds. */
interface Q8 {
  readonly outputs: number;
  readonly inputs: number;
  readonly levels: readonly number[];
  readonly exponents: readonly number[];
}

const q8 = (inputs: number, outputs: number): fc.Arbitrary<Q8> =>
  fc.record({
    outputs: fc.constant(outputs),
    inputs: fc.constant(inputs),
    levels: fc.array(fc.integer({ min: -127, max: 127 }), {
      minLength: inputs * outputs,
      maxLength: inputs * outputs,
    }),
    exponents: fc.array(fc.integer({ min: -12, max: 2 }), {
      minLength: (inputs * outputs) / BLOCK,
      maxLength: (inputs * outputs) / BLOCK,
    }),
  });

/** Matrices of the same inputs, and what each input is multiplied with. */
const products = fc
  .tuple(
    fc.integer({ min: 1, max: 4 }),
    fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1, maxLength: 3 }),
  )
  .chain(([blocks, outputs]) =>
    fc.record({
      parts: fc.tuple(...outputs.map((count) => q8(blocks * BLOCK, count))),
      factors: fc.array(fc.integer({ min: 1, max: 40 }), {
        minLength: blocks * BLOCK,
        maxLength: blocks * BLOCK,
      }),
    }),
  );

function numbersOf({ levels, exponents }: Q8): Float32Array {
  return Float32Array.from(levels, (level, i) => level * 2 ** exponents[Math.floor(i / BLOCK)]!);
}

function inNumbers(from: Q8): Matrix {
  return { outputs: from.outputs, inputs: from.inputs, read: () => numbersOf(from) };
}

function inQ8(from: Q8): Matrix {
  return {
    ...inNumbers(from),
    readQ8(into) {
      const view = new DataView(into.buffer, into.byteOffset, into.length);
      from.exponents.forEach((exponent, block) => {
        view.setUint16(block * (BLOCK + 2), (exponent + 15) << 10, true);
        for (let i = 0; i < BLOCK; i++)
          view.setInt8(block * (BLOCK + 2) + 2 + i, from.levels[block * BLOCK + i]!);
      });
    },
  };
}

describe.each<ZeroLevel>([0, 128])('weights of a scale a column, levels of which %i is 0', (zero) => {
  const rounding = new ColumnRounding(zero, 1);
  afterAll(() => rounding.close());

  test('are the numbers, transposed, to half a step', async () => {
    await fc.assert(
      fc.asyncProperty(products, async ({ parts, factors }) => {
        const columns = await rounding.columns(parts.map(inQ8), Float32Array.from(factors));
        const rows = parts.flatMap((part) => {
          const numbers = numbersOf(part);
          return Array.from({ length: part.outputs }, (_, row) =>
            [...numbers.subarray(row * part.inputs, (row + 1) * part.inputs)].map((x, i) => x * factors[i]!),
          );
        });
        expect([columns.inputs, columns.outputs, columns.zero]).toEqual([factors.length, rows.length, zero]);
        rows.forEach((row, output) => {
          const scale = columns.scales[output]!;
          expect(scale).toBeCloseTo(Math.max(...row.map(Math.abs)) / 127, 4);
          row.forEach((wanted, input) => {
            const level = columns.levels[input * rows.length + output]! - zero;
            expect(Math.abs(level * scale - wanted)).toBeLessThanOrEqual(0.5001 * scale + 1e-30);
          });
        });
      }),
      { numRuns: 40 },
    );
  });

  test('are the same whether a file has numbers or blocks, or some of both', async () => {
    await fc.assert(
      fc.asyncProperty(products, async ({ parts, factors }) => {
        const by = Float32Array.from(factors);
        const taken = async (matrices: readonly Matrix[]) => {
          const { levels, scales } = await rounding.columns(matrices, by);
          return { levels: [...levels], scales: [...scales] };
        };
        const ofNumbers = await taken(parts.map(inNumbers));
        expect(await taken(parts.map(inQ8))).toEqual(ofNumbers);
        expect(await taken(parts.map((part, i) => (i === 0 ? inNumbers(part) : inQ8(part))))).toEqual(
          ofNumbers,
        );
      }),
      { numRuns: 20 },
    );
  });
});

test('what it gave its memory up for it does again', async () => {
  const rounding = new ColumnRounding(0, 1);
  const part = inNumbers({ outputs: 1, inputs: 32, levels: Array(32).fill(127), exponents: [0] });
  await rounding.close();
  expect([...(await rounding.columns([part])).levels]).toEqual(Array(32).fill(127));
  await rounding.close();
  expect([...(await rounding.columns([part])).levels]).toEqual(Array(32).fill(127));
  await rounding.close();
});

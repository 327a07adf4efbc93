import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cacheBlend } from '../../kvreuse/selection/cache-blend.js';
import { cacheCraft } from '../../kvreuse/selection/cache-craft.js';
import { full } from '../../kvreuse/selection/full.js';
import { legoLink } from '../../kvreuse/selection/lego-link.js';
import { none } from '../../kvreuse/selection/none.js';
import type { CachedChunk, SelectionPolicy } from '../../kvreuse/selection/selection-policy.js';

function chunk(start: number, length: number, rest: Partial<CachedChunk> = {}): CachedChunk {
  const piece = { kind: 'chunk' as const, start, tokens: new Array<number>(length).fill(7) };
  return { piece, before: [], madeBehind: [], statistics: undefined, ...rest };
}

const statistics = (inter: number[], tokenInter: number[], intra = 5) => ({
  inter,
  lengths: inter.map(() => 10),
  intra,
  tokenInter,
});

describe('selection policies', () => {
  const lists = fc
    .array(
      fc.nat({ max: 40 }).map((length) => length + 1),
      { minLength: 1, maxLength: 6 },
    )
    .map((lengths) => {
      let start = 4;
      return lengths.map((length, i) => {
        start += length + 2;
        return chunk(start - length - 2, length, { before: lengths.slice(0, i).map(String) });
      });
    });
  const policies: SelectionPolicy[] = [
    none(),
    full(),
    legoLink(4),
    cacheCraft(),
    cacheCraft({ alpha: 3, floor: 1, whole: 1 }),
  ];

  test.each(policies.map((policy) => [policy.name, policy] as const))(
    '%s stays inside the chunks',
    (_, policy) => {
      fc.assert(
        fc.property(lists, (chunks) => {
          const selected = policy.select(chunks);
          expect(selected).toHaveLength(chunks.length);
          selected.forEach((rows, i) => {
            if (rows === 'whole') return;
            const { start, tokens } = chunks[i]!.piece;
            expect([...new Set(rows)].sort((a, b) => a - b)).toEqual(rows);
            for (const row of rows) expect(row >= start && row < start + tokens.length).toBe(true);
          });
        }),
      );
    },
  );

  test('LegoLink repairs the head of every chunk but one that stands first as it was computed', () => {
    const [first, second] = legoLink(3).select([chunk(4, 9), chunk(15, 2, { before: ['a'] })]);
    expect([first, second]).toEqual([[], [15, 16]]);
  });

  test('CacheBlend takes the largest deviations of all chunks together', () => {
    const chunks = [chunk(2, 4), chunk(8, 6)];
    const rows = Float32Array.from({ length: 14 }, (_, i) =>
      i === 3 ? 9 : i === 12 ? 8 : i === 9 ? 7 : 0.1,
    );
    expect(cacheBlend(0.3).selectByDeviation!(chunks, { rows })).toEqual([[3], [9, 12]]);
  });

  test('Cache-Craft reuses a chunk behind what it was computed behind', () => {
    const same = { before: ['a', 'b'], madeBehind: ['a', 'b'], statistics: statistics([3, 1], [1, 0, 2, 1]) };
    expect(cacheCraft().select([chunk(30, 4, same)])).toEqual([[]]);
  });

  test('Cache-Craft repairs the rows that looked most at what is gone, more of them the more it mattered', () => {
    const select = (before: string[], inter: number[], alpha: number) =>
      cacheCraft({ alpha, whole: 1 }).select([
        chunk(30, 10, {
          before,
          madeBehind: ['a', 'b'],
          statistics: statistics(inter, [0, 9, 1, 0, 8, 0, 0, 2, 0, 0]),
        }),
      ])[0] as number[];
    expect(select(['b'], [1, 3], 0.8).length).toBeLessThan(select(['b'], [3, 1], 0.8).length);
    expect(select(['b'], [1, 3], 0.8)).toEqual([31, 34]);
    // Order counts too.
    expect(select(['b', 'a'], [2, 2], 0.8).length).toBeGreaterThan(select(['a', 'b'], [2, 2], 0.8).length);
  });

  test('Cache-Craft does not take a chunk made behind nothing for perfect', () => {
    const [alone, first] = cacheCraft().select([chunk(30, 20, { before: ['a'] }), chunk(30, 20)]);
    expect(alone).toEqual([30, 31, 32]);
    expect(first).toEqual([]);
  });

  test('Cache-Craft computes whole what would be mostly repaired', () => {
    const gone = { before: ['c'], madeBehind: ['a'], statistics: statistics([9], [3, 3, 3], 1) };
    expect(cacheCraft({ alpha: 2 }).select([chunk(5, 3, gone)])).toEqual(['whole']);
  });

  test('Cache-Craft repairs in all layers what the question has come to look at', () => {
    const { focus, name } = cacheCraft({ focus: true });
    expect(name).toBe('cachecraft-carry-0.5-focus-0.27');
    const layers = (...each: number[][]) => each;
    expect(focus!(layers([1, 2, 3], [1, 9, 1], [0, 9, 2], [1, 9, 0], [0, 9, 1]))).toEqual([1]);
    expect(focus!(layers([0, 5, 0, 5], [0, 5, 1, 4], [1, 5, 0, 5], [0, 5, 0, 5]))).toEqual([1, 3]);
    // In the last three layers it was first the one and then the other.
    expect(focus!(layers([9, 0, 0], [0, 2, 0], [0, 3, 0], [0, 20, 0]))).toEqual([0, 1, 2]);
    // Nothing was seen yet, or there is nothing to choose.
    expect(focus!(layers([1, 2, 9]))).toEqual([0, 1, 2]);
    expect(focus!(layers([3], [3], [3]))).toEqual([0]);
    expect(focus!([])).toEqual([]);
    expect(cacheCraft().focus).toBeUndefined();
  });

  test("Cache-Craft carries its repair over; with nothing carried it has the paper's name", () => {
    expect(cacheCraft()).toMatchObject({
      name: 'cachecraft-carry-0.5-0.27',
      carry: { keys: 0.5, values: 0.3 },
    });
    expect(cacheCraft({ carry: 0 }).name).toBe('cachecraft-0.27');
    expect(cacheCraft({ carry: 0 }).carry).toBeUndefined();
  });

  test.each([
    () => cacheCraft({ carry: 2 }),
    () => cacheCraft({ carry: -0.1 }),
    () => legoLink(0),
    () => cacheBlend(1.2),
    () => cacheBlend(Number.NaN),
    () => cacheCraft({ alpha: -1 }),
    () => cacheCraft({ floor: 2 }),
  ])('settings that cannot be are refused', (make) => {
    expect(make).toThrow(/give a number/);
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Gdsf } from '../../../kvreuse/store/gdsf.js';

const nothing = () => false;

function filled(entries: readonly (readonly [key: string, bytes: number, worth: number])[]): Gdsf {
  const values = new Gdsf();
  for (const entry of entries) values.set(...entry);
  return values;
}

describe('what is given up', () => {
  test('is what saves least', () => {
    const values = filled([
      ['a', 10, 300],
      ['b', 10, 100],
      ['c', 10, 200],
    ]);
    expect(values.plan(15, Infinity, nothing)).toEqual(['b', 'c']);
  });

  test('of equal savings is the largest', () => {
    const values = filled([
      ['a', 10, 100],
      ['b', 40, 100],
      ['c', 20, 100],
    ]);
    expect(values.plan(1, Infinity, nothing)).toEqual(['b']);
  });

  test('of equal savings is what is used least', () => {
    const values = filled([
      ['a', 10, 100],
      ['b', 10, 100],
      ['c', 10, 100],
    ]);
    for (const key of ['a', 'c', 'c']) values.used(key, 100);
    expect(values.plan(20, Infinity, nothing)).toEqual(['b', 'a']);
    expect(values.worth('c')).toBe(300);
  });

  test('is nothing that must stay, nor anything worth more than the newcomer', () => {
    const values = filled([
      ['a', 10, 100],
      ['b', 10, 200],
      ['c', 10, 300],
    ]);
    expect(values.plan(5, Infinity, (key) => key === 'a')).toEqual(['b']);
    expect(values.plan(15, 20, nothing)).toEqual(['a', 'b']);
    expect(values.plan(15, 19, nothing)).toBeUndefined();
    expect(values.plan(31, Infinity, nothing)).toBeUndefined();
  });
});

describe('the clock', () => {
  test('what was worth most is overtaken once it is not used any more', () => {
    const values = filled([['old', 10, 1_000]]);
    let newcomers = 0;
    for (;;) {
      const plan = values.plan(10, values.priority(10, 100), nothing);
      if (plan) {
        expect(plan).toEqual(['old']);
        break;
      }
      expect(++newcomers).toBeLessThan(20);
    }
    expect(newcomers).toBeGreaterThan(5);
  });

  test('goes on to what was evicted, so that newcomers come above it', () => {
    const values = filled([['a', 10, 500]]);
    expect(values.priority(10, 100)).toBe(10);
    values.evict('a');
    expect(values.priority(10, 100)).toBe(60);
    expect(values.bytes).toBe(0);
  });
});

test('a plan frees enough, without its last not, in order, and of the least value', () => {
  const entry = fc.record({ bytes: fc.integer({ min: 1, max: 100 }), worth: fc.nat(1_000) });
  fc.assert(
    fc.property(
      fc.array(entry, { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 400 }),
      (all, wanted) => {
        const values = filled(all.map(({ bytes, worth }, index) => [String(index), bytes, worth]));
        const plan = values.plan(wanted, Infinity, nothing)?.map((key) => all[Number(key)]!);
        const sum = (some: typeof all) => some.reduce((total, { bytes }) => total + bytes, 0);
        const density = ({ bytes, worth }: (typeof all)[number]) => worth / bytes;
        expect(values.bytes).toBe(sum(all));
        if (!plan) {
          expect(sum(all)).toBeLessThan(wanted);
          return;
        }
        expect(sum(plan)).toBeGreaterThanOrEqual(wanted);
        expect(sum(plan.slice(0, -1))).toBeLessThan(wanted);
        const highest = Math.max(...plan.map(density));
        expect(plan.map(density)).toEqual(plan.map(density).sort((a, b) => a - b));
        for (const kept of all.filter((each) => !plan.includes(each)))
          expect(density(kept)).toBeGreaterThanOrEqual(highest);
      },
    ),
  );
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  windows,
  type EncodedText,
  type Section,
  type Window,
  type WindowRules,
} from '../../../compressors/exit/windows.js';

const CLS = 101;
const SEP = 102;
const COLON = 103;
const rules: WindowRules = {
  tokens: 32,
  query: 4,
  title: 3,
  pin: 5,
  cls: CLS,
  sep: SEP,
  colon: COLON,
  plain: 0,
  asked: 2,
};

/** So many tokens of one id, of the kind that words of the query have. */
function text(id: number, length: number): EncodedText {
  return { ids: new Array<number>(length).fill(id), kinds: new Array<number>(length).fill(1) };
}

/** A section whose title is id 50, with sentences of these lengths, whose ids are their indices. */
function section(title: number, first: number, lengths: readonly number[]): Section {
  return {
    title: text(50, title),
    sentences: lengths.map((length, at) => ({ index: first + at, text: text(first + at, length) })),
  };
}

function places({ owners }: Window): number[] {
  return [...new Set(owners.filter((owner) => owner >= 0))];
}

const query = text(40, 2);
const head = [CLS, 40, 40, SEP];

describe('windows', () => {
  test('begin with the query, then title and sentences of section after section', () => {
    const [window, ...others] = windows(query, [section(2, 0, [3, 2]), section(1, 2, [1])], rules);
    expect(others).toEqual([]);
    expect(window).toEqual({
      ids: [...head, 50, 50, COLON, 0, 0, 0, 1, 1, SEP, 50, COLON, 2, SEP],
      kinds: [2, 2, 2, 2, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0],
      owners: [-1, -1, -1, -1, -2, -2, -1, 0, 0, 0, 1, 1, -1, -3, -1, 2, -1],
      query: 2,
    });
  });

  test('cut a query and a title at their limits', () => {
    const [window] = windows(text(40, 9), [section(8, 0, [1])], rules);
    expect(window).toMatchObject({
      ids: [CLS, 40, 40, 40, 40, SEP, 50, 50, 50, COLON, 0, SEP],
      query: 4,
    });
  });

  test('do without query and title', () => {
    expect(windows(text(40, 0), [section(0, 0, [1])], rules)).toMatchObject([
      { ids: [CLS, SEP, COLON, 0, SEP], query: 0 },
    ]);
    expect(windows(query, [], rules)).toEqual([]);
  });

  test('a pinned sentence stands after the query in each and belongs to none', () => {
    const all = windows(query, [section(1, 0, [20, 20])], rules, text(60, 9));
    expect(all).toHaveLength(2);
    for (const { ids, kinds, owners, query: asked } of all) {
      expect(ids.slice(0, 10)).toEqual([...head, 60, 60, 60, 60, 60, SEP]);
      expect(kinds.slice(3, 10)).toEqual([2, 1, 1, 1, 1, 1, 0]);
      expect(owners.slice(0, 10)).toEqual(new Array(10).fill(-1));
      expect(asked).toBe(2);
      expect(ids.length).toBeLessThanOrEqual(rules.tokens);
    }
  });

  test('a section that fits into a window of its own is not split', () => {
    const all = windows(query, [section(1, 0, [14]), section(1, 1, [8, 8])], rules);
    expect(all.map(places)).toEqual([[0], [1, 2]]);
  });

  test('a section that does not goes on with its title and its last sentence again', () => {
    const all = windows(query, [section(1, 0, [9, 9, 9, 9])], rules);
    expect(all.map(places)).toEqual([
      [0, 1],
      [1, 2],
      [2, 3],
    ]);
    for (const { ids } of all) expect(ids.slice(4, 6)).toEqual([50, COLON]);
  });

  test('the last sentence is not said again where the next needs the room', () => {
    expect(windows(query, [section(1, 0, [20, 20, 20])], rules).map(places)).toEqual([[0], [1], [2]]);
  });

  test('the last sentence that has tokens is said again', () => {
    expect(windows(query, [section(1, 0, [12, 8, 0, 8])], rules).map(places)).toEqual([
      [0, 1],
      [1, 3],
    ]);
  });

  test('a sentence longer than a window is cut', () => {
    const [window, ...others] = windows(query, [section(1, 0, [1_000])], rules);
    expect(others).toEqual([]);
    expect(window!.ids).toHaveLength(rules.tokens);
    expect(window!.ids.at(-1)).toBe(SEP);
  });

  const anySections = fc.array(
    fc.record({ title: fc.nat(6), lengths: fc.array(fc.nat(40), { maxLength: 12 }) }),
    { maxLength: 8 },
  );

  test('hold every sentence that has tokens, whole or cut at the limit, and no window is too long', () => {
    fc.assert(
      fc.property(anySections, fc.nat(6), fc.option(fc.nat(9)), (given, asked, pin) => {
        let count = 0;
        const sections = given.map(({ title, lengths }) => {
          const made = section(title, count, lengths);
          count += lengths.length;
          return made;
        });
        const lengths = given.flatMap((one) => one.lengths);
        const pinned = pin === null ? undefined : text(60, pin);
        const all = windows(text(40, asked), sections, rules, pinned);
        const most = new Map<number, number>();
        for (const { ids, kinds, owners } of all) {
          expect(ids.length).toBeLessThanOrEqual(rules.tokens);
          expect([kinds.length, owners.length]).toEqual([ids.length, ids.length]);
          expect([ids[0], ids.at(-1)]).toEqual([CLS, SEP]);
          for (const owner of new Set(owners.filter((one) => one >= 0))) {
            const here = owners.filter((one) => one === owner).length;
            expect(ids.filter((_, at) => owners[at] === owner)).toEqual(new Array(here).fill(owner));
            most.set(owner, Math.max(most.get(owner) ?? 0, here));
          }
        }
        const room = rules.tokens - Math.min(asked, rules.query) - 2;
        const left = room - (pin === null ? 0 : Math.min(pin, rules.pin) + 1) - rules.title - 2;
        for (const [index, length] of lengths.entries())
          expect(most.get(index) ?? 0).toBeGreaterThanOrEqual(Math.min(length, left));
      }),
    );
  });
});

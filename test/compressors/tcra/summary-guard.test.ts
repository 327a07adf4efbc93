import { describe, expect, test } from 'vitest';
import { SummaryGuard } from '../../../compressors/tcra/summary-guard.js';

const SOURCES = [
  'The Alder was built in 1987 and the Rowan in 1992 at Kiel.',
  'She runs every day, except on 24 December, and does not carry dogs.',
  'A bicycle costs 4 euros and a car 31 euros in July.',
  'Dr. Mairi Keir, who had led the yard for 1,200 days, handed the keys to Captain Ewan Sorley on 3 May 2019.',
  'Temperatures fall to -5 °C in the hold, and 40% of the fish is lost.',
  'The pier may be closed without notice.',
];
const guard = new SummaryGuard(SOURCES);

describe('what a source says is let pass', () => {
  test.each([
    'The Alder was built in 1987.',
    'She runs every day, except on 24 December, and does not carry dogs.',
    'A bicycle costs 4 euros.',
    'A bicycle costs €4.',
    'A bicycle costs four euros.',
    'Mairi Keir handed the keys to Captain Ewan Sorley on 3 May 2019.',
    'Mairi Keir, who had led the yard for 1200 days, handed the keys to Ewan Sorley.',
    'Temperatures fall to -5 °C in the hold.',
    '40 percent of the fish is lost.',
    'The pier may be closed without notice.',
  ])('%s', (sentence) => {
    expect(guard.verdict(sentence)).toEqual({ source: expect.any(Number) as number });
  });
});

describe('what no source says is refused, with the nearest source', () => {
  test.each<[string, number | undefined, RegExp]>([
    ['The Alder was built in 1992.', 0, /^a number/],
    ['The Rowan was built in 1987.', 0, /belongs to something else/],
    ['Rowan was built in 1987.', 0, /belongs to something else/],
    ['The Alder was built in 1978.', 0, /^a number/],
    ['She runs every day.', 1, /negations/],
    ['She runs every day, except on 25 December, and does not carry dogs.', 1, /^a number/],
    ['She runs every day, except on 24 January, and does not carry dogs.', 1, /^a (?:name|number)/],
    ['She runs every day, except on 24 December, and carries dogs.', 1, /negations/],
    ['A bicycle costs 31 euros.', 2, /belongs to something else/],
    ['A bicycle costs 4 dollars.', 2, /^a number/],
    ['A bicycle does not cost 4 euros.', 2, /negations/],
    ['Captain Ewan Sorley handed the keys to Mairi Keir.', 3, /belongs to something else/],
    ['Mairi Keir handed the keys to Captain Ewan Rowan.', 3, /^a name/],
    ['Temperatures fall to 5 °C in the hold.', 4, /^a number/],
    ['The pier may be closed.', 5, /negations/],
    ['The lighthouse shines over the quiet harbour.', undefined, /none of its sources/],
    ['Kiel', undefined, /no whole statement/],
    ['', undefined, /no whole statement/],
  ])('%s', (sentence, source, fault) => {
    const verdict = guard.verdict(sentence);
    expect(verdict.fault).toMatch(fault);
    if (source !== undefined) expect(verdict.source).toBe(source);
  });
});

test('a word with a capital in a sentence is a name, also where words like it are everyday words', () => {
  const titles = new SummaryGuard([
    'The film What Jesus Would Buy was shown west of West Bromwich by Philips Lighting.',
  ]);
  expect(titles.verdict('The film What Would Jesus Buy was shown west of West Bromwich.').fault).toMatch(
    /^a name/,
  );
  expect(titles.verdict('The film What Jesus Would Buy was shown west of Bromwich West.').fault).toMatch(
    /^a name/,
  );
  expect(
    titles.verdict('The film What Jesus Would Buy was shown west of West Bromwich.').fault,
  ).toBeUndefined();
});

test.each([
  [
    'German',
    'Die Fähre verkehrt täglich, außer am 24. Dezember, und nimmt keine Hunde mit.',
    'Die Fähre verkehrt täglich und nimmt Hunde mit.',
  ],
  [
    'French',
    'Le bac ne transporte pas de chiens et part à 7 h 40 du quai Nord.',
    'Le bac transporte des chiens et part à 7 h 40 du quai Nord.',
  ],
  [
    'Russian',
    'Паром не ходит зимой и вмещает 120 пассажиров.',
    'Паром ходит зимой и вмещает 120 пассажиров.',
  ],
  ['Chinese', '渡轮不在冬季运行，票价为四欧元。', '渡轮在冬季运行，票价为四欧元。'],
])('%s: the sentence itself passes, without its negation it does not', (_, source, false_) => {
  const own = new SummaryGuard([source]);
  expect(own.verdict(source).fault).toBeUndefined();
  expect(own.verdict(false_).fault).toBeDefined();
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { indexTerms, isSpaced, isWordCode, joinTerms, queryTerms } from '../../compressors/words.js';

const termsOf = (text: string) => [...indexTerms(text).terms];

/** The stretch from each term's offset to the next. */
function pieces(text: string): string[] {
  const { at } = indexTerms(text);
  return Array.from(at, (start, index) => text.slice(start, at[index + 1] ?? text.length).trim());
}

describe('words that are the same term', () => {
  test.each([
    ['case', 'Ferry FERRY', 'ferry ferry'],
    ['plurals', 'ferries boats passes boxes', 'ferry boat passe boxe'],
    ['diacritics', 'Größe café naïve Łódź', 'Grösse cafe naive Łodz'],
    ['composed and decomposed letters', 'caf\u00e9', 'cafe\u0301'],
    ['compatibility forms', 'ﬁne Ｆｅｒｒｙ ２０２４', 'fine Ferry 2024'],
    ['Greek accents', 'Ελλάδα', 'ΕΛΛΑΔΑ'],
    ['Russian yo', 'ещё', 'еще'],
    ['Arabic forms and vowel signs', 'إِلَى مَدْرَسَة', 'الي مدرسه'],
    ['stretched Arabic', 'كـــتاب', 'كتاب'],
    ['Hebrew points', 'סֵפֶר', 'ספר'],
    ['numbers with and without marks', '1,234.5', '1234.5'],
    ['hyphens', 'part-time', 'part time'],
  ])('%s: %s', (_, one, other) => {
    expect(termsOf(one)).toEqual(termsOf(other));
  });

  test.each([
    ['words that end in s but are no plurals', 'bus gas lens class', 'bu ga len clas'],
    ['decimals', '3.75', '375'],
    ['vowel signs of Indic scripts', 'कि', 'क'],
    ['digits and letters', 'B12', 'B 12'],
  ])('but not %s', (_, one, other) => {
    expect(termsOf(one)).not.toEqual(termsOf(other));
  });
});

describe('where words are', () => {
  test.each([
    ['spaces and marks', 'The “Rowan”, built in 1987.', ['The “', 'Rowan”,', 'built', 'in', '1987.']],
    ['numbers', '1,234.5 and 3.75, 2024.', ['1,234.5', 'and', '3.75,', '2024.']],
    ['a number at the end', 'v1.2.', ['v1.2.']],
    ['pairs of Chinese', '渡轮每天', ['渡', '轮', '每天']],
    ['one Chinese character', '票 a', ['票', 'a']],
    ['Japanese and Latin', 'Rowan号は', ['Rowan', '号は']],
    ['Thai by the dictionary', 'เรือข้ามฟาก', ['เรือ', 'ข้าม', 'ฟาก']],
    ['nothing', ' .!? ', []],
  ])('%s', (_, text, expected) => {
    expect(pieces(text)).toEqual(expected);
  });

  test('offsets ascend, begin words, and do not depend on what follows', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (text) => {
        const { terms, at } = indexTerms(text);
        expect(terms).toHaveLength(at.length);
        for (let index = 0; index < at.length; index++) {
          expect(at[index]).toBeGreaterThan(at[index - 1] ?? -1);
          expect(isWordCode(text.charCodeAt(at[index]!))).toBe(true);
        }
        const longer = indexTerms(`${text} ferry`);
        expect(longer.at.slice(0, -1)).toEqual(at);
        expect(longer.terms.slice(0, -1)).toEqual(terms);
      }),
      { numRuns: 500 },
    );
  });

  test('a pair of surrogates and lone ones are letters', () => {
    expect(pieces('𝐀𝐁 \ud83d x')).toEqual(['𝐀𝐁', '\ud83d', 'x']);
  });
});

describe('what a query asks for', () => {
  test.each([
    ['When was the Rowan built?', 'Rowan built'],
    ['Wann wurde der Hafen gebaut?', 'Hafen gebaut'],
    ['What did the son of Kim study at MIT: AI or war?', 'son Kim study MIT AI war'],
    ['Où est le port ?', 'port'],
    ['¿Cuándo sale el barco?', 'sale barco'],
    ['Где находится порт?', 'находится порт'],
    ['ما هو سعر التذكرة؟', 'سعر التذكرة'],
  ])('%s', (query, words) => {
    expect([...queryTerms(query)]).toEqual(termsOf(words));
  });

  test('of stop words alone, all of them, each once', () => {
    expect([...queryTerms('to be or not to be')]).toEqual(termsOf('to be or not'));
    expect(queryTerms('').length).toBe(0);
  });
});

test('terms are joined in order', () => {
  expect([...joinTerms([Uint32Array.of(1, 2), new Uint32Array(), Uint32Array.of(3)])]).toEqual([1, 2, 3]);
});

test('Han and kana are put together without a space, other scripts with one', () => {
  expect(
    ['渡轮', '渡a', 'ab', '。は', '한글', 'กข'].map(([before, after]) => isSpaced(before!, after!)),
  ).toEqual([false, true, true, false, true, true]);
});

// Quadratic time would take hours here.
test.each([
  ['a word', 'a'.repeat(1 << 20)],
  ['digits and commas', '1,'.repeat(1 << 19)],
  ['Thai', 'เรือ'.repeat(1 << 16)],
  ['Han', '渡'.repeat(1 << 20)],
  ['marks', '\u0301'.repeat(1 << 20)],
])('1 MB of %s', (_, text) => {
  expect(indexTerms(text).terms.length).toBeGreaterThan(0);
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { quotations } from '../../../compressors/tcra/quotations.js';
import { sentenceWords } from '../../../compressors/tcra/sentence-words.js';
import { sourceSpans, withoutWords } from '../../../compressors/tcra/without-words.js';
import type { Unit } from '../../../compressors/contract.js';

const counter = { name: 'words', exact: true, count: (text: string) => text.split(' ').length };

function unitOf(text: string, spans: Unit['spans']): Unit {
  return {
    document: 0,
    block: 0,
    kind: 'sentence',
    layout: { type: 'paragraph' },
    text,
    spans,
    tokens: counter.count(text),
    terms: new Uint32Array(),
    needs: [],
  };
}

const whole = (text: string) =>
  unitOf(text, [{ start: 100, end: 100 + text.length, at: 0, length: text.length }]);

test.each<[string, number[], string]>([
  ['the old ferry runs', [0], 'old ferry runs'],
  ['the old ferry runs', [1, 2], 'the runs'],
  ['the old ferry runs', [3], 'the old ferry'],
  ['the  old\nferry runs', [1], 'the\nferry runs'],
  ['the  old ferry runs', [0, 2], 'old runs'],
])('%j without %j', (text, dropped, left) => {
  expect(withoutWords(whole(text), sentenceWords(text), new Set(dropped), counter).text).toBe(left);
});

test('a character reference goes or stays whole', () => {
  const text = 'cats & old dogs';
  const source = 'cats &amp; old dogs';
  const unit = unitOf(text, [
    { start: 0, end: 5, at: 0, length: 5 },
    { start: 5, end: 10, at: 5, length: 1 },
    { start: 10, end: 19, at: 6, length: 9 },
  ]);
  const words = sentenceWords(text);
  expect(sourceSpans(unit, words[1]!).map(({ start, end }) => source.slice(start, end))).toEqual(['&amp;']);
  const cut = withoutWords(unit, words, new Set([2]), counter);
  expect(cut.text).toBe('cats & dogs');
  expect(cut.spans.map(({ start, end }) => source.slice(start, end)).join('')).toBe('cats &amp; dogs');
});

test('what is left is its spans, and each word that went is in none of them', () => {
  const texts = fc.array(fc.constantFrom('a', 'the', 'port', 'e\u0301t', '👩‍👩‍👧', 'x-y', 'don’t'), {
    minLength: 2,
    maxLength: 30,
  });
  fc.assert(
    fc.property(texts, fc.array(fc.nat(29)), (parts, indices) => {
      const text = parts.join(' ');
      const unit = whole(text);
      const words = sentenceWords(text);
      const dropped = new Set(indices.filter((index) => index < words.length - 1));
      const { text: left, spans } = withoutWords(unit, words, dropped, counter);
      expect(left.split(' ')).toEqual(parts.filter((_, index) => !dropped.has(index)));
      expect(spans.map(({ start, end }) => text.slice(start - 100, end - 100)).join('')).toBe(left);
      for (const { at, length, start, end } of spans)
        expect(left.slice(at, at + length)).toBe(text.slice(start - 100, end - 100));
      for (const index of dropped)
        for (const gone of sourceSpans(unit, words[index]!))
          expect(spans.some(({ start, end }) => start < gone.end && gone.start < end)).toBe(false);
    }),
  );
});

test.each<[string, string[]]>([
  ['he said "yes" and “no” and «oui»', ['"yes"', '“no”', '«oui»']],
  ['er sagte „ja“ und »nein« dann', ['„ja“', '»nein«']],
  ["the dogs' bowl and the cat's, and 'a b' too", ["'a b'"]],
  ['a 5" pipe and a 6" one', []],
  ['the quote "goes on to the end', ['"goes on to the end']],
  ["rock 'n roll in the '90s", []],
])('quotations of %j', (text, found) => {
  expect(quotations(text).map(({ start, end }) => text.slice(start, end))).toEqual(found);
});

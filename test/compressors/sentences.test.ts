import fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { isSpace } from '../../compressors/words.js';
import { splitSentences } from '../../compressors/sentences.js';
import { sharedData } from '../shared-data.js';
import { goldSentences } from './gold-sentences.js';

function sentencesOf(text: string): string[] {
  const bounds = splitSentences(text);
  return Array.from({ length: bounds.length / 2 }, (_, index) =>
    text.slice(bounds[2 * index], bounds[2 * index + 1]),
  );
}

describe('sentences marked by hand', () => {
  test.each(Object.entries(goldSentences))('%s', (_, cases) => {
    for (const marked of cases) {
      expect(sentencesOf(marked.replaceAll('‖', ''))).toEqual(
        marked.split('‖').map((sentence) => sentence.trim()),
      );
    }
  });
});

describe('long sentences', () => {
  const word = 'ferry ';

  test('without marks are cut at a space, within 1,200 code units', () => {
    const text = word.repeat(1_000).trim();
    const pieces = sentencesOf(text);
    expect(pieces.length).toBeGreaterThan(4);
    expect(pieces.every((piece) => piece.length <= 1_200)).toBe(true);
    expect(pieces.join(' ')).toBe(text);
  });

  test('are cut at the strongest mark', () => {
    const half = word.repeat(130).trim();
    expect(sentencesOf(`${half}; ${half}, ${half}`)[0]).toBe(`${half};`);
    expect(sentencesOf(`${half}, ${half} ${half}`)[0]).toBe(`${half},`);
    expect(sentencesOf(`${half} ; ${half}`)[0]).toBe(`${half} ;`);
    expect(sentencesOf(`${half}. ${half}`)[0]).toBe(`${half}.`);
  });

  test.each([
    ['Thai', 'เรือข้ามฟากออกจากท่าทุกวันยกเว้นวันหยุด', 'th'],
    ['Burmese', 'ကူးတို့သင်္ဘောသည်နေ့တိုင်းထွက်ခွာသည်', 'my'],
    ['Chinese', '渡輪每天從港口開出冬天除外', 'zh'],
  ])('%s without spaces is cut between words', (_, phrase, language) => {
    const text = phrase.repeat(120);
    const pieces = sentencesOf(text);
    expect(pieces.join('')).toBe(text);
    expect(pieces.every((piece) => piece.length <= 1_200)).toBe(true);
    const words = new Intl.Segmenter(language, { granularity: 'word' }).segment(text);
    let at = 0;
    for (const piece of pieces.slice(0, -1)) {
      at += piece.length;
      expect(words.containing(at)!.index).toBe(at);
    }
  });

  test('a single word stays whole, and what follows it is cut again', () => {
    const text = `${'a'.repeat(5_000)} ${word.repeat(400).trim()}`;
    const pieces = sentencesOf(text);
    expect(pieces[0]).toBe('a'.repeat(5_000));
    expect(pieces.slice(1).every((piece) => piece.length <= 1_200)).toBe(true);
  });

  // Quadratic time would take hours here.
  test.each([
    ['a word', 'a'.repeat(1 << 20)],
    ['dots', '.'.repeat(1 << 20)],
    ['quotes after a dot', `.${'"'.repeat(1 << 20)}`],
    ['dots and quotes', '."'.repeat(1 << 19)],
    ['brackets', `Stop.${'[1]'.repeat(1 << 18)}`],
    ['line breaks', '\n'.repeat(1 << 20)],
    ['spaces', `a.${' '.repeat(1 << 20)}B`],
    ['emoji', '👩‍👩‍👧'.repeat(1 << 17)],
    ['marks', `e${'\u0301'.repeat(1 << 20)}`],
  ])('1 MB of %s', (_, text) => {
    expect(sentencesOf(text).join('').length).toBe(text.replace(/\s/g, '').length);
  });
});

describe('what always holds', () => {
  const anyText = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          ...[
            'The ferry',
            'sank',
            'Dr',
            'J',
            'e.g',
            'U.S',
            'No',
            '5',
            '1987',
            'a.m',
            'z. B',
            'v1.2',
            'x@y.org',
          ],
          ...[
            '. ',
            '.',
            '! ',
            '?',
            '… ',
            '...',
            ';',
            '; ',
            ', ',
            ' ',
            '\n',
            '\r\n',
            '\t',
            '\u00a0',
            '\u2028',
          ],
          ...['"', '“', '”', '«', '»', '(', ')', '[', ']', '[3]', '—', '-', '¿', '/'],
          ...[
            '。',
            '！',
            '」',
            '「',
            '渡船',
            'です',
            'เรือข้าม',
            '।',
            'डॉ',
            '؟',
            'د',
            'Πού',
            'Ω',
            '։',
            'ß',
            'É',
          ],
          ...['🎉', '👩‍👩‍👧', '🇩🇪', '\u0301', '\u200d', '\ufeff', '\ud83d', '\udc69', '\0'],
        ),
        fc.string({ unit: 'grapheme', maxLength: 6 }),
      ),
      { maxLength: 40 },
    )
    .map((parts) => parts.join(''));
  const isWhite = (text: string) => Array.from(text, (space) => isSpace(space.charCodeAt(0))).every(Boolean);
  const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

  test('bounds ascend and hold all that is not white space, and none of it around a sentence', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const bounds = splitSentences(text);
        let end = 0;
        for (let i = 0; i < bounds.length; i += 2) {
          expect(bounds[i]).toBeGreaterThanOrEqual(end);
          expect(bounds[i + 1]).toBeGreaterThan(bounds[i]!);
          expect(isWhite(text.slice(end, bounds[i]))).toBe(true);
          end = bounds[i + 1]!;
          expect(isSpace(text.charCodeAt(end - 1))).toBe(false);
        }
        expect(isWhite(text.slice(end))).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });

  test('a sentence split again is that sentence', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        for (const sentence of sentencesOf(text)) expect(sentencesOf(sentence)).toEqual([sentence]);
      }),
      { numRuns: 2_000 },
    );
  });

  test('the same text gives the same sentences, whatever was split before it', () => {
    fc.assert(
      fc.property(anyText, anyText, (text, other) => {
        const first = splitSentences(text);
        splitSentences(other);
        expect(splitSentences(text)).toEqual(first);
      }),
      { numRuns: 300 },
    );
  });

  test('no bound is inside a grapheme or a word', () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const segments = graphemes.segment(text);
        for (const bound of splitSentences(text)) {
          if (bound === text.length) continue;
          expect(segments.containing(bound)!.index).toBe(bound);
          expect(text.slice(bound - 1, bound + 1)).not.toMatch(
            /^[\p{Script=Latin}\p{Nd}][\p{Script=Latin}\p{Nd}]/u,
          );
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe.skipIf(sharedData === undefined)('sentences of the shared evidence sets', () => {
  // What is missed there is mostly the data's: fragments in lower case, lists without marks, initials taken for ends.
  test.each([
    ['hotpot', 0.98, 0.99],
    ['selqa', 0.93, 0.99],
    ['qed', 0.98, 0.99],
  ])('%s: most of their bounds are found, and few others', (set, recall, precision) => {
    const file = join(sharedData!, 'evidence', `${set}.dev.jsonl.gz`);
    let theirs = 0;
    let ours = 0;
    let both = 0;
    for (const line of gunzipSync(readFileSync(file)).toString('utf8').trim().split('\n')) {
      const { documents } = JSON.parse(line) as { documents: { sentences: string[] }[] };
      for (const { sentences } of documents) {
        const known = new Set<number>();
        let text = '';
        for (const sentence of sentences.map((one) => one.trim())) {
          if (sentence === '') continue;
          if (text !== '') known.add(text.length);
          text += `${text === '' ? '' : ' '}${sentence}`;
        }
        const found = splitSentences(text).filter((bound, index) => index % 2 === 1 && bound < text.length);
        theirs += known.size;
        ours += found.length;
        both += found.filter((bound) => known.has(bound)).length;
      }
    }
    expect(both / theirs).toBeGreaterThan(recall);
    expect(both / ours).toBeGreaterThan(precision);
  });
});

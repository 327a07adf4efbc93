import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chunkSpans } from '../../kvreuse/chunk-spans.js';

const chunksOf = (content: string) => chunkSpans(content).map(({ start, end }) => content.slice(start, end));

describe('chunks of a message', () => {
  test('are labelled documents, without their labels', () => {
    const content =
      '[1] Fares\nSingle 2.40.\n\nReturn 4.10.\n\n[2] Ferries\nThe last one leaves at nine.\n\nQuestion: what is a return?';
    expect(chunksOf(content)).toEqual([
      ' Fares\nSingle 2.40.\n\nReturn 4.10.',
      ' Ferries\nThe last one leaves at nine.',
    ]);
  });

  test('are paragraphs where nothing is labelled', () => {
    expect(chunksOf('Context:\n\nOne.\n \nTwo,\nand more.\n\n\n\nThree?')).toEqual([
      'Context:',
      'One.',
      'Two,\nand more.',
    ]);
  });

  test('are documents in tags, without the tags', () => {
    const content =
      '<documents>\n<document index="1">\nOne,\n\nand more.\n</document>\n<document index="2">Two.</document><doc></doc>\n</documents>\n\nWho?';
    expect(chunksOf(content)).toEqual(['One,\n\nand more.', 'Two.']);
    expect(chunksOf('<source id="2">Two.</source> <source id="1">One.</source> Who?')).toEqual([
      'Two.',
      'One.',
    ]);
  });

  test('leave out what stands before the first label', () => {
    expect(chunksOf('Use these.\n\nDocument 1: A\n\nDocument 2: B\n\nWho?')).toEqual([' A', ' B']);
  });

  test.each(['', 'one paragraph alone', '\n\n', 'one\ntwo\nthree', '   \n\n   '])(
    'of %j are none',
    (content) => {
      expect(chunksOf(content)).toEqual([]);
    },
  );

  const paragraph = fc.string({ minLength: 1 }).map((text) => `a${text.replace(/\s+/g, ' ')}z`);

  test('are the same in any order', () => {
    fc.assert(
      fc.property(fc.uniqueArray(paragraph, { minLength: 1, maxLength: 6 }), fc.nat(), (documents, by) => {
        const message = (list: string[]) =>
          list.map((text, i) => `[${i + 1}] ${text}`).join('\n\n') + '\n\nWho?';
        const turned = documents.map((_, i) => documents[(i + by) % documents.length]!);
        expect(chunksOf(message(turned)).sort()).toEqual(chunksOf(message(documents)).sort());
        expect(chunksOf(message(documents))).toEqual(documents.map((text) => ` ${text}`));
      }),
    );
  });

  test('never overlap, and are ascending', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom(
            'a',
            ' ',
            '\n',
            '\n\n',
            '[1]',
            '[2] ',
            '1. ',
            'Document 3: ',
            '\t',
            '<doc>',
            '</doc>',
          ),
        ),
        (parts) => {
          let end = 0;
          for (const span of chunkSpans(parts.join(''))) {
            expect(span.start).toBeGreaterThanOrEqual(end);
            expect(span.end).toBeGreaterThanOrEqual(span.start);
            ({ end } = span);
          }
        },
      ),
    );
  });
});

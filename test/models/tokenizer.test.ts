import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadTokenizer } from '../../models/load-tokenizer.js';
import type { Tokenizer } from '../../models/tokenizer.js';
import { fixtures, hasWeights } from './tiny-model.js';

let tokenizer: Tokenizer;

beforeAll(async () => {
  tokenizer = await loadTokenizer(join(fixtures, 'tiny'));
});

describe('a tokenizer', () => {
  test('knows its special tokens', () => {
    expect(tokenizer.special).toEqual({ CLS: 2, SEP: 3, PAD: 0, UNK: 1 });
  });

  test('is one for all who load the same files', async () => {
    expect(await loadTokenizer(join(fixtures, 'tiny'))).toBe(tokenizer);
  });

  test('reads what looks like a special token as text', () => {
    const { CLS, SEP, UNK } = tokenizer.special;
    for (const text of ['a [SEP] b', '[CLS]', 'x[SEP]y']) {
      const ids = tokenizer.encode(text);
      expect(ids).not.toContain(CLS);
      expect(ids).not.toContain(SEP);
      expect(ids).not.toContain(UNK);
      expect(ids.length).toBeGreaterThan(3);
    }
  });

  test('gives no tokens for nothing, and survives any string', () => {
    expect(tokenizer.encode('')).toEqual([]);
    expect(tokenizer.encode(' \n\t')).toEqual([]);
    expect(tokenizer.encode('a\ud800b')).toEqual(tokenizer.encode('ab'));
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        for (const id of tokenizer.encode(text)) expect(Number.isSafeInteger(id)).toBe(true);
      }),
    );
  });

  test('reads long texts in pieces, to the same tokens', () => {
    const word = fc.constantFrom('ferry', 'every', 'day.', '😀', '\n\n', 'lines,lines', 'x'.repeat(300));
    fc.assert(
      fc.property(fc.array(word, { minLength: 1, maxLength: 12 }), (words) => {
        const sentence = `${words.join(' ')} ferry`;
        const long = `${sentence} `.repeat(Math.ceil(12_000 / sentence.length));
        const expected = tokenizer.encode(sentence);
        const ids = tokenizer.encode(long);
        expect(ids.length % expected.length).toBe(0);
        expect(ids.every((id, index) => id === expected[index % expected.length])).toBe(true);
      }),
      { numRuns: 20 },
    );
  });

  test('never cuts a character in two', () => {
    expect(new Set(tokenizer.encode(`a${'😀'.repeat(5_000)}`)).size).toBeLessThanOrEqual(2);
  });

  test('stops at a limit, and does not read what lies far beyond it', () => {
    const text = 'every ferry '.repeat(100_000);
    expect(tokenizer.encode(text, { limit: 5 })).toEqual(tokenizer.encode('every ferry every ferry every'));
    expect(tokenizer.encode('ferry', { limit: 0 })).toEqual([]);
    expect(tokenizer.encode('x'.repeat(10_000_000), { limit: 10 }).length).toBeLessThanOrEqual(10);
  });

  test('refuses a folder without one', async () => {
    await expect(loadTokenizer(fixtures)).rejects.toMatchObject({ code: 'damaged' });
  });
});

// Ids as the `tokenizers` package of Python gives them.
describe.skipIf(!hasWeights('minilm'))('the tokenizer of minilm', () => {
  test.each([
    ['Hello wörld x', [7592, 2088, 1060]],
    ['😀 שלום', [100, 1266, 29799, 29792, 29800]],
    ['東京タワー', [1879, 1755, 1709, 30262, 30265]],
    ['unaffable', [14477, 20961, 3468]],
  ])('reads %j as Python does', async (text, ids) => {
    const folder = fileURLToPath(new URL('../../models/weights/minilm', import.meta.url));
    expect((await loadTokenizer(folder)).encode(text)).toEqual(ids);
  });
});

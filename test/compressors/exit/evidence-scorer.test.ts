import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EvidenceScorer } from '../../../compressors/exit/evidence-scorer.js';
import { EvidenceEncoder } from '../../../models/encoder/evidence-encoder.js';
import { ModelRegistry } from '../../../models/registry.js';
import { fixtures } from '../../models/tiny-model.js';
import { contextOf, stateOf } from './given-sentences.js';
import { watchedEncoder } from './watched-encoder.js';

let encoder: EvidenceEncoder;

beforeAll(async () => {
  encoder = await EvidenceEncoder.load({
    registry: new ModelRegistry({ folder: fixtures }),
    model: 'tiny-evidence',
  });
});

afterAll(() => encoder.close());

const query = 'Who runs the winter ferry?';
const titles = Array.from({ length: 20 }, (_, at) => `Line ${at}`);
const sentences = titles.flatMap((_, document) => [
  { document, text: `The ferry runs every day ${document}.` },
  { document, text: 'The harbour is free in winter.' },
]);
const state = stateOf(query, titles, sentences);
const score = (scorer: EvidenceScorer, options: Parameters<typeof contextOf>[0] = {}) =>
  scorer.score(query, state.units, state, contextOf(options));

function tokensIn(windows: readonly { readonly ids: readonly number[] }[]): number {
  return windows.reduce((sum, { ids }) => sum + ids.length, 0);
}

describe('what the encoder reads', () => {
  test.each([64, 200, 333, 600])('is %i tokens at most, the second pass among them', async (maxTokens) => {
    const { encoder: watched, seen } = watchedEncoder(encoder);
    const { by } = await score(new EvidenceScorer(watched, { maxTokens }));
    expect(tokensIn(seen)).toBeLessThanOrEqual(maxTokens);
    expect(by).toMatch(/^tiny-evidence@1, which read \d+ of 40 sentences/);
  });

  test('leaves room for the second pass', async () => {
    const { encoder: watched, seen } = watchedEncoder(encoder);
    await score(new EvidenceScorer(watched, { maxTokens: 600 }));
    const pinned = seen.filter(({ kinds, owners }) => owners.indexOf(-2) > kinds.lastIndexOf(2) + 1);
    expect(pinned.length).toBeGreaterThan(0);
    expect(pinned.length).toBeLessThan(seen.length);
  });

  test('is all, and nothing is said, where there is room', async () => {
    const { encoder: watched, seen } = watchedEncoder(encoder);
    const { by, scores, isHurried } = await score(new EvidenceScorer(watched, { maxTokens: 100_000 }));
    expect([by, isHurried]).toEqual([undefined, undefined]);
    expect(new Set(seen.flatMap(({ owners }) => owners.filter((owner) => owner >= 0))).size).toBe(40);
    expect(Array.from(scores).every((one) => one > 0 && one < 1)).toBe(true);
  });

  test('is remembered: the same question costs nothing the second time', async () => {
    const scorer = new EvidenceScorer(encoder, { maxTokens: 6_000 });
    const first = await score(scorer);
    const before = encoder.tokensRead;
    expect(await score(scorer)).toEqual(first);
    expect(encoder.tokensRead).toBe(before);
  });

  test('of no sentences is nothing', async () => {
    const { encoder: watched, seen } = watchedEncoder(encoder);
    const scorer = new EvidenceScorer(watched, { maxTokens: 600 });
    const empty = stateOf(query, [], []);
    expect((await scorer.score(query, [], empty, contextOf())).scores).toHaveLength(0);
    expect(seen).toEqual([]);
    const blank = stateOf(
      query,
      ['', ''],
      [0, 1, 1].map((document) => ({ document, text: '' })),
    );
    const { scores } = await scorer.score(query, blank.units, blank, contextOf());
    expect(Array.from(scores)).toEqual([0, 0, 0]);
  });
});

describe('time', () => {
  test('a deadline ends the reading, and what was read counts', async () => {
    const { encoder: watched, seen } = watchedEncoder(encoder, async () => {
      await setTimeout(30);
    });
    const context = { ...contextOf(), deadline: performance.now() + 100 };
    const scorer = new EvidenceScorer(watched, { maxTokens: 100_000 });
    const { by, isHurried, scores } = await scorer.score(query, state.units, state, context);
    expect(by).toMatch(/^tiny-evidence@1, which read \d+ of 40 sentences and did not end its second pass$/);
    expect(isHurried).toBe(true);
    const read = new Set(seen.flatMap(({ owners }) => owners.filter((owner) => owner >= 0)));
    expect(read.size).toBeGreaterThan(0);
    for (const [index, one] of Array.from(scores).entries()) expect(one > 0).toBe(read.has(index));
  });

  test('an abort ends it with the signal’s reason', async () => {
    const controller = new AbortController();
    const { encoder: watched, seen } = watchedEncoder(encoder, (count) => {
      if (count === 2) controller.abort(new Error('enough'));
      return Promise.resolve();
    });
    const scorer = new EvidenceScorer(watched, { maxTokens: 100_000 });
    await expect(score(scorer, { signal: controller.signal })).rejects.toThrow('enough');
    expect(seen).toHaveLength(2);
  });
});

describe('a budget', () => {
  test('scores nothing that is all but certainly no evidence', async () => {
    const strict = new EvidenceScorer(encoder, { maxTokens: 6_000, threshold: 1 });
    const free = await score(strict);
    const budgeted = await score(strict, { budget: 100 });
    for (const [index, probability] of Array.from(free.scores).entries())
      expect(budgeted.scores[index]! > 0).toBe(probability >= 0.1);
    expect(free.floor).toBe(1);
  });
});

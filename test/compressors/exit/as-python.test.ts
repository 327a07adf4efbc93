import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EvidenceScorer } from '../../../compressors/exit/evidence-scorer.js';
import type { State } from '../../../compressors/contract.js';
import { EvidenceEncoder } from '../../../models/encoder/evidence-encoder.js';
import { ModelRegistry } from '../../../models/registry.js';
import { fixtures } from '../../models/tiny-model.js';
import { contextOf, stateOf, type GivenSentence } from './given-sentences.js';
import { watchedEncoder } from './watched-encoder.js';

/** What training/combine.py made of it (test/fixtures/models/make-evidence-cases.py). */
interface Case {
  readonly name: string;
  readonly query: string;
  readonly titles: readonly string[];
  readonly sentences: readonly GivenSentence[];
  readonly windows: readonly (readonly [ids: number[], kinds: number[], groups: number[]])[];
  readonly secondWindows: Case['windows'];
  readonly probabilities: readonly number[];
  readonly rank: readonly number[];
}

const cases = JSON.parse(readFileSync(join(fixtures, 'evidence-cases.json'), 'utf8')) as Case[];

let encoder: EvidenceEncoder;

beforeAll(async () => {
  encoder = await EvidenceEncoder.load({
    registry: new ModelRegistry({ folder: fixtures }),
    model: 'tiny-evidence',
  });
});

afterAll(() => encoder.close());

/** Scores, and the windows that were read for them. */
async function judged(state: State, budget?: number) {
  const { encoder: watched, seen } = watchedEncoder(encoder);
  const scorer = new EvidenceScorer(watched, { maxTokens: 6_144, threshold: 0 });
  const context = contextOf(budget === undefined ? {} : { budget });
  const judgement = await scorer.score(state.query, state.units, state, context);
  return { ...judgement, scores: Array.from(judgement.scores), seen };
}

describe.each(cases)('$name', ({ query, titles, sentences, ...expected }) => {
  const state = stateOf(query, titles, sentences);

  test('the encoder reads the same windows, twice where there are several documents', async () => {
    const { seen } = await judged(state);
    const windows = [...expected.windows, ...expected.secondWindows];
    expect(seen.map(({ ids, kinds }) => [ids, kinds])).toEqual(windows.map(([ids, kinds]) => [ids, kinds]));
    const groups = windows.map(([, , groups]) =>
      groups.map((group) => (group < sentences.length ? group : -2)),
    );
    expect(seen.map(({ owners }) => owners.map((owner) => Math.max(-2, owner)))).toEqual(groups);
  });

  test('probabilities are the same', async () => {
    const { scores } = await judged(state);
    expect(scores).toHaveLength(sentences.length);
    for (const [index, probability] of expected.probabilities.entries()) {
      // A sentence without a token is not read, and not kept.
      expect(scores[index], String(index)).toBeCloseTo(sentences[index]!.text === '' ? 0 : probability, 5);
    }
  });

  test('under a budget long sentences stand further back, as much as there', async () => {
    const { scores } = await judged(state, 100);
    for (const [index, rank] of expected.rank.entries()) {
      if (sentences[index]!.text === '') continue;
      expect(Math.log(scores[index]! / (1 - scores[index]!)), String(index)).toBeCloseTo(rank, 4);
    }
  });
});

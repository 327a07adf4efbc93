import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { bm25 } from '../../../compressors/bm25.js';
import { combine, type Combination } from '../../../compressors/exit/combination.js';
import { FEATURES, sentenceFeatures, type Feature } from '../../../compressors/exit/features.js';
import { indexTerms, joinTerms, queryTerms } from '../../../compressors/words.js';
import { fixtures } from '../../models/tiny-model.js';
import type { GivenSentence } from './given-sentences.js';

const FLOOR = -8;

interface Given {
  readonly section: number;
  readonly text: string;
  readonly logit?: number;
  readonly match?: number;
  readonly second?: number;
  readonly bm25?: number;
}

function featuresOf(
  query: string,
  sections: { title: string; relevance: number }[],
  given: readonly Given[],
) {
  const sentences = given.map(
    ({ section, text, logit = FLOOR, match = 0, second = logit, bm25: score = 0 }) => ({
      section,
      terms: indexTerms(text).terms,
      words: text.split(' ').length,
      bm25: score,
      logit,
      match,
      second,
    }),
  );
  return sentenceFeatures(sentences, sections, queryTerms(query), 0.3, FLOOR);
}

describe('features of a sentence', () => {
  const sections = [
    { title: 'Rowan (ship)', relevance: 2 },
    { title: 'The Harbour Line', relevance: -1 },
  ];
  const features = featuresOf('Who runs the Rowan?', sections, [
    { section: 0, text: 'She was built in 1987.', logit: 1, match: 0.2, bm25: 3 },
    { section: 0, text: 'Dogs travel free.', logit: -2, match: -0.1, bm25: 0 },
    { section: 1, text: 'It runs the Rowan.', logit: 0, match: 0.3, second: 4, bm25: 3 },
  ]);
  const total = Math.log(Math.exp(1) + Math.exp(-2) + Math.exp(0));

  test.each<[Feature, number[]]>([
    ['logit', [1, -2, 0]],
    ['match', [0.2, -0.1, 0.3]],
    ['matchBelowBest', [-0.1, -0.4, 0]],
    ['belowBest', [0, -3, -1]],
    ['logShare', [1 - total, -2 - total, -total]],
    ['previous', [FLOOR, 1, FLOOR]],
    ['next', [-2, FLOOR, FLOOR]],
    ['documentBest', [1, 1, 0]],
    ['documentRelevance', [2, 2, -1]],
    ['bestRelevance', [2, 2, 2]],
    ['windowRelevance', [0.3, 0.3, 0.3]],
    ['bm25Deviation', [Math.SQRT1_2, -Math.SQRT2, Math.SQRT1_2]],
    ['bm25Share', [1, 0, 1]],
    ['first', [1, 0, 1]],
    ['linkedFrom', [0, 0, FLOOR]],
    ['linksTo', [FLOOR, FLOOR, 1]],
    ['logWords', [Math.log(5), Math.log(3), Math.log(4)]],
    ['logSentences', [Math.log(3), Math.log(3), Math.log(3)]],
    ['second', [1, -2, 4]],
  ])('%s', (name, expected) => {
    for (const [index, value] of expected.entries()) expect(features[name][index]).toBeCloseTo(value, 5);
  });

  test('coverage weighs terms of the query by their rarity', () => {
    // "run" is in one of three, "rowan" in all (the title counts).
    const run = Math.log(1 + 2.5 / 1.5);
    const rowan = Math.log(1 + 0.5 / 3.5);
    expect(features.coverage[0]).toBeCloseTo(rowan / (run + rowan), 10);
    expect(features.coverage[2]).toBeCloseTo(1, 10);
    expect(features.coverage[1]).toBe(features.coverage[0]);
  });

  test('there is a column for each name, and each is finite for one sentence that was not read', () => {
    const alone = featuresOf('', [{ title: '', relevance: 0 }], [{ section: 0, text: '☃' }]);
    expect(Object.keys(alone).sort()).toEqual([...FEATURES].sort());
    for (const name of FEATURES) expect(alone[name][0], name).toSatisfy(Number.isFinite);
  });
});

interface Case {
  readonly name: string;
  readonly query: string;
  readonly titles: readonly string[];
  readonly sentences: readonly GivenSentence[];
  readonly relevance: readonly number[];
  readonly windowRelevance: number;
  readonly features: Readonly<Record<Feature, readonly number[]>>;
}

describe('features are those of training/combine.py', () => {
  const cases = JSON.parse(readFileSync(join(fixtures, 'evidence-cases.json'), 'utf8')) as Case[];

  test.each(cases)('$name', async ({ query, titles, sentences, ...expected }) => {
    const asked = queryTerms(query);
    const bags = sentences.map(({ document, text }) => ({
      terms: joinTerms([indexTerms(titles[document]!).terms, indexTerms(text).terms]),
    }));
    const scores = await bm25(asked, bags, () => Promise.resolve());
    const read = sentences.map(({ document, text }, index) => ({
      section: document,
      terms: indexTerms(text).terms,
      words: Math.max(1, text.match(/\S+/g)?.length ?? 0),
      bm25: scores[index]!,
      logit: expected.features.logit[index]!,
      match: expected.features.match[index]!,
      second: expected.features.second[index]!,
    }));
    const sections = titles.map((title, at) => ({ title, relevance: expected.relevance[at]! }));
    const features = sentenceFeatures(read, sections, asked, expected.windowRelevance, FLOOR);
    for (const name of FEATURES)
      for (const [index, value] of expected.features[name].entries())
        expect(features[name][index], `${name} of ${index}`).toBeCloseTo(value, 4);
  });
});

describe('the combination', () => {
  const combination: Combination = {
    features: ['logit', 'match'],
    mean: [1, 0],
    scale: [2, 0.5],
    hiddenWeights: [[0.5], [-1]],
    hiddenBias: [0.1],
    outputWeights: [3],
    directWeights: [0.2, 0.4],
    bias: -1,
  };

  test('is that of standardised features, through tanh units and past them', () => {
    // x = (2, 1): 3 tanh(0.5·2 - 1·1 + 0.1) + 0.2·2 + 0.4·1 - 1
    expect(combine(combination, [5, 0.5])).toBeCloseTo(3 * Math.tanh(0.1) - 0.2, 12);
    expect(combine(combination, [1, 0])).toBeCloseTo(3 * Math.tanh(0.1) - 1, 12);
  });
});

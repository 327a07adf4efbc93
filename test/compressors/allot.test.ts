import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  allot,
  createPipeline,
  summarise,
  type AllotOptions,
  type CompressionResult,
  type Compressor,
  type LossCurves,
  type Pipeline,
  type SourceDocument,
  type State,
} from 'ragpress';
import { allotment } from '../../compressors/allot.js';
import { hasWeights } from '../models/tiny-model.js';
import { verbatimFaults } from '../verbatim.js';
import { generatorOf, shortened } from './tcra/generator-of.js';

const CURVES: LossCurves = {
  extract: [
    { share: 0.1, answers: 0.6 },
    { share: 0.2, answers: 0.8 },
    { share: 0.4, answers: 0.95 },
  ],
  treatments: {
    words: [
      { share: 0.8, lost: 0.08 },
      { share: 0.9, lost: 0.01 },
    ],
    summaries: [{ share: 0.3, lost: 0.25 }],
    projection: [],
  },
};

/** Share of the answers that an allotment is reckoned to keep, and of the tokens that it takes. */
function worthOf(allotted: ReturnType<typeof allotment>): { answers: number; tokens: number } {
  const points = [{ share: 0, answers: 0 }, ...CURVES.extract, { share: 1, answers: 1 }];
  const at = (share: number) => {
    const index = Math.max(
      1,
      points.findIndex((point) => share <= point.share + 1e-12),
    );
    const [from, to] = [points[index - 1]!, points[index]!];
    return from.answers + ((share - from.share) / (to.share - from.share)) * (to.answers - from.answers);
  };
  let [answers, tokens, from] = [0, 0, 0];
  for (const { to, treatment } of allotted) {
    const lost = treatment
      ? CURVES.treatments[treatment.stage]!.find(({ share }) => share === treatment.share)!.lost
      : 0;
    answers += (at(to) - at(from)) * (1 - lost);
    tokens += (to - from) * (treatment?.share ?? 1);
    from = to;
  }
  return { answers, tokens };
}

describe('what is done with a ranking', () => {
  test('without stages that shorten the best is kept as it is', () => {
    const allotted = allotment(CURVES, [], 0.2);
    expect(allotted.every(({ treatment }) => treatment === undefined)).toBe(true);
    expect(allotted.at(-1)!.to).toBeCloseTo(0.2);
  });

  test('the best is kept whole, what comes behind is shortened', () => {
    const allotted = allotment(CURVES, ['words', 'summaries'], 0.2);
    const shares = allotted.map(({ treatment }) => treatment?.share ?? 1);
    expect(shares).toEqual([...shares].sort((a, b) => b - a));
    expect(new Set(allotted.map(({ treatment }) => treatment?.stage))).toContain('summaries');
    expect(worthOf(allotted).answers).toBeGreaterThan(0.8);
  });

  test('a stage of which nothing was measured is given nothing', () => {
    expect(allotment(CURVES, ['projection', 'none'], 0.3)).toEqual(allotment(CURVES, [], 0.3));
  });

  test('where there is room for all, all is kept', () => {
    const allotted = allotment(CURVES, ['words', 'summaries'], 1);
    expect(allotted.every(({ treatment }) => treatment === undefined)).toBe(true);
    expect(allotted.at(-1)!.to).toBeCloseTo(1);
  });

  test('properties: within the budget, never worse than keeping the best alone, and more room is never worse', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.001, max: 1, noNaN: true }),
        fc.subarray(['words', 'summaries', 'projection']),
        (budget, treatments) => {
          const allotted = allotment(CURVES, treatments, budget);
          const ends = allotted.map(({ to }) => to);
          expect(ends).toEqual([...ends].sort((a, b) => a - b));
          const { answers, tokens } = worthOf(allotted);
          expect(tokens).toBeLessThanOrEqual(budget + 1e-9);
          expect(answers).toBeGreaterThanOrEqual(worthOf(allotment(CURVES, [], budget)).answers - 1e-9);
          const more = worthOf(allotment(CURVES, treatments, Math.min(1, budget * 1.2)));
          expect(more.answers).toBeGreaterThanOrEqual(answers - 1e-9);
        },
      ),
    );
  });
});

const long: SourceDocument = {
  id: 'long',
  content: Array.from(
    { length: 30 },
    (_, ship) =>
      `Ship number ${ship + 10} (of the old line that few people remember now) was launched in ${1800 + ship} at yard ${ship}.`,
  ).join(' '),
};
const query = 'When was ship number 12 launched?';

describe('the stage', () => {
  let seen: State | undefined;
  const look: Compressor = {
    name: 'look',
    compress: (state) => {
      seen = state;
      return Promise.resolve(state);
    },
  };

  async function run(
    options: AllotOptions,
    budget: { ratio: number } | undefined,
  ): Promise<CompressionResult> {
    const generator = generatorOf(shortened);
    const pipeline = await createPipeline({
      stages: ['sentences', allot(options), look, summarise({ generator, ratio: 0.5 })],
    });
    const result = await pipeline.compress({ query, documents: [long], ...(budget && { budget }) });
    await pipeline.close();
    return result;
  }

  const curves: LossCurves = {
    ...CURVES,
    treatments: { summarise: [{ share: 0.5, lost: 0.001 }] },
  };

  test('a stage shortens what it was allotted and no more, and the decisions say so', async () => {
    const result = await run({ curves, treatments: ['summarise'] }, { ratio: 0.3 });
    expect(result.tokens.after).toBeLessThanOrEqual(result.tokens.budget!);
    const allotted = seen!.units.filter(({ treatment }) => treatment?.stage === 'summarise');
    expect(allotted.length).toBeGreaterThan(5);
    expect(allotted.length).toBeLessThan(30);
    expect(result.decisions).toContainEqual(
      expect.objectContaining({
        stage: 'allot',
        action: 'kept',
        reason: 'summarise is to shorten it to 50%',
      }),
    );
    const replaced = result.decisions.filter(
      ({ stage, action }) => stage === 'summarise' && action === 'replaced',
    );
    expect(replaced.length).toBeGreaterThan(0);
    expect(replaced.length).toBeLessThanOrEqual(allotted.length);
  });

  test('nothing is allotted to a stage without a curve: it does nothing', async () => {
    const result = await run({ curves, treatments: [] }, { ratio: 0.3 });
    expect(result.documents[0]!.origin).toBe('verbatim');
    expect(verbatimFaults(result, [long])).toEqual([]);
  });

  test('without a budget it does nothing', async () => {
    await run({ curves, treatments: ['summarise'] }, undefined);
    expect(seen!.isAllotted).toBeUndefined();
  });

  test.each<[object, RegExp]>([
    [{ treatments: 'tcra' }, /allot\.treatments/],
    [{ curves: { extract: [{ share: 2, answers: 0 }], treatments: {} } }, /allot\.curves\.extract/],
    [{ shares: 1 }, /allot.*shares/],
  ])('%j is refused', (options, message) => {
    expect(() => allot(options as AllotOptions)).toThrow(message);
  });
});

test('what was shortened stands whole where there is room for it', async () => {
  const shorten: Compressor = {
    name: 'shorten',
    compress: (state) =>
      Promise.resolve({
        ...state,
        units: state.units.map((unit) => ({
          ...unit,
          text: 'short',
          tokens: 2,
          spans: [{ ...unit.spans[0]!, at: 0, length: 0 }],
          origin: 'generated' as const,
          whole: unit,
        })),
      }),
  };
  const documents = [
    { id: 'a', content: 'Ship number 12 was launched in 1802 at yard 2.' },
    { id: 'b', content: `Ship number 13 was launched in 1803 ${'at the yard of the town '.repeat(30)}.` },
  ];
  const pipeline = await createPipeline({ stages: ['sentences', shorten] });
  const {
    context,
    tokens,
    documents: kept,
    decisions,
  } = await pipeline.compress({ query, documents, budget: { tokens: 60 } });
  await pipeline.close();
  expect(tokens.after).toBeLessThanOrEqual(60);
  expect(context).toContain('Ship number 12 was launched in 1802 at yard 2.');
  expect(kept.map(({ origin }) => origin)).toEqual(['verbatim', 'generated']);
  expect(decisions).toContainEqual(
    expect.objectContaining({
      document: 'a',
      stage: 'budget',
      action: 'kept',
      reason: expect.stringMatching(/whole: there is room/) as string,
    }),
  );
});

describe.skipIf(!hasWeights('minilm') || !hasWeights('evidence'))('preset max', () => {
  let pipeline: Pipeline;
  beforeAll(async () => {
    pipeline = await createPipeline({ preset: 'max', deadline: 120_000 });
  });
  afterAll(async () => {
    await pipeline.close();
  });

  test.each([0.05, 0.1, 0.3, 1])(
    'under %d of the tokens: a ceiling, verbatim, the answer in it',
    async (ratio) => {
      const request = {
        query,
        documents: [long, { ...long, id: 'other', content: long.content.replaceAll('Ship', 'Tug') }],
        budget: { ratio },
      };
      const result = await pipeline.compress(request);
      expect(result.stages.map(({ name, error }) => [name, error])).toEqual(
        ['extract', 'htmlrag', 'zipfit', 'exit', 'allot', 'tcra', 'budget'].map((name) => [name, undefined]),
      );
      expect(result.tokens.after).toBeLessThanOrEqual(result.tokens.budget!);
      expect(verbatimFaults(result, request.documents)).toEqual([]);
      if (ratio >= 0.1) expect(result.context).toMatch(/Ship number 12.*launched in 1802/);
    },
  );

  test('without a budget it is balanced, with words dropped', async () => {
    const result = await pipeline.compress({ query, documents: [long] });
    expect(result.stages.every(({ error }) => error === undefined)).toBe(true);
    expect(verbatimFaults(result, [long])).toEqual([]);
  });
});

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createPipeline,
  sentences,
  type CompressionRequest,
  type CompressionResult,
  type PipelineOptions,
  type SentenceScorer,
  type SourceDocument,
} from 'ragpress';
import { verbatimFaults } from '../verbatim.js';

const ships: SourceDocument = {
  id: 'ships.md',
  content: `# The ships

The line has two ships. The Rowan was built in 1987 at Troon. She carries 60 cars. The Alder is younger.

## Fares

| Ticket | Adult | Child |
|---|---|---|
| Single | 4.20 | 2.10 |
| Day return | 7.50 | 3.75 |

Dogs travel free. Bicycles cost one euro.

## Jobs

We look for cooks. Write to us.
`,
};
const harbour: SourceDocument = {
  id: 'harbour.txt',
  content: 'The harbour was dug in 1850. It silts up every winter. Cranes were added later.',
};
const documents = [ships, harbour];

async function run(
  options: PipelineOptions,
  request: Omit<CompressionRequest, 'documents'> & { documents?: readonly SourceDocument[] },
): Promise<CompressionResult> {
  const pipeline = await createPipeline({ stages: ['sentences'], ...options });
  try {
    const given = { documents, ...request };
    const result = await pipeline.compress(given);
    expect(verbatimFaults(result, given.documents)).toEqual([]);
    return result;
  } finally {
    await pipeline.close();
  }
}

/** Every unit the same score, but for those whose text is named. */
function scoring(scores: Readonly<Record<string, number>>, floor = 0.5): SentenceScorer {
  return {
    name: 'by hand',
    score: (_query, units) => Promise.resolve({ scores: units.map(({ text }) => scores[text] ?? 0), floor }),
  };
}

const query = 'When was the Rowan built?';

describe('without a budget', () => {
  test('sentences above the threshold stay, in order, under their headings', async () => {
    const { documents: kept } = await run({}, { query });
    expect(kept.map(({ id, content }) => [id, content])).toEqual([
      ['ships.md', '# The ships\n\nThe Rowan was built in 1987 at Troon.'],
    ]);
  });

  test('a row stays with the header of its table and the heading above', async () => {
    const { documents: kept } = await run({ output: 'text' }, { query: 'day return' });
    expect(kept.map(({ content }) => content)).toEqual([
      'Fares\n\nTicket | Adult | Child\nDay return | 7.50 | 3.75',
    ]);
  });

  test('the threshold decides how much', async () => {
    const asked = { query: 'Rowan ships harbour built' };
    const lengths = [];
    for (const threshold of [0, 0.3, 0.6, 1])
      lengths.push((await run({ stages: [sentences({ threshold })] }, asked)).context.length);
    expect(lengths).toEqual([...lengths].sort((a, b) => b - a));
    expect(lengths[0]).toBeGreaterThan(lengths[3]!);
  });

  test('nothing stays where nothing helps, and each drop says so', async () => {
    const result = await run({}, { query: 'quantum chromodynamics' });
    expect(result).toMatchObject({ context: '', documents: [], tokens: { after: 0 } });
    const dropped = result.decisions.filter(({ stage }) => stage === 'sentences');
    expect(dropped.length).toBeGreaterThan(10);
    for (const { action, reason, spans } of dropped) {
      expect(action).toBe('dropped');
      expect(reason).toMatch(/^BM25: nothing of the query in it$|^a heading of nothing kept$/);
      expect(spans.length).toBeGreaterThan(0);
    }
  });

  test('a sentence below the threshold is recorded with its score', async () => {
    const stages = [sentences({ threshold: 0.9 })];
    const { decisions } = await run({ stages }, { query: 'When was the Rowan built? The harbour?' });
    const below = decisions.find(({ reason }) => reason.startsWith('BM25: below'));
    expect(below).toMatchObject({ stage: 'sentences', action: 'dropped', document: 'harbour.txt' });
    expect(below!.score).toBeGreaterThan(0);
  });

  test('the title and the headings above count for a sentence', async () => {
    const { context } = await run({}, { query: 'jobs' });
    expect(context).toContain('We look for cooks.');
    const titled = { ...harbour, title: 'Port of Ardrossan' };
    expect((await run({}, { query: 'Ardrossan', documents: [titled] })).context).toContain('dug in 1850');
  });
});

describe('under a budget', () => {
  test('the best sentences are chosen, in order, as many as fit', async () => {
    const small = await run({ budget: { tokens: 25 } }, { query });
    expect(small.context).toContain('The Rowan was built in 1987 at Troon.');
    expect(small.tokens.after).toBeLessThanOrEqual(25);
    const large = await run({ budget: { tokens: 90 } }, { query });
    expect(large.context.length).toBeGreaterThan(small.context.length);
    expect(large.tokens.after).toBeLessThanOrEqual(90);
    expect(large.context.indexOf('two ships')).toBeLessThan(large.context.indexOf('built in 1987'));
  });

  test('sentences below the threshold may fill it, those that say nothing do not', async () => {
    const scorer = scoring({ 'Dogs travel free.': 0.9, 'She carries 60 cars.': 0.1 });
    const { context } = await run({ stages: [sentences({ scorer })], budget: { tokens: 1_000 } }, { query });
    expect(context).toContain('She carries 60 cars.');
    expect(context).not.toContain('Cranes were added later.');
  });
});

describe('a scorer of one’s own', () => {
  test('is used in place of BM25, with its floor', async () => {
    const scorer = scoring({
      'Dogs travel free.': 0.9,
      'Write to us.': 0.5,
      'It silts up every winter.': 0.49,
    });
    const { context, decisions } = await run({ stages: [sentences({ scorer })] }, { query });
    expect(context).toContain('Dogs travel free.');
    expect(context).toContain('Write to us.');
    expect(context).not.toContain('silts');
    expect(decisions).toContainEqual(
      expect.objectContaining({ document: 'harbour.txt', score: 0.49, reason: 'by hand: below 0.50' }),
    );
  });

  test('decides under a budget too', async () => {
    const scorer = scoring({ 'Cranes were added later.': 0.2 });
    const stages = [sentences({ scorer })];
    const { context } = await run({ stages, budget: { tokens: 20 } }, { query });
    expect(context).toContain('Cranes were added later.');
  });

  test('sees the sentences of all documents in order, tables by the row', async () => {
    const seen: string[] = [];
    const scorer: SentenceScorer = {
      name: 'watching',
      score: (asked, units, state) => {
        expect(asked).toBe(query);
        for (const { document, text } of units) seen.push(`${state.documents[document]!.id}: ${text}`);
        return Promise.resolve({ scores: units.map(() => 1), floor: 0 });
      },
    };
    await run({ stages: [sentences({ scorer })] }, { query });
    expect(seen.slice(0, 5)).toEqual([
      'ships.md: The ships',
      'ships.md: The line has two ships.',
      'ships.md: The Rowan was built in 1987 at Troon.',
      'ships.md: She carries 60 cars.',
      'ships.md: The Alder is younger.',
    ]);
    expect(seen).toContain('ships.md: Day return | 7.50 | 3.75');
    expect(seen.at(-1)).toBe('harbour.txt: Cranes were added later.');
  });

  test.each<[string, SentenceScorer['score'], RegExp]>([
    ['throws', () => Promise.reject(new Error('out of luck')), /out of luck/],
    [
      'throws at once',
      () => {
        throw new Error('at once');
      },
      /at once/,
    ],
    [
      'gives too few scores',
      () => Promise.resolve({ scores: [1], floor: 0 }),
      /broken gave 1 scores for \d+ units/,
    ],
    [
      'gives no number',
      (_query, units) => Promise.resolve({ scores: units.map(() => NaN), floor: 0 }),
      /broken gave NaN as the score of unit 0/,
    ],
    ['gives nothing', () => Promise.resolve(undefined as never), /./],
  ])('that %s is passed over with a reason', async (_, score, reason) => {
    const result = await run({ stages: [sentences({ scorer: { name: 'broken', score } })] }, { query });
    expect(result.stages.find(({ name }) => name === 'sentences')!.error).toMatch(reason);
    expect(result.context).toContain('built in 1987');
    expect(result.context).toContain('Cranes were added later.');
    expect(result.documents).toHaveLength(2);
  });
});

describe('options', () => {
  test.each([
    ['a threshold above 1', { threshold: 2 }, 'sentences.threshold'],
    ['a scorer that is none', { scorer: {} }, 'sentences.scorer'],
    ['an unknown one', { treshold: 0.3 }, 'sentences.treshold'],
    ['a threshold beside a scorer', { threshold: 0.3, scorer: scoring({}) }, 'sentences.threshold'],
  ])('%s names the field', (_, options, field) => {
    expect(() => sentences(options as never)).toThrow(
      expect.objectContaining({ name: 'ConfigurationError', field }),
    );
  });
});

describe('what BM25 makes of languages', () => {
  let pipeline: Awaited<ReturnType<typeof createPipeline>>;
  beforeAll(async () => {
    pipeline = await createPipeline({ stages: ['sentences'] });
  });
  afterAll(() => pipeline.close());

  test.each([
    ['Chinese', '渡轮什么时候建造？', '渡轮于1987年建造。它载六十辆车。狗免费乘船。', '渡轮于1987年建造。'],
    [
      'Japanese',
      'フェリーの料金は？',
      '犬は無料です。フェリーの料金は四ユーロです。港は古い。',
      'フェリーの料金は四ユーロです。',
    ],
    ['Thai', 'ค่าโดยสารเท่าไร', 'สุนัขขึ้นเรือฟรี\n\nค่าโดยสารสี่ยูโร\n\nท่าเรือเก่า', 'ค่าโดยสารสี่ยูโร'],
    [
      'Arabic',
      'متى بُنيت السفينة؟',
      'الكلاب تسافر مجانا. بنيت السفينة عام 1987. الميناء قديم.',
      'بنيت السفينة عام 1987.',
    ],
    ['Hindi', 'नाव कब बनी?', 'कुत्ते मुफ्त हैं। नाव 1987 में बनी। बंदरगाह पुराना है।', 'नाव 1987 में बनी।'],
    [
      'Russian',
      'Когда построен паром?',
      'Собаки бесплатно. Паром построен в 1987 г. на верфи. Порт старый.',
      'Паром построен в 1987 г. на верфи.',
    ],
  ])('%s', async (_, asked, content, answer) => {
    const { documents: kept } = await pipeline.compress({
      query: asked,
      documents: [{ id: 'a', content, format: 'text' }],
    });
    expect(kept[0]!.content).toBe(answer);
  });
});

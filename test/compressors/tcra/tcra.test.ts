import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createPipeline,
  ModelRegistry,
  tcra,
  type CompressionRequest,
  type CompressionResult,
  type Compressor,
  type Decision,
  type Pipeline,
  type PipelineOptions,
  type SourceDocument,
  type TcraOptions,
} from 'ragpress';
import { fixtures, hasWeights } from '../../models/tiny-model.js';
import { verbatimFaults } from '../../verbatim.js';

const weights = fileURLToPath(new URL('../../../models/weights/minilm', import.meta.url));

const ferry: SourceDocument = {
  id: 'ferry.md',
  content: `# The ferry of the island

The Harbour Line runs a ferry between the old port and the island of Sylt every day of the year, except in the stormy season when it does not run at all. Its captain said that "the ferry is the heart of the town" and that it should never be sold to people who come from far away. It can carry up to 120 passengers, and the fare of a bicycle is 4 euros for each of the ways.

- The crew of the ferry lives in the small houses that stand near the water of the old port.

| what of the fares | how much is it |
| --- | --- |
| a bicycle on the ferry | 4 euros of the island |

\`\`\`sh
run the ferry of the island --with the crew
\`\`\`
`,
};
const harbour: SourceDocument = {
  id: 'harbour.txt',
  title: 'Harbour',
  content:
    'The harbour was dug by hand by men who came from all over the region, and they lived in the small huts that are still seen there. Type `the old harbour of the town` to see it in the archive of the town.',
};
const documents = [ferry, harbour];
const query = 'What does a bicycle cost?';

function droppedWords({ decisions }: CompressionResult, given: readonly SourceDocument[]): string[] {
  return wordDecisions(decisions).map(({ document, spans }) => {
    const { content } = given.find(({ id }) => id === document)!;
    return spans.map(({ start, end }) => content.slice(start, end)).join('');
  });
}

function wordDecisions(decisions: readonly Decision[]): Decision[] {
  return decisions.filter(({ stage, action }) => stage === 'tcra' && action === 'dropped');
}

function errorOf(result: CompressionResult): string | undefined {
  return result.stages.find(({ name }) => name === 'tcra')!.error;
}

describe.skipIf(!hasWeights('minilm'))('by minilm', () => {
  const pipelines = new Map<string, Promise<Pipeline>>();
  const pipelineOf = (options: TcraOptions, pipelineOptions: PipelineOptions = {}): Promise<Pipeline> => {
    const key = JSON.stringify([options, pipelineOptions]);
    let pipeline = pipelines.get(key);
    if (!pipeline) {
      pipeline = createPipeline({ stages: [tcra(options)], deadline: 120_000, ...pipelineOptions });
      pipelines.set(key, pipeline);
    }
    return pipeline;
  };

  async function run(
    request: Partial<CompressionRequest> = {},
    options: TcraOptions = {},
    pipelineOptions: PipelineOptions = {},
  ): Promise<CompressionResult> {
    const pipeline = await pipelineOf(options, pipelineOptions);
    const given = { query, documents, ...request };
    const result = await pipeline.compress(given);
    expect(verbatimFaults(result, given.documents)).toEqual([]);
    return result;
  }

  afterAll(async () => {
    for (const pipeline of pipelines.values()) await (await pipeline).close();
  });

  describe.each(['fast', 'exact'] as const)('%s', (mode) => {
    test('sentences are cut to the ratio, and each word that went is said', async () => {
      const result = await run({}, { mode });
      expect(errorOf(result)).toBeUndefined();
      const { tokensBefore, tokensAfter } = result.stages.find(({ name }) => name === 'tcra')!;
      expect(tokensAfter).toBeLessThan(0.88 * tokensBefore);
      const dropped = wordDecisions(result.decisions);
      expect(dropped.length).toBeGreaterThan(15);
      for (const { score, reason, spans, document } of dropped) {
        expect(score).toBeGreaterThanOrEqual(0);
        expect(reason).toMatch(/^its absence moves its sentence by [\d.e-]+$/);
        const kept = result.documents.find(({ id }) => id === document)!.spans;
        for (const gone of spans)
          expect(kept.some(({ start, end }) => start < gone.end && gone.start < end)).toBe(false);
      }
    });

    test('facts, headings, tables and code stand', async () => {
      const { context } = await run({}, { mode, ratio: 0.1 });
      for (const text of [
        '# The ferry of the island',
        'Sylt',
        'except',
        'not',
        '"the ferry is the heart of the town"',
        'should never',
        'to 120 passengers,',
        'bicycle is 4 euros',
        'a bicycle on the ferry',
        '4 euros of the island',
        'run the ferry of the island --with the crew',
        '`the old harbour of the town`',
      ])
        expect(context).toContain(text);
    });

    test('nothing is doubled or orphaned in what is left', async () => {
      const { documents: kept } = await run({}, { mode, ratio: 0.3 });
      for (const { content } of kept) {
        expect(content).not.toMatch(/[^\n] {2}| \n|\s[.,;:!?]|\(\s|\s\)/);
        expect(content.trim()).toBe(content);
      }
    });

    test('no sentence loses more than half of its words', async () => {
      const before = await run({}, { mode, ratio: 1 });
      const after = await run({}, { mode, ratio: 0.01 });
      expect(droppedWords(before, documents)).toEqual([]);
      for (const [index, { content }] of after.documents.entries())
        expect(content.split(/\s+/).length).toBeGreaterThan(
          0.49 * before.documents[index]!.content.split(/\s+/).length,
        );
    });
  });

  test('both modes drop much the same', async () => {
    const exact = droppedWords(await run({}, { mode: 'exact' }), documents);
    const fast = wordDecisions((await run({}, { mode: 'fast' })).decisions);
    const keys = new Set(
      wordDecisions((await run({}, { mode: 'exact' })).decisions).map(
        ({ document, spans }) => `${document} ${spans[0]!.start}`,
      ),
    );
    const both = fast.filter(({ document, spans }) => keys.has(`${document} ${spans[0]!.start}`));
    expect(both.length).toBeGreaterThan(0.8 * exact.length);
  });

  describe('under a budget', () => {
    test('nothing is dropped where all fits', async () => {
      const result = await run({ budget: { tokens: 10_000 } });
      expect(wordDecisions(result.decisions)).toEqual([]);
    });

    test('no more is dropped than is too much', async () => {
      const whole = await run({ budget: { tokens: 10_000 } });
      const budget = { tokens: whole.tokens.after - 8 };
      const result = await run({ budget });
      expect(result.tokens.after).toBeLessThanOrEqual(budget.tokens);
      expect(result.tokens.after).toBeGreaterThan(budget.tokens - 8);
      expect(wordDecisions(result.decisions).length).toBeGreaterThan(0);
      expect(
        result.decisions.filter(({ action, stage }) => action === 'dropped' && stage === 'budget'),
      ).toEqual([]);
    });

    test('it is a ceiling, however small', async () => {
      for (const tokens of [0, 1, 10, 30, 60, 100]) {
        const result = await run({ budget: { tokens } });
        expect(errorOf(result)).toBeUndefined();
        expect(result.tokens.after).toBeLessThanOrEqual(tokens);
      }
    });
  });

  test('after EXIT, by name', async () => {
    const pipeline = await createPipeline({
      stages: ['htmlrag', 'exit', 'tcra'],
      budget: { tokens: 80 },
      deadline: 120_000,
    });
    const result = await pipeline.compress({ query, documents });
    await pipeline.close();
    expect(result.stages.map(({ name, error }) => [name, error])).toEqual(
      ['extract', 'htmlrag', 'exit', 'tcra', 'budget'].map((name) => [name, undefined]),
    );
    expect(verbatimFaults(result, documents)).toEqual([]);
    expect(result.context).toContain('bicycle is 4 euros');
    expect(wordDecisions(result.decisions).length).toBeGreaterThan(0);
  });

  test('HTML: what markup cuts in two goes and stays whole', async () => {
    const content =
      '<p>The <b>old</b> f<i>err</i>y of the <a href="#">little</a> town &amp; of the port goes <code>to the old</code> island with <q>all of us</q> on it in the early morning of each day.</p>';
    const given = [{ id: 'a', content }];
    for (const output of ['markdown', 'html'] as const) {
      const result = await run({ documents: given }, { ratio: 0.5 }, { output });
      expect(errorOf(result)).toBeUndefined();
      expect(result.context).toContain('to the old');
      expect(wordDecisions(result.decisions).length).toBeGreaterThan(3);
    }
  });

  describe('odd input', () => {
    test.each<[string, SourceDocument[]]>([
      ['no documents', []],
      ['an empty document', [{ id: 'a', content: '' }]],
      ['white space', [{ id: 'a', content: ' \n\n\t ' }]],
      ['one word', [{ id: 'a', content: 'ferry' }]],
      ['marks alone', [{ id: 'a', content: '... – ? ! ; : – ... ( ) [ ]' }]],
      ['emoji', [{ id: 'a', content: '🚢 👩‍👩‍👧 🚲 ⛴️ 🇫🇷 👍🏽 🚢 👩‍👩‍👧 🚲 ⛴️ 🇫🇷 👍🏽' }]],
      [
        'emoji between words',
        [{ id: 'a', content: 'the 🚢 of the 👩‍👩‍👧 goes to the ⛴️ of the 🇫🇷 town in the 👍🏽 early hours of it' }],
      ],
      [
        'lone surrogates',
        [{ id: 'a', content: 'the \ud800 fare of the old ferry is \udc00 low in the winter of it' }],
      ],
      [
        'marks that combine after a space',
        [{ id: 'a', content: 'the old ́ ferry of the ̈ town goes to the port of it' }],
      ],
      [
        'a word without an end',
        [{ id: 'a', content: `of the ${'ferry'.repeat(2_000)} and of the old port of it` }],
      ],
    ])('%s', async (_, given) => {
      for (const budget of [undefined, { tokens: 12 }]) {
        const result = await run({ documents: given, ...(budget && { budget }) }, { ratio: 0.3 });
        expect(errorOf(result)).toBeUndefined();
        if (budget) expect(result.tokens.after).toBeLessThanOrEqual(budget.tokens);
      }
    });

    test.each([
      ['Russian', 'Паром между старым портом и островом ходит каждый день года, кроме сезона бурь.'],
      ['Arabic', 'العبارة بين الميناء القديم والجزيرة تعمل كل يوم من أيام السنة في هذا المكان.'],
      ['Chinese', '渡轮每天往返于旧港口和岛屿之间，除了暴风雨季节以外，全年运行。'],
      ['Thai', 'เรือข้ามฟากวิ่งระหว่างท่าเรือเก่ากับเกาะทุกวันตลอดทั้งปี'],
      ['Greek', 'Το πλοίο ταξιδεύει κάθε μέρα του χρόνου από το παλιό λιμάνι στο νησί.'],
    ])('%s is left as it is, which is said', async (_, content) => {
      const result = await run({ documents: [{ id: 'a', content }] }, { ratio: 0.3 });
      expect(result.documents[0]!.content).toBe(content);
      expect(result.decisions).toContainEqual(
        expect.objectContaining({
          action: 'kept',
          stage: 'tcra',
          reason: "left as it is: its script is none of minilm@1's",
        }),
      );
    });

    test('a sentence of 10,000 words', async () => {
      const content = `It is ${'the boat of the people in the port '.repeat(1_250)}and so on`;
      const result = await run({ documents: [{ id: 'a', content }] });
      expect(errorOf(result)).toBeUndefined();
      expect(wordDecisions(result.decisions).length).toBeGreaterThan(500);
      expect(result.decisions).toContainEqual(
        expect.objectContaining({
          stage: 'tcra',
          reason: expect.stringMatching(/^left as it is: \d+ tokens of better ones were read$/) as string,
        }),
      );
    });
  });

  test('properties: verbatim, within the budget, the same again, all that went is said, facts stand', async () => {
    const words = fc.constantFrom(
      ...[
        'the',
        'of',
        'port',
        'not',
        'can',
        '12',
        'km',
        'Sylt',
        'old,',
        '(and',
        'it)',
        'runs.',
        'don’t',
        'x-ray',
        '"a',
        'b"',
      ],
      ...[
        '🚢',
        'é\u0301t',
        'https://a.b/c',
        'bicycle',
        'ferry',
        'by',
        '\n\n',
        '- ',
        '`code`',
        '/',
        'kein',
        'Порт',
        '<b>to</b>',
        '&amp;',
      ],
    );
    const text = fc.array(words, { minLength: 1, maxLength: 60 }).map((parts) => parts.join(' '));
    const format = fc.constantFrom('text' as const, 'markdown' as const, 'html' as const);
    const pipeline = await pipelineOf({ ratio: 0.5 });
    const again = await pipelineOf({ ratio: 0.5 }, { cache: false });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ content: text, format }), { minLength: 1, maxLength: 3 }),
        fc.option(fc.nat(80)),
        async (given, tokens) => {
          const request = {
            query,
            documents: given.map((document, index) => ({ id: String(index), ...document })),
            ...(tokens !== null && { budget: { tokens } }),
          };
          const result = await pipeline.compress(request);
          expect(errorOf(result)).toBeUndefined();
          expect(verbatimFaults(result, request.documents)).toEqual([]);
          if (tokens !== null) expect(result.tokens.after).toBeLessThanOrEqual(tokens);
          const second = await again.compress(request);
          expect([second.context, second.decisions]).toEqual([result.context, result.decisions]);
          for (const word of droppedWords(result, request.documents))
            expect(word).toMatch(/^(?:the|of|port|x-ray|e\u0301t|é\u0301t|ferry|by|to)$/u);
          for (const { id, content } of request.documents) {
            const said = result.decisions
              .filter(({ document }) => document === id)
              .flatMap(({ spans }) => spans);
            const unsaid = [...content.matchAll(/[\p{L}\p{N}]/gu)].filter(
              ({ index }) => !said.some(({ start, end }) => start <= index && index < end),
            );
            if (request.documents.find((one) => one.id === id)!.format === 'text') expect(unsaid).toEqual([]);
          }
        },
      ),
      { numRuns: 40 },
    );
  });

  test('a sentence is cut alike whatever it is weighed with', async () => {
    for (const mode of ['fast', 'exact'] as const) {
      const scores = async (given: SourceDocument[]) =>
        wordDecisions((await run({ documents: given }, { mode, ratio: 0.01 }, { cache: false })).decisions)
          .filter(({ document }) => document === harbour.id)
          .map(({ spans, score }) => [spans, score]);
      const long = { id: 'long', content: 'the boat of the people in the port goes to it. '.repeat(6) };
      expect(await scores([long, harbour])).toEqual(await scores([harbour]));
    }
  });

  describe('time', () => {
    const long = Array.from({ length: 40 }, (_, at) => ({
      id: String(at),
      content:
        `the boat of the people in the port ${at} goes to the island of the town in the morning. `.repeat(6),
    }));

    test('an abort ends the request within a batch, and the next one works', async () => {
      const pipeline = await pipelineOf({ mode: 'exact', maxTokens: 1_000_000 }, { cache: false });
      const controller = new AbortController();
      const running = pipeline.compress({ query, documents: long, signal: controller.signal });
      setTimeout(() => {
        controller.abort(new Error('enough'));
      }, 60);
      const began = performance.now();
      await expect(running).rejects.toThrow('enough');
      expect(performance.now() - began).toBeLessThan(2_000);
      expect(errorOf(await pipeline.compress({ query, documents: [harbour] }))).toBeUndefined();
    });

    test('past the deadline goes out what was handed in', async () => {
      const pipeline = await pipelineOf({ mode: 'exact', maxTokens: 1_000_000 }, { deadline: 1 });
      const result = await pipeline.compress({ query, documents: long });
      expect(errorOf(result)).toMatch(/deadline of 1 ms passed/);
      expect(result.documents).toHaveLength(40);
      expect(verbatimFaults(result, long)).toEqual([]);
    });

    test('the event loop goes on meanwhile', async () => {
      const pipeline = await pipelineOf({ maxTokens: 1_000_000 }, { cache: false });
      let turns = 0;
      const timer = setInterval(() => turns++, 5);
      await pipeline.compress({ query, documents: long });
      clearInterval(timer);
      expect(turns).toBeGreaterThan(10);
    });
  });

  test('a stage after it that throws finds what it made', async () => {
    const broken: Compressor = { name: 'broken', compress: () => Promise.reject(new Error('no')) };
    const pipeline = await createPipeline({ stages: [tcra(), broken], deadline: 120_000 });
    const result = await pipeline.compress({ query, documents });
    await pipeline.close();
    expect(verbatimFaults(result, documents)).toEqual([]);
    expect(wordDecisions(result.decisions).length).toBeGreaterThan(0);
  });

  describe('weights', () => {
    let folder: string;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'ragpress-tcra-'));
      cpSync(weights, join(folder, 'minilm'), { recursive: true });
    });
    afterAll(() => {
      rmSync(folder, { recursive: true, force: true });
    });
    const open = (options: TcraOptions = {}) =>
      createPipeline({ stages: [tcra({ registry: new ModelRegistry({ folder }), ...options })] });

    test('cut short or gone are refused before the first request', async () => {
      const graph = join(folder, 'minilm', 'words-fast.onnx');
      const bytes = readFileSync(graph);
      writeFileSync(graph, bytes.subarray(0, 1_000));
      await expect(open()).rejects.toThrow(/words-fast\.onnx .*refused: it has 1000 bytes/);
      rmSync(graph);
      await expect(open()).rejects.toThrow(/words-fast\.onnx .*refused: it is not there/);
      writeFileSync(graph, bytes);
      await (await open()).close();
    });
  });
});

describe('settings', () => {
  const registry = new ModelRegistry({ folder: fixtures });

  test.each<[object, RegExp]>([
    [{ ratio: 0 }, /tcra\.ratio/],
    [{ ratio: 1.5 }, /tcra\.ratio/],
    [{ mode: 'quick' }, /tcra\.mode.*give fast or exact/],
    [{ maxTokens: 10 }, /tcra\.maxTokens/],
    [{ share: 0.8 }, /tcra.*share/],
  ])('%j is refused', (options, message) => {
    expect(() => tcra(options as TcraOptions)).toThrow(message);
  });

  test('a model that is not there, of another kind, or that weighs no words', async () => {
    const open = (model: string) => createPipeline({ stages: [tcra({ model, registry })] });
    await expect(open('none')).rejects.toThrow(/there is no model none/);
    await expect(open('tiny-evidence')).rejects.toThrow(/tcra\.model.*of the kind evidence/);
    await expect(open('tiny')).rejects.toThrow(/no graphs that weigh words/);
  });
});

import { appendFileSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  createPipeline,
  exit,
  ModelRegistry,
  sentences,
  type CompressionRequest,
  type CompressionResult,
  type ExitOptions,
  type PipelineOptions,
  type SentenceScorer,
  type SourceDocument,
} from 'ragpress';
import { fixtures } from '../../models/tiny-model.js';
import { verbatimFaults } from '../../verbatim.js';

// `tiny-evidence` goes by how much of the query a sentence and its title hold (test/fixtures/models/make-tiny.py).
const tiny = { model: 'tiny-evidence', registry: new ModelRegistry({ folder: fixtures }) };

const ferry: SourceDocument = {
  id: 'ferry.md',
  content: `# Ferry

The ferry runs every day. Dogs are free. The winter fare of a bicycle is low.

## Jobs

We look for cooks.
`,
};
const harbour: SourceDocument = {
  id: 'harbour.txt',
  title: 'Harbour',
  content:
    'Dug in 1850. It silts up. Who runs the bicycle line in winter? Cranes came later. Two of them turn.',
};
const documents = [ferry, harbour];
const query = 'What is the winter fare of a bicycle?';

async function run(
  request: Partial<CompressionRequest>,
  options: ExitOptions = {},
  pipelineOptions: PipelineOptions = {},
): Promise<CompressionResult> {
  const pipeline = await createPipeline({
    stages: [exit({ ...tiny, ...options })],
    deadline: 60_000,
    ...pipelineOptions,
  });
  try {
    const given = { query, documents, ...request };
    const result = await pipeline.compress(given);
    expect(verbatimFaults(result, given.documents)).toEqual([]);
    return result;
  } finally {
    await pipeline.close();
  }
}

function errorOf(result: CompressionResult): string | undefined {
  return result.stages.find(({ name }) => name === 'exit')!.error;
}

describe('without a budget', () => {
  test('sentences from the model’s threshold on stay, in order, under their headings', async () => {
    const result = await run({});
    expect(errorOf(result)).toBeUndefined();
    expect(result.documents.map(({ id, content }) => [id, content])).toEqual([
      ['ferry.md', '# Ferry\n\nThe winter fare of a bicycle is low.'],
      // What comes after a question may answer it.
      ['harbour.txt', 'Who runs the bicycle line in winter? Cranes came later.'],
    ]);
    const below = result.decisions.filter(({ reason }) => reason === 'tiny-evidence@1: below 0.50');
    expect(below.length).toBeGreaterThan(5);
    for (const { score, action, stage, spans } of below) {
      expect({ action, stage }).toEqual({ action: 'dropped', stage: 'exit' });
      expect(score).toBeLessThan(0.5);
      expect(score).toBeGreaterThan(0);
      expect(spans.length).toBeGreaterThan(0);
    }
  });

  test('a threshold of one’s own decides how much', async () => {
    const lengths = [];
    for (const threshold of [0, 0.1, 0.6, 1]) lengths.push((await run({}, { threshold })).context.length);
    expect(lengths).toEqual([...lengths].sort((a, b) => b - a));
    expect(lengths[0]).toBeGreaterThan(lengths[2]!);
    expect(lengths[3]).toBe(0);
  });

  test('blocks stay whole by their best sentence, the same text whatever is asked', async () => {
    const result = await run({}, { cut: 'blocks' });
    expect(result.documents.map(({ content }) => content)).toEqual([
      '# Ferry\n\nThe ferry runs every day. Dogs are free. The winter fare of a bicycle is low.',
      harbour.content,
    ]);
    const sentences = await run({});
    const best = Math.max(...sentences.decisions.map(({ score }) => score ?? 0));
    expect(Math.max(...result.decisions.map(({ score }) => score ?? 0))).toBeCloseTo(best, 6);
    const other = await run({ query: 'Are dogs free on the ferry?' }, { cut: 'blocks' });
    expect(other.documents[0]!.content).toBe(result.documents[0]!.content);
    const tight = await run({ budget: { tokens: 30 } }, { cut: 'blocks' });
    expect(tight.tokens.after).toBeLessThanOrEqual(30);
    for (const { content } of tight.documents)
      expect(
        [...result.documents.map(({ content }) => content)].some((whole) => whole.includes(content)),
      ).toBe(true);
  });

  test('nothing stays where nothing helps, and every drop is said', async () => {
    const result = await run({ query: 'quantum chromodynamics' });
    expect(result).toMatchObject({ context: '', documents: [], tokens: { after: 0 } });
    expect(errorOf(result)).toBeUndefined();
    for (const { id, content } of documents) {
      const dropped = result.decisions.filter(
        ({ document, action }) => document === id && action === 'dropped',
      );
      const spans = dropped.flatMap((decision) => decision.spans);
      const unsaid = [...content.matchAll(/[\p{L}\p{N}]/gu)].filter(
        ({ index }) => !spans.some(({ start, end }) => start <= index && index < end),
      );
      expect(unsaid).toEqual([]);
    }
  });
});

test('what a menu, a footer or a link says counts for less than the same words in the text', async () => {
  const said = 'The winter fare of a bicycle is low.';
  const content =
    `<html><body><nav><ul><li>${said}</li></ul></nav><main><h1>Ferry</h1><p>${said}</p>` +
    `<p>The ferry runs every day of the year but one, and on that day the crew has its feast ashore.</p>` +
    `<p><a href="/fares">${said}</a></p></main><footer><p>${said}</p></footer></body></html>`;
  for (const options of [{}, { model: 'evidence', registry: new ModelRegistry() }]) {
    for (const budget of [undefined, { tokens: 200 }]) {
      const page = { id: 'ferry.html', content };
      const result = await run(
        { documents: [page], ...(budget && { budget }) },
        { threshold: 0, ...options },
      );
      const [menu, text, link, footer] = [...content.matchAll(new RegExp(said, 'g'))].map(
        ({ index }) =>
          result.decisions.find(({ score, spans }) => score !== undefined && spans[0]?.start === index)!
            .score!,
      );
      expect(text).toBeGreaterThan(link!);
      expect(link).toBeGreaterThan(menu!);
      expect(menu).toBeGreaterThan(0);
      expect(footer).toBeLessThan(text!);
    }
  }
});

describe('where no sentence stands out', () => {
  const folder = mkdtempSync(join(tmpdir(), 'ragpress-least-'));
  const wary = { model: 'wary', registry: new ModelRegistry({ folder }) };

  beforeAll(() => {
    cpSync(join(fixtures, 'tiny-evidence'), join(folder, 'wary'), { recursive: true });
    const path = join(folder, 'wary', 'model.json');
    const manifest = readFileSync(path, 'utf8')
      .replace('"least": 0.55', '"least": 1')
      .replace('"name": "tiny-evidence"', '"name": "wary"');
    writeFileSync(path, manifest);
  });

  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  test('nothing is kept, and that is said, but for a budget or a threshold of one’s own', async () => {
    const result = await run({}, wary);
    expect(result.context).toBe('');
    expect(errorOf(result)).toBeUndefined();
    expect(result.decisions.map(({ reason }) => reason)).toContainEqual(
      expect.stringMatching(/^wary@1: nothing here helps: the best sentence is at 0\.\d\d$/),
    );
    expect((await run({ budget: { tokens: 40 } }, wary)).context).toContain('winter fare');
    expect((await run({}, { ...wary, threshold: 0.5 })).context).toContain('winter fare');
  });
});

describe('under a budget', () => {
  test('the best are chosen, in order, as many as fit', async () => {
    const small = await run({ budget: { tokens: 22 } });
    expect(small.context).toContain('winter fare');
    expect(small.tokens.after).toBeLessThanOrEqual(22);
    const large = await run({ budget: { tokens: 60 } });
    expect(large.context).toContain('Who runs the bicycle line in winter?');
    expect(large.context.indexOf('winter fare')).toBeLessThan(large.context.indexOf('Who runs'));
    expect(large.tokens.after).toBeLessThanOrEqual(60);
    expect(large.context.length).toBeGreaterThan(small.context.length);
  });

  test('documents stay in the order given', async () => {
    const { documents: kept } = await run({ documents: [harbour, ferry], budget: { tokens: 60 } });
    expect(kept.map(({ id }) => id)).toEqual(['harbour.txt', 'ferry.md']);
  });
});

describe('what is said of who judged', () => {
  test('a query in a script that the model does not know is left to BM25', async () => {
    const documents = [{ id: 'a', content: 'Паром построен в 1987 году. Порт старый.' }];
    const result = await run({ query: 'Когда построен паром?', documents });
    expect(result.documents[0]!.content).toBe('Паром построен в 1987 году.');
    expect(result.decisions).toContainEqual(
      expect.objectContaining({
        action: 'dropped',
        reason: expect.stringMatching(
          /^BM25, the query's script being none of tiny-evidence@1's: /,
        ) as string,
      }),
    );
    const budgeted = await run({ query: 'Когда построен паром?', documents, budget: { tokens: 20 } });
    expect(budgeted.decisions).toContainEqual(
      expect.objectContaining({
        action: 'kept',
        stage: 'exit',
        reason: "scored by BM25, the query's script being none of tiny-evidence@1's",
      }),
    );
  });

  test('where more stands there than is read, the likeliest is read and the rest recorded', async () => {
    const filler = Array.from({ length: 300 }, (_, at) => `Day ${at} has no line.`).join(' ');
    const many = [
      ...Array.from({ length: 5 }, (_, at) => ({ id: `filler${at}`, content: filler })),
      { id: 'answer', title: 'Fares', content: 'The winter fare of a bicycle is low.' },
    ];
    const result = await run({ documents: many }, { maxTokens: 512 });
    expect(result.context).toContain('The winter fare of a bicycle is low.');
    expect(
      result.decisions.some(({ reason }) => /which read \d+ of 1501 sentences .*: not read$/.test(reason)),
    ).toBe(true);
  });
});

describe('odd input', () => {
  test.each<[string, string, SourceDocument[]]>([
    ['no documents', query, []],
    ['an empty document', query, [{ id: 'a', content: '' }]],
    ['white space', query, [{ id: 'a', content: ' \n\n\t ' }, ferry]],
    ['a query of marks', '???', documents],
    ['a query of emoji', '🚢🚲', [{ id: 'a', content: '🚢 runs. 🚲 is free. 👩‍👩‍👧 pay.' }]],
    ['emoji', 'Is 🚲 free?', [{ id: 'a', content: 'A 🚲 is free! 👩‍👩‍👧 pay. ⛴️ runs.' }]],
    [
      'right to left',
      'ferry מעבורת fare',
      [{ id: 'a', content: 'המעבורת יוצאת כל יום. ferry fare. العبارة مجانية.' }],
    ],
    ['lone surrogates', query, [{ id: 'a', content: 'The fare \ud800 is low. \udc00 bicycle.' }]],
    ['a word without an end', query, [{ id: 'a', content: 'bicycle'.repeat(5_000) }]],
    ['a query without an end', 'winter fare '.repeat(2_000), documents],
  ])('%s', async (_, asked, given) => {
    for (const budget of [undefined, { tokens: 12 }]) {
      const result = await run({ query: asked, documents: given, ...(budget && { budget }) });
      expect(errorOf(result)).toBeUndefined();
      if (budget) expect(result.tokens.after).toBeLessThanOrEqual(budget.tokens);
    }
  });

  test('one sentence longer than the window is judged by its beginning', async () => {
    const content = `The winter fare of a bicycle ${'is low and '.repeat(40)}is low.`;
    const result = await run({ documents: [{ id: 'a', content }, harbour] }, { threshold: 0.3 });
    expect(errorOf(result)).toBeUndefined();
    expect(result.documents[0]!.content).toBe(content);
  });

  test('a document of 100,000 tokens', async () => {
    const line = 'Cranes came later, and dogs are free on the line. ';
    const content = `${line.repeat(5_000)}The winter fare of a bicycle is low. ${line.repeat(5_000)}`;
    const result = await run(
      { documents: [{ id: 'a', content, format: 'text' }], budget: { tokens: 50 } },
      { maxTokens: 512 },
    );
    expect(errorOf(result)).toBeUndefined();
    expect(result.tokens.before).toBeGreaterThan(100_000);
    expect(result.tokens.after).toBeLessThanOrEqual(50);
  });

  test('1,000 passages', async () => {
    const passages = Array.from({ length: 1_000 }, (_, at) => ({
      id: String(at),
      content: at === 700 ? 'The winter fare of a bicycle is low.' : `Line ${at} runs. Dogs are free on it.`,
    }));
    const result = await run({ documents: passages });
    expect(errorOf(result)).toBeUndefined();
    expect(result.documents[0]!.id).toBe('700');
  });
});

describe('the same again', () => {
  test('is the same, in another pipeline, with what was read before and without', async () => {
    const pipeline = await createPipeline({ stages: [exit(tiny)], cache: false, deadline: 60_000 });
    const requests = [
      { query, documents },
      { query, documents: [harbour] },
      { query: 'ferry', documents },
    ];
    const first = [];
    for (const request of requests) first.push(await pipeline.compress(request));
    for (const [at, request] of [...requests.entries()].reverse()) {
      const { context, decisions } = await pipeline.compress(request);
      expect({ context, decisions }).toEqual({
        context: first[at]!.context,
        decisions: first[at]!.decisions,
      });
    }
    await pipeline.close();
    const { context, decisions } = await run({ documents: [harbour] });
    expect({ context, decisions }).toEqual({
      context: first[1]!.context,
      decisions: first[1]!.decisions,
    });
  });
});

describe('time', () => {
  const long = Array.from({ length: 60 }, (_, at) => ({
    id: String(at),
    content: `The winter ferry ${at} runs. `.repeat(40),
  }));

  test('a deadline lets out what has been reached', async () => {
    const pipeline = await createPipeline({ stages: [exit({ ...tiny, maxTokens: 1_000_000 })], deadline: 1 });
    const result = await pipeline.compress({ query, documents: long });
    await pipeline.close();
    expect(errorOf(result)).toMatch(/deadline of 1 ms passed/);
    expect(verbatimFaults(result, long)).toEqual([]);
    expect(result.documents).toHaveLength(60);
  });

  test('what a scorer had no time to finish is not remembered', async () => {
    for (const isHurried of [true, false]) {
      let asked = 0;
      const scorer: SentenceScorer = {
        name: 'counting',
        score: (_query, units) => {
          asked++;
          return Promise.resolve({ scores: units.map(() => 1), floor: 0.5, isHurried });
        },
      };
      const pipeline = await createPipeline({ stages: [sentences({ scorer })] });
      for (let time = 0; time < 2; time++) await pipeline.compress({ query, documents });
      await pipeline.close();
      expect(asked).toBe(isHurried ? 2 : 1);
    }
  });

  test('an abort in the middle is the request’s end, and the next request works', async () => {
    const pipeline = await createPipeline({
      stages: [exit({ ...tiny, maxTokens: 1_000_000 })],
      deadline: 60_000,
    });
    const controller = new AbortController();
    const running = pipeline.compress({ query, documents: long, signal: controller.signal });
    setTimeout(() => {
      controller.abort(new Error('enough'));
    }, 20);
    await expect(running).rejects.toThrow('enough');
    expect((await pipeline.compress({ query, documents })).context).toContain('winter fare');
    await pipeline.close();
  });
});

describe('weights', () => {
  let folder: string;
  const model = () => join(folder, 'tiny-evidence');
  const open = (options: ExitOptions = {}) =>
    createPipeline({
      stages: [exit({ model: 'tiny-evidence', registry: new ModelRegistry({ folder }), ...options })],
    });
  const settings = (change: (settings: Record<string, unknown>) => void) => {
    const path = join(model(), 'model.json');
    const manifest = JSON.parse(readFileSync(path, 'utf8')) as { settings: Record<string, unknown> };
    change(manifest.settings);
    writeFileSync(path, JSON.stringify(manifest));
  };

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'ragpress-exit-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const restore = () => {
    cpSync(join(fixtures, 'tiny-evidence'), model(), { recursive: true });
  };

  test('that are not there are named', async () => {
    await expect(open({ model: 'none' })).rejects.toThrow(/there is no model none in /);
  });

  test('cut short, altered or gone, are refused before the first request', async () => {
    restore();
    const graph = join(model(), 'model.onnx');
    const bytes = readFileSync(graph);
    writeFileSync(graph, bytes.subarray(0, 1_000));
    await expect(open()).rejects.toThrow(/model\.onnx .*refused: it has 1000 bytes in place of \d+/);
    bytes[4_000]! ^= 1;
    writeFileSync(graph, bytes);
    await expect(open()).rejects.toThrow(/refused: its SHA-256 begins with/);
    rmSync(graph);
    await expect(open()).rejects.toThrow(/refused: it is not there/);
    restore();
    appendFileSync(join(model(), 'tokenizer.json'), ' ');
    await expect(open()).rejects.toThrow(/tokenizer\.json .*refused/);
  });

  test('of another kind are refused', async () => {
    await expect(open({ ...tiny, model: 'tiny' })).rejects.toThrow(
      /it is of the kind embedder; give one of the kind evidence/,
    );
  });

  test.each<[string, (settings: Record<string, unknown>) => void, RegExp]>([
    ['no slope', (given) => delete given.slope, /settings.*slope/],
    ['one output', (given) => (given.outputs = ['outputs']), /settings.*outputs/],
    [
      'windows without room',
      (given) => (given.window = { tokens: 64, query: 50, title: 6, pin: 10 }),
      /leave no room for sentences/,
    ],
    [
      'weights for fewer features than it names',
      (given) => ((given.combination as { mean: number[] }).mean.length = 3),
      /give a mean, a scale and weights for each feature/,
    ],
    [
      'a feature that this version does not make',
      (given) => ((given.combination as { features: string[] }).features[0] = 'mood'),
      /the model wants a feature mood/,
    ],
  ])('with settings that have %s are refused', async (_, change, reason) => {
    restore();
    settings(change);
    await expect(open()).rejects.toThrow(reason);
  });

  test('whose graph gives something else leave the documents as they are, with a reason', async () => {
    restore();
    settings((given) => (given.outputs = ['cosines', 'outputs']));
    const pipeline = await open();
    const result = await pipeline.compress({ query: 'Who runs the winter ferry?', documents });
    await pipeline.close();
    expect(errorOf(result)).toMatch(
      /tiny-evidence@1 gives \[1, \d+, 3\] where \d+ numbers for each of \d+ tokens/,
    );
    expect(result.context).toContain('Dogs are free.');
  });
});

describe('options', () => {
  test.each([
    ['a threshold above 1', { threshold: 2 }, 'exit.threshold'],
    ['too few tokens', { maxTokens: 100 }, 'exit.maxTokens'],
    ['a registry that is none', { registry: {} }, 'exit.registry'],
    ['another cut', { cut: 'words' }, 'exit.cut'],
    ['an unknown one', { treshold: 0.3 }, 'exit.treshold'],
  ])('%s names the field', (_, options, field) => {
    expect(() => exit(options as never)).toThrow(
      expect.objectContaining({ name: 'ConfigurationError', field }),
    );
  });
});

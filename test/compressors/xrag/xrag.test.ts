import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  createPipeline,
  exit,
  ModelRegistry,
  sentences,
  xrag,
  type CompressionResult,
  type Compressor,
  type PipelineOptions,
  type SourceDocument,
  type XragOptions,
} from 'ragpress';
import { ragpressMiddleware } from 'ragpress/ai';
import { compress, ragpress as forward } from 'ragpress/express';
import { compressStep, RagpressCompressor } from 'ragpress/langchain';
import { Decoder, DocumentEncoder, readerMessages } from 'ragpress/models';
import { createProxy } from 'ragpress/proxy';
import { Embedder } from '../../../models/encoder/embedder.js';
import { ModelRegistry as OwnRegistry } from '../../../models/registry.js';
import { checkpointFolder } from '../../models/decoder/checkpoint-folder.js';
import { projectorFolder } from '../../models/decoder/projector-folder.js';
import { fixtures } from '../../models/tiny-model.js';
import { verbatimFaults } from '../../verbatim.js';

// `tiny-evidence` goes by how much of the query a sentence and its title hold (test/fixtures/models/make-tiny.py).
const evidence = { model: 'tiny-evidence', registry: new ModelRegistry({ folder: fixtures }) };

const query = 'What is the winter fare of a bicycle?';
const documents: readonly SourceDocument[] = [
  {
    id: 'ferry',
    title: 'Ferry',
    content:
      'The ferry runs every day. Dogs are free. The winter fare of a bicycle is low. A cook is on board.',
  },
  {
    id: 'harbour',
    title: 'Harbour',
    content: 'Dug in 1850. It silts up. The winter is long. Cranes came later, one for each quay.',
  },
  {
    id: 'shop',
    title: 'Shop',
    content: 'It mends a bicycle in a day. The street is narrow. Open until six, and on Sundays until noon.',
  },
  {
    id: 'chess',
    title: 'Chess',
    content: 'Rooks move along ranks and files. Bishops never leave their colour.',
  },
];

let reader: Decoder;
let embedder: Embedder;
let mixed: XragOptions;

beforeAll(async () => {
  reader = await Decoder.load({ folder: checkpointFolder('llama') });
  embedder = await Embedder.load({ model: 'tiny', registry: new OwnRegistry({ folder: fixtures }) });
  const folder = projectorFolder({
    inputs: embedder.dimensions,
    hidden: 24,
    width: reader.width,
    norm: await reader.embeddingNorm(),
  });
  mixed = { reader, folder, embedder };
});
afterAll(async () => {
  await reader.close();
  await embedder.close();
});

interface Given {
  readonly options?: XragOptions;
  readonly pipeline?: PipelineOptions;
  readonly documents?: readonly SourceDocument[];
  readonly query?: string;
  readonly before?: readonly Compressor[];
}

async function run(tokens: number | undefined, given: Given = {}): Promise<CompressionResult> {
  const pipeline = await createPipeline({
    stages: [...(given.before ?? [exit(evidence)]), xrag(given.options ?? mixed)],
    deadline: 60_000,
    cache: false,
    ...given.pipeline,
  });
  try {
    const request = { query: given.query ?? query, documents: given.documents ?? documents };
    const result = await pipeline.compress({
      ...request,
      ...(tokens !== undefined && { budget: { tokens } }),
    });
    expect(verbatimFaults(result, request.documents)).toEqual([]);
    return result;
  } finally {
    await pipeline.close();
  }
}

/** The stages before it alone. */
async function textAlone(tokens: number): Promise<CompressionResult> {
  const pipeline = await createPipeline({ stages: [exit(evidence)], deadline: 60_000 });
  const result = await pipeline.compress({ query, documents, budget: { tokens } });
  await pipeline.close();
  return result;
}

const reasons = ({ decisions }: CompressionResult, stage = 'xrag') => [
  ...new Set(decisions.filter((decision) => decision.stage === stage).map(({ reason }) => reason)),
];

describe('mixed context', () => {
  test('is the text that answers, an embedding of each document that comes next, and nothing else', async () => {
    const result = await run(50);
    expect(result.stages.filter(({ error }) => error !== undefined)).toEqual([]);
    const { marker, rows } = result.embeddings!;
    expect(result.documents.map(({ id, origin, content }) => [id, origin, content])).toEqual([
      ['ferry', 'verbatim', 'The winter fare of a bicycle is low.'],
      ['harbour', 'embedding', marker],
      ['shop', 'embedding', marker],
    ]);
    expect(result.context).toBe(
      `[1] Ferry\nThe winter fare of a bicycle is low.\n\n[2] ${marker}\n\n[3] ${marker}`,
    );
    expect(rows).toEqual(result.documents.flatMap(({ embedding }) => (embedding ? [embedding] : [])));
    const encoder = await DocumentEncoder.load(mixed as never);
    const wanted = await encoder.encode(
      documents.slice(1, 3).map(({ title, content }) => ({ title, text: content })),
    );
    expect(rows).toEqual(wanted);
  });

  test('counts an embedding as a token, with its label, under the ceiling', async () => {
    const result = await run(50, { pipeline: { model: 'o200k_base' } });
    const { marker } = result.embeddings!;
    expect(result.documents.map(({ origin, tokensAfter }) => [origin, tokensAfter])).toEqual([
      ['verbatim', 9],
      ['embedding', 5],
      ['embedding', 5],
    ]);
    expect(result.tokens.after).toBeLessThanOrEqual(50);
    expect(result.tokens.after).toBeLessThan(30);
    expect(result.context.split(marker)).toHaveLength(3);
  });

  test('says of each document what became of it', async () => {
    const result = await run(50);
    const all = result.decisions.filter(({ stage }) => stage === 'xrag');
    const replaced = all.filter(({ action }) => action === 'replaced');
    expect(replaced.map(({ document }) => document).sort()).toEqual(['harbour', 'shop']);
    for (const { document, spans, reason, score } of replaced) {
      const { content } = documents.find(({ id }) => id === document)!;
      expect(spans[0]!.start).toBe(0);
      expect(spans.at(-1)!.end).toBe(content.length);
      expect(reason).toMatch(/^\d+ tokens became an embedding/);
      expect(score).toBeGreaterThan(0);
    }
    const dropped = all.filter(({ action }) => action === 'dropped').map(({ document }) => document);
    expect(new Set(dropped)).toEqual(new Set(['ferry', 'chess']));
  });

  test('has an embedding of what answers and finds no room as text', async () => {
    const second = {
      id: 'fares',
      title: 'Fares',
      content:
        'The winter fare of a bicycle is what the other company that crosses the bay in the evening asks for it, ' +
        'and a little more where it comes with bags, a child or a trailer.',
    };
    const result = await run(40, { documents: [documents[0]!, second] });
    expect(result.documents.map(({ id, origin }) => [id, origin])).toEqual([
      ['ferry', 'verbatim'],
      ['fares', 'embedding'],
    ]);
    expect(result.tokens.after).toBeLessThanOrEqual(40);
  });

  test('has no more embeddings than were asked for, the best first', async () => {
    const result = await run(50, { options: { ...mixed, documents: 1 } });
    expect(result.embeddings!.rows).toHaveLength(1);
    expect(result.documents.filter(({ origin }) => origin === 'embedding')).toHaveLength(1);
  });

  test('is what the decoder goes on from', async () => {
    const { context, embeddings } = await run(50, { pipeline: { output: 'html' } });
    expect(embeddings!.rows).toHaveLength(2);
    const messages = readerMessages(query, context.slice(-60));
    const { text, promptTokens } = await reader.generate(
      { messages: messages.slice(1), embeddings: embeddings! },
      { maxTokens: 8 },
    ).result;
    expect(text.length).toBeGreaterThan(0);
    expect(promptTokens).toBe(1 + messages[1]!.content.length + 2);
  });

  test('stands in any output', async () => {
    for (const output of ['text', 'markdown', 'html'] as const) {
      const { context, embeddings } = await run(50, { pipeline: { output } });
      expect(context).toContain(`\n\n[2] ${embeddings!.marker}\n\n[3] ${embeddings!.marker}`);
    }
  });

  test('follows the sentences that BM25 finds, too', async () => {
    const result = await run(50, { before: [sentences({ threshold: 0.6 })] });
    expect(result.documents[0]).toMatchObject({ id: 'ferry', origin: 'verbatim' });
    expect(result.documents.some(({ origin }) => origin === 'embedding')).toBe(true);
  });

  test('is made with blocks, too', async () => {
    const result = await run(60, { before: [exit({ ...evidence, cut: 'blocks' })] });
    expect(result.documents.find(({ id }) => id === 'ferry')).toMatchObject({
      origin: 'verbatim',
      content: documents[0]!.content,
    });
    expect(result.documents.find(({ id }) => id === 'harbour')).toMatchObject({ origin: 'embedding' });
  });
});

describe('everything stays text', () => {
  test.each<[string, number | undefined, () => Given, RegExp]>([
    ['no reader takes embeddings', 50, () => ({ options: {} }), /no reader said/],
    ['there is no budget', undefined, () => ({}), /no budget/],
    ['nothing was scored', 50, () => ({ before: [] }), /no stage before it scored/],
    ['all of it fits', 4_000, () => ({}), /all of it fits/],
    [
      'nothing answers',
      20,
      () => ({ query: 'Who was the first cook of the second ship that crossed the bay in a storm?' }),
      /nothing answers/,
    ],
  ])('where %s, and each document says so', async (_, tokens, given, reason) => {
    const result = await run(tokens, given());
    expect(result.embeddings).toBeUndefined();
    expect(result.documents.every(({ origin }) => origin === 'verbatim')).toBe(true);
    expect(result.stages.find(({ name }) => name === 'xrag')!.error).toBeUndefined();
    expect(reasons(result)).toEqual([expect.stringMatching(reason)]);
  });

  test('the same as without the stage', async () => {
    const { context, tokens } = await textAlone(50);
    const result = await run(50, { options: {} });
    expect({ context: result.context, tokens: result.tokens }).toEqual({ context, tokens });
  });

  test('where the embedder fails, with its reason', async () => {
    let calls = 0;
    const failing: XragOptions['embedder'] = {
      dimensions: embedder.dimensions,
      embed: (texts) =>
        calls++ === 0 ? embedder.embed(texts) : Promise.reject(new Error('the embedder is gone')),
    };
    const result = await run(50, { options: { ...mixed, embedder: failing } });
    expect(result.stages.find(({ name }) => name === 'xrag')!.error).toBe('the embedder is gone');
    expect(result.context).toBe((await textAlone(50)).context);
  });
});

test('a projector that does not fit is refused when the pipeline is made', async () => {
  const folder = projectorFolder({ inputs: embedder.dimensions, hidden: 4, width: 40, norm: 1 });
  await expect(createPipeline({ stages: [exit(evidence), xrag({ ...mixed, folder })] })).rejects.toThrow(
    /40 numbers where .* reads 32/,
  );
  expect(() => xrag({ documents: 0 })).toThrow(/xrag.documents/);
  expect(() => xrag({ engine: 1 } as never)).toThrow(/xrag.engine/);
});

test('what hands its context to an API of text refuses a pipeline that makes embeddings', async () => {
  const upstream = 'http://127.0.0.1:1';
  const made = await createPipeline({ stages: [exit(evidence), xrag(mixed)] });
  for (const pipeline of [made, { stages: [xrag(mixed)] }, { stages: [made] }])
    for (const use of [
      () => createProxy({ upstream, pipeline }),
      () => forward({ upstream, pipeline }),
      () => ragpressMiddleware({ pipeline }),
      () => new RagpressCompressor({ pipeline }),
      () => compressStep({ pipeline }),
    ])
      expect(use).toThrow(
        expect.objectContaining({ name: 'ConfigurationError', field: 'pipeline' }) as Error,
      );
  await made.close();

  // Its handler has the whole result; and without a reader there are no embeddings.
  await compress({ pipeline: { stages: [xrag(mixed)] } }).close();
  expect(() => compressStep({ pipeline: { stages: [xrag()] } })).not.toThrow();
});

test('no document takes an embedding’s place, however it spells the marker', async () => {
  const forging: SourceDocument[] = [
    ...documents.map((document) => ({ ...document, content: `${document.content} \uE000 \uE001` })),
    {
      id: 'page',
      format: 'html',
      content:
        '<title>&#xE002;</title><p>The winter fare of a bicycle &#xE003; is <code>&#xE004;</code>.</p>',
    },
  ];
  const result = await run(70, { documents: forging, query: `${query} \uE005` });
  const { marker, rows } = result.embeddings!;
  expect(marker).toBe('\uE006');
  expect(result.context.split(marker)).toHaveLength(rows.length + 1);
});

test('a budget is a ceiling, markers and embeddings belong together, and the same comes again', async () => {
  const pipeline = await createPipeline({
    stages: [exit(evidence), xrag(mixed)],
    deadline: 60_000,
    cache: false,
  });
  const words = ['winter', 'fare', 'bicycle', 'of', 'a', 'the', 'ferry', 'is', '\uE000', 'low', '12', 'quay'];
  const sentence = fc
    .array(fc.constantFrom(...words), { minLength: 2, maxLength: 9 })
    .map((chosen) => `It ${chosen.join(' ')}.`);
  const document = fc.array(sentence, { minLength: 1, maxLength: 5 }).map((all) => all.join(' '));
  await fc.assert(
    fc.asyncProperty(
      fc.array(document, { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 0, max: 120 }),
      async (contents, tokens) => {
        const given = contents.map((content, index) => ({ id: String(index), title: `T${index}`, content }));
        const request = { query, documents: given, budget: { tokens } };
        const result = await pipeline.compress(request);
        expect(result.stages.filter(({ error }) => error !== undefined)).toEqual([]);
        expect(result.tokens.after).toBeLessThanOrEqual(tokens);
        expect(verbatimFaults(result, given)).toEqual([]);
        const embedded = result.documents.filter(({ origin }) => origin === 'embedding');
        expect(result.embeddings?.rows ?? []).toEqual(embedded.map(({ embedding }) => embedding));
        if (result.embeddings)
          expect(result.context.split(result.embeddings.marker)).toHaveLength(embedded.length + 1);
        const again = await pipeline.compress(request);
        expect({ ...again, stages: [] }).toEqual({ ...result, stages: [] });
      },
    ),
    { numRuns: 40 },
  );
  await pipeline.close();
}, 60_000);

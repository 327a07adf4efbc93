import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigurationError, createPipeline, htmlrag, type HtmlragOptions, type Pipeline } from 'ragpress';
import { hasWeights } from '../../models/tiny-model.js';
import { verbatimFaults } from '../../verbatim.js';

const filler = (topic: string) =>
  `<p>${`The ${topic} was looked at again this week, and the members of the board agreed to speak of it another time. `.repeat(14)}</p>`;

const page = {
  id: 'harbour',
  format: 'html' as const,
  content: `<html><head><title>Harbour Line</title></head><body><main>
<section><h2>Board</h2>${filler('roof of the hall')}</section>
<section><h2>Tickets</h2><p>${'An adult pays 7.50 crowns to go there and come back on one day, and a child half as much. Cars are charged by the metre. '.repeat(8)}</p></section>
<section><h2>Garden</h2>${filler('new hedge')}</section>
<section><h2>Choir</h2>${filler('winter concert')}</section></main></body></html>`,
};

// No word of the question stands on the page but for stop words.
const query = 'What is the price of a journey?';

describe.skipIf(!hasWeights('minilm'))('blocks scored by minilm', () => {
  let pipeline: Pipeline;

  beforeAll(async () => {
    pipeline = await createPipeline({
      stages: [htmlrag({ embedder: 'minilm', breadth: 1 })],
      budget: { tokens: 350 },
      deadline: Infinity,
      cache: false,
    });
  });

  afterAll(() => pipeline.close());

  test('what answers in other words is kept', async () => {
    const result = await pipeline.compress({ query, documents: [page] });
    expect(result.stages.map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
    expect(result.decisions.filter(({ stage }) => stage === 'htmlrag').length).toBeGreaterThan(0);
    expect(result.context).toContain('7.50');
    expect(result.context).not.toMatch(/hedge|concert|roof/);
    expect(verbatimFaults(result, [page])).toEqual([]);
  });

  test('the same twice', async () => {
    const results = [];
    for (let run = 0; run < 2; run++) results.push(await pipeline.compress({ query, documents: [page] }));
    expect(results[0]!.context).toBe(results[1]!.context);
    expect(results[0]!.decisions).toEqual(results[1]!.decisions);
  });
});

describe('an embedder of one’s own', () => {
  // By length: whatever is long is near.
  const byLength = (delay = 0) => {
    const read: string[] = [];
    return {
      read,
      dimensions: 2,
      async embed(texts: readonly string[]) {
        read.push(...texts);
        await setTimeout(delay);
        return texts.map((text) => {
          const angle = Math.min(1, text.length / 4_000) * (Math.PI / 2);
          return Float32Array.of(Math.cos(angle), Math.sin(angle));
        });
      },
    };
  };

  test('is asked for the query and for each subtree below its title', async () => {
    const embedder = byLength();
    const pipeline = await createPipeline({ stages: [htmlrag({ embedder })], budget: { tokens: 400 } });
    await pipeline.compress({ query, documents: [page] });
    await pipeline.close();
    expect(embedder.read).toContain(query);
    expect(embedder.read.filter((text) => text.startsWith('Harbour Line\n')).length).toBeGreaterThanOrEqual(
      4,
    );
  });

  test('no more subtrees than allowed, the likeliest by BM25 first', async () => {
    const embedder = byLength();
    const pipeline = await createPipeline({
      stages: [htmlrag({ embedder, maxSubtrees: 1 })],
      budget: { tokens: 400 },
    });
    await pipeline.compress({ query: 'winter concert', documents: [page] });
    await pipeline.close();
    const subtrees = embedder.read.filter((text) => text.startsWith('Harbour Line\n'));
    expect(subtrees).toHaveLength(1);
    expect(subtrees[0]).toContain('winter concert');
  });

  test('a slow one ends before the deadline, with what it read', async () => {
    const pipeline = await createPipeline({
      stages: [htmlrag({ embedder: byLength(60), maxSubtrees: 400 })],
      budget: { tokens: 1_000 },
      deadline: 1_000,
    });
    const sections = Array.from(
      { length: 200 },
      (_, index) => `<section>${filler(`plan ${index}`)}</section>`,
    );
    const long = { ...page, content: `<html><body>${sections.join('')}</body></html>` };
    const result = await pipeline.compress({ query: 'plan 7', documents: [long] });
    // What more time would have changed is not the answer for the next time.
    expect(await pipeline.compress({ query: 'plan 7', documents: [long] })).not.toBe(result);
    await pipeline.close();
    expect(result.stages.map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
    expect(result.context).toContain('plan 7 ');
  });

  test('one that fails hands on what it was given, with the reason', async () => {
    const embedder = { dimensions: 2, embed: () => Promise.reject(new Error('out of memory')) };
    await expect(createPipeline({ stages: [htmlrag({ embedder })] })).rejects.toThrow('out of memory');
  });
});

test.each<[string, unknown, string]>([
  ['an embedder that is a number', { embedder: 7 }, 'htmlrag.embedder'],
  ['an embedder without embed', { embedder: { dimensions: 3 } }, 'htmlrag.embedder'],
  ['a registry that is none', { registry: {} }, 'htmlrag.registry'],
  ['no subtrees', { maxSubtrees: 0 }, 'htmlrag.maxSubtrees'],
])('%s is refused', (_, options, field) => {
  expect(() => htmlrag(options as HtmlragOptions)).toThrow(ConfigurationError);
  expect(() => htmlrag(options as HtmlragOptions)).toThrow(expect.objectContaining({ field }));
});

test('a model that is not there is named at start', async () => {
  await expect(createPipeline({ stages: [htmlrag({ embedder: 'acme/none' })] })).rejects.toThrow(
    /acme\/none/,
  );
});

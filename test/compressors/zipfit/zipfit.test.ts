import { describe, expect, test } from 'vitest';
import {
  ConfigurationError,
  createPipeline,
  zipfit,
  type CompressionRequest,
  type CompressionResult,
  type SourceDocument,
  type ZipfitOptions,
} from 'ragpress';
import { verbatimFaults } from '../../verbatim.js';

const notice =
  'Bicycles and small dogs travel free of charge on weekdays, but a place for them must be booked at the office in Troon.';
const ships: SourceDocument = {
  id: 'ships.md',
  content: `# The ships

The line has two ships. The Rowan was built in 1987 at Troon and carries 60 cars.

## Fares

| Ticket | Adult | Child |
|---|---|---|
| Single | 4.20 | 2.10 |
| Day return | 7.50 | 3.75 |

${notice}

## Jobs

We look for cooks. Write to us.
`,
};
const harbour: SourceDocument = {
  id: 'harbour.txt',
  content: 'The harbour was dug in 1850.\n\nIt silts up every winter.\n\nCranes were added later.',
};
const blog: SourceDocument = {
  id: 'blog.html',
  content: `<html><body><main><h1>A weekend by the sea</h1><p>${notice.replace('small dogs', '<b>small</b> dogs')}</p>
<p>We saw the Rowan on Sunday, and she looked as if she had been built last year.</p></main></body></html>`,
};
const documents = [ships, harbour, blog];
const query = 'When was the Rowan built?';

async function run(
  options: ZipfitOptions,
  request: Omit<CompressionRequest, 'documents'> & { documents?: readonly SourceDocument[] },
): Promise<CompressionResult> {
  const pipeline = await createPipeline({ stages: [zipfit(options)] });
  try {
    const given = { documents, ...request };
    const result = await pipeline.compress(given);
    expect(verbatimFaults(result, given.documents)).toEqual([]);
    expect(result.stages.map(({ error }) => error)).toEqual([undefined, undefined, undefined]);
    return result;
  } finally {
    await pipeline.close();
  }
}

/** What zipfit dropped: document, text and reason. */
function drops(result: CompressionResult, given: readonly SourceDocument[] = documents): string[] {
  return result.decisions
    .filter(({ stage, action }) => stage === 'zipfit' && action === 'dropped')
    .map(({ document, spans, reason }) => {
      const { content } = given.find(({ id }) => id === document)!;
      return `${document}: ${spans.map(({ start, end }) => content.slice(start, end)).join(' ')} (${reason})`;
    });
}

describe('without a budget', () => {
  test('what shares nothing with the query goes, and each drop says so', async () => {
    const result = await run({}, { query });
    expect(result.documents.map(({ id, content }) => [id, content])).toEqual([
      [
        'ships.md',
        '# The ships\n\nThe line has two ships. The Rowan was built in 1987 at Troon and carries 60 cars.',
      ],
      [
        'blog.html',
        '# A weekend by the sea\n\nWe saw the Rowan on Sunday, and she looked as if she had been built last year.',
      ],
    ]);
    expect(drops(result)).toEqual([
      `blog.html: ${notice} (repeats a block of ships.md)`,
      'ships.md: Fares (a heading of nothing kept)',
      'ships.md: Ticket Adult Child (shares nothing with the query)',
      'ships.md: Single 4.20 2.10 (shares nothing with the query)',
      'ships.md: Day return 7.50 3.75 (shares nothing with the query)',
      `ships.md: ${notice} (shares nothing with the query)`,
      'ships.md: Jobs (a heading of nothing kept)',
      'ships.md: We look for cooks. Write to us. (shares nothing with the query)',
      'harbour.txt: The harbour was dug in 1850. (shares nothing with the query)',
      'harbour.txt: It silts up every winter. (shares nothing with the query)',
      'harbour.txt: Cranes were added later. (shares nothing with the query)',
    ]);
    for (const { stage, spans, score, reason } of result.decisions) {
      if (stage !== 'zipfit') continue;
      expect(spans.length).toBeGreaterThan(0);
      if (reason === 'shares nothing with the query') expect(score).toBe(0);
    }
  });

  test('the threshold is a share of the best score', async () => {
    const asked = { query: 'Rowan built 1987 harbour winter' };
    const results = [];
    for (const threshold of [0, 0.3, 0.6, 1]) results.push(await run({ threshold }, asked));
    const lengths = results.map(({ context }) => context.length);
    expect(lengths).toEqual([...lengths].sort((a, b) => b - a));
    expect(new Set(lengths).size).toBeGreaterThan(2);
    // At 1 the best alone is left, with the heading above it.
    expect(results[3]!.documents.map(({ id }) => id)).toEqual(['ships.md']);
    const below = results[3]!.decisions.filter(({ reason }) => reason === 'below 1 of the best');
    expect(below.length).toBeGreaterThan(0);
    for (const { score } of below) expect(score).toBeGreaterThan(0);
  });

  test('a row stays with the header of its table and the heading above', async () => {
    const { documents: kept } = await run({}, { query: 'day return' });
    expect(kept.map(({ content }) => content)).toEqual([
      '## Fares\n\nTicket | Adult | Child\n---|---|---\nDay return | 7.50 | 3.75',
    ]);
  });

  test('a block is read below its title and headings', async () => {
    expect((await run({}, { query: 'jobs' })).context).toContain('We look for cooks.');
    const titled = { ...harbour, title: 'Port of Ardrossan' };
    const { documents: kept } = await run({}, { query: 'Ardrossan', documents: [ships, titled] });
    expect(kept.map(({ content }) => content)).toEqual([harbour.content]);
  });

  test('where nothing aligns nothing is dropped for it', async () => {
    const result = await run({}, { query: 'quantum chromodynamics' });
    expect(drops(result)).toEqual([`blog.html: ${notice} (repeats a block of ships.md)`]);
    expect(result.context).toContain('Cranes were added later.');
    const plain = await run({ duplicates: false }, { query: '?!' });
    expect(drops(plain)).toEqual([]);
  });

  test('what could not be read stays', async () => {
    const binary = {
      id: 'image',
      content: '\u0089PNG\r\n\u001a\n\0\0\0\rIHDR\0\0\u0001\0\ufffd\u0003'.repeat(40),
    };
    const { documents: kept } = await run({}, { query, documents: [binary, ships] });
    expect(kept[0]).toMatchObject({ id: 'image', content: binary.content });
    expect(kept).toHaveLength(2);
  });

  test('in Chinese', async () => {
    const content = '渡轮于1987年建造。\n\n自行车可以免费携带。\n\n港口很旧。';
    const { documents: kept } = await run(
      {},
      { query: '渡轮什么时候建造？', documents: [{ id: 'a', content }] },
    );
    expect(kept[0]!.content).toBe('渡轮于1987年建造。');
  });
});

describe('under a budget', () => {
  const log = Array.from(
    { length: 40 },
    (_, day) => `The ${day % 8 === 0 ? 'Rowan' : 'Alder'} sailed on day ${day}, and the wind was fair.`,
  );
  log.splice(23, 0, 'The Rowan was built in 1987 at Troon.');
  const given = [{ id: 'log.txt', content: log.join('\n\n') }];

  test('the best stay for later stages to choose from, in order, breadth times the budget', async () => {
    const budget = { tokens: 100 };
    const [narrow, broad] = [
      await run({ breadth: 1 }, { query, documents: given, budget }),
      await run({ breadth: 5 }, { query, documents: given, budget }),
    ];
    for (const [result, breadth] of [
      [narrow, 1],
      [broad, 5],
    ] as const) {
      expect(result.context).toContain('built in 1987');
      expect(result.tokens.after).toBeLessThanOrEqual(100);
      const { tokensAfter } = result.stages.find(({ name }) => name === 'zipfit')!;
      expect(tokensAfter).toBeGreaterThanOrEqual(breadth * 100);
      // The last may overshoot.
      expect(tokensAfter).toBeLessThan(breadth * 100 + 30);
      for (const drop of drops(result, given))
        expect(drop).toMatch(
          new RegExp(`\\((beyond ${breadth} × the budget|shares nothing with the query)\\)$`),
        );
    }
    const places = narrow.documents[0]!.content.split('\n\n').map((line) => log.indexOf(line));
    expect(places).toContain(23);
    expect(places.length).toBeGreaterThan(2);
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });

  test('what fits with ease stays, though it shares nothing', async () => {
    const result = await run({}, { query, budget: { tokens: 2_000 } });
    expect(drops(result)).toEqual([`blog.html: ${notice} (repeats a block of ships.md)`]);
  });
});

describe('what is looked for', () => {
  test('are the query and the examples', async () => {
    const without = await run({}, { query });
    expect(without.context).not.toContain('silts');
    const examples = ['It silted up in the winter of 1903.', 'A crane was added.'];
    const { context } = await run({ examples }, { query });
    expect(context).toContain('The Rowan was built in 1987');
    expect(context).toContain('It silts up every winter.');
    expect(context).toContain('Cranes were added later.');
    expect(context).not.toContain('cooks');
  });

  test('of many examples each counts for a little', async () => {
    const examples = Array.from({ length: 200 }, (_, index) => `Which cranes were added in ${1800 + index}?`);
    const { context } = await run({ examples, threshold: 0.5 }, { query });
    expect(context).toContain('Cranes were added later.');
    expect(context).not.toContain('Rowan');
  });

  test('is found by a codec where that is asked for', async () => {
    const sizes: number[] = [];
    const codec = (bytes: Uint8Array) => {
      sizes.push(bytes.length);
      return new Set(bytes).size;
    };
    for (const exact of [
      { mode: 'exact' },
      { mode: 'exact', codec: 'brotli' },
      { mode: 'exact', codec },
    ] as const) {
      const { context } = await run(
        { ...exact, threshold: 0.9 },
        { query: 'The Rowan was built in 1987 at Troon' },
      );
      expect(context).toContain('The Rowan was built in 1987 at Troon');
    }
    expect(sizes.length).toBeGreaterThan(10);
  });
});

describe('duplicates', () => {
  test('the first stays, and every later one says what it repeats', async () => {
    const given = [
      ships,
      blog,
      { id: 'copy.txt', content: notice },
      { id: 'ships-again.md', content: ships.content },
    ];
    const result = await run({}, { query: 'bicycles, dogs and the Rowan', documents: given });
    expect(result.context.match(/travel free of charge/g)).toHaveLength(1);
    expect(result.documents[0]!.content).toContain(notice);
    const repeated = result.decisions.filter(({ reason }) => reason.startsWith('repeats'));
    expect(repeated.map(({ document, stage, action, reason }) => [document, stage, action, reason])).toEqual([
      ['blog.html', 'zipfit', 'dropped', 'repeats a block of ships.md'],
      ['copy.txt', 'zipfit', 'dropped', 'repeats a block of ships.md'],
      ['ships-again.md', 'zipfit', 'dropped', 'repeats a block of ships.md'],
      ['ships-again.md', 'zipfit', 'dropped', 'repeats a block of ships.md'],
    ]);
    const backwards = await run({}, { query: 'bicycles and dogs', documents: given.toReversed() });
    expect(backwards.documents.map(({ id }) => id)).toEqual(['ships-again.md']);
  });

  test('within one document too', async () => {
    const given = [{ id: 'a.txt', content: `${notice}\n\nThe office opens at nine.\n\n${notice}` }];
    const result = await run({}, { query: 'bicycles office', documents: given });
    expect(result.documents[0]!.content).toBe(`${notice}\n\nThe office opens at nine.`);
    expect(drops(result, given)).toEqual([`a.txt: ${notice} (repeats a block of a.txt)`]);
  });

  test.each([
    ['another number', 'Troon', 'Troon by 9'],
    ['another name', 'Troon', 'Brodick'],
    ['a negation', 'must be', 'need not be'],
  ])('a block with %s is none', async (_, from, to) => {
    const other = notice.replace(from, to);
    const { context } = await run(
      {},
      { query: 'bicycles', documents: [ships, { id: 'b.txt', content: other }] },
    );
    expect(context).toContain(notice);
    expect(context).toContain(other);
  });

  test('rows and code are none: where they stand says what they mean', async () => {
    const row = '| Bicycles and small dogs | a place must be booked at the office in Troon | 4.20 | 2.10 |';
    const code = 'const place = office.book({ bicycles: 1, dogs: 2, from: "Troon", weekday: true });';
    const content = ['Winter', 'Summer']
      .map(
        (season) =>
          `## ${season}\n\n| What | How | Adult | Child |\n|---|---|---|---|\n${row}\n\n\`\`\`js\n${code}\n\`\`\``,
      )
      .join('\n\n');
    const { context } = await run({}, { query: 'bicycles', documents: [{ id: 'a.md', content }] });
    expect(context.split('a place must be booked')).toHaveLength(3);
    expect(context.split('office.book')).toHaveLength(3);
  });

  test('a line that leads in a list stays with what it leads in', async () => {
    const lead = 'The following may not be taken on board the ship in any season of the year:';
    const given = [
      { id: 'a.md', content: `${lead}\n\n- fireworks\n- petrol` },
      { id: 'b.md', content: `${lead}\n\n- bicycles\n- skateboards` },
      { id: 'c.md', content: lead },
    ];
    const result = await run({}, { query: 'bicycles on board', documents: given });
    expect(result.documents.find(({ id }) => id === 'b.md')!.content).toBe(
      `${lead}\n\n- bicycles\n- skateboards`,
    );
    expect(drops(result, given).filter((drop) => drop.includes('repeats'))).toEqual([
      `c.md: ${lead} (repeats a block of a.md)`,
    ]);
  });

  test('are kept where that is asked for, or where more must be alike', async () => {
    const asked = { query: 'bicycles and dogs' };
    expect((await run({ duplicates: false }, asked)).context.split('travel free')).toHaveLength(3);
    const edited = { id: 'b.txt', content: notice.replace('small ', '') };
    const given = { ...asked, documents: [ships, edited] };
    expect((await run({ duplicates: 1 }, given)).documents).toHaveLength(2);
    expect((await run({ duplicates: 0.6 }, given)).documents).toHaveLength(1);
  });
});

describe('options', () => {
  test.each<[string, unknown, string, unknown]>([
    ['an unknown mode', { mode: 'slow' }, 'zipfit.mode', 'slow'],
    ['an unknown codec', { mode: 'exact', codec: 'lzma' }, 'zipfit.codec', 'lzma'],
    ['a codec in the fast mode', { codec: 'gzip' }, 'zipfit.codec', 'gzip'],
    ['examples that are no list', { examples: 'x' }, 'zipfit.examples', 'x'],
    ['an example that is no text', { examples: ['x', 7] }, 'zipfit.examples.1', 7],
    ['a breadth below 1', { breadth: 0.5 }, 'zipfit.breadth', 0.5],
    ['a threshold above 1', { threshold: 2 }, 'zipfit.threshold', 2],
    ['a threshold that is NaN', { threshold: NaN }, 'zipfit.threshold', NaN],
    ['duplicates of 0', { duplicates: 0 }, 'zipfit.duplicates', 0],
    ['duplicates: true', { duplicates: true }, 'zipfit.duplicates', true],
    ['an unknown one', { treshold: 0.3 }, 'zipfit.treshold', 0.3],
  ])('%s names the field and the value', (_, options, field, value) => {
    const make = () => zipfit(options as ZipfitOptions);
    expect(make).toThrow(ConfigurationError);
    expect(make).toThrow(expect.objectContaining({ field, value }));
    expect(make).toThrow(new RegExp(`^${field.replaceAll('.', '\\.')}: `));
  });

  test.skipIf('zstdCompressSync' in process.getBuiltinModule('node:zlib'))(
    'a codec that this Node has not is refused at start',
    () => {
      expect(() => zipfit({ mode: 'exact', codec: 'zstd' })).toThrow(
        expect.objectContaining({ name: 'ConfigurationError', field: 'zipfit.codec', value: 'zstd' }),
      );
    },
  );
});

test('1,000 documents, most of them alike', async () => {
  const given = Array.from({ length: 1_000 }, (_, index): SourceDocument => ({
    id: `log-${index}`,
    content: `The ship left berth ${index % 7} on time, and nothing else that anybody remembers happened on that day.`,
  }));
  given.splice(400, 0, ships);
  const result = await run({}, { query, documents: given });
  expect(result.documents.map(({ id }) => id)).toEqual(['ships.md']);
  expect(result.decisions.filter(({ reason }) => reason === 'repeats a block of log-0')).toHaveLength(142);
});

test('an aborted request stops in the stage', async () => {
  const controller = new AbortController();
  const codec = (bytes: Uint8Array) => {
    controller.abort(new Error('enough'));
    return bytes.length;
  };
  const pipeline = await createPipeline({ stages: [zipfit({ mode: 'exact', codec })] });
  const request = { query, documents, signal: controller.signal };
  await expect(pipeline.compress(request)).rejects.toThrow('enough');
  await pipeline.close();
});

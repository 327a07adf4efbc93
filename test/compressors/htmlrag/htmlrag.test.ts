import { describe, expect, test } from 'vitest';
import {
  ConfigurationError,
  createPipeline,
  htmlrag,
  type Compressor,
  type Decision,
  type HtmlragOptions,
  type SourceDocument,
  type State,
} from 'ragpress';
import { extracted } from '../page-faults.js';
import { compressedPage } from './compressed-page.js';
import { ferryPage } from './ferry-page.js';

const months = ['January', 'March', 'May', 'June', 'August', 'October', 'November', 'December'];

/** A section of some 130 words that answers nothing. */
function section(number: number): string {
  const log = months
    .map(
      (month, index) =>
        `In ${month} of the year ${number + index} the harbour master wrote of fog, of nets and of the price of coal.`,
    )
    .join(' ');
  return `<section><h2>Log of volume ${number}</h2><p>${log}</p></section>`;
}

const answer = 'The steamer Rowan was launched at Troon in the spring of 1987.';
const question = 'When was the Rowan launched?';

/** Menus and teasers name what is asked for, the answer stands once in much else. */
const noisyPage: SourceDocument = {
  id: 'history',
  format: 'html',
  content: `<!doctype html><html><head><title>The harbour through the years</title></head><body>
    <nav><ul>${'<li><a href="/rowan">Rowan launched: news, pictures, the Rowan</a>'.repeat(40)}</ul></nav>
    <div class="cookie-banner"><p>We use cookies, also on the Rowan.</p></div>
    <main><h1>Harbour history</h1>${Array.from({ length: 12 }, (_, index) => section(1800 + index)).join('\n')}
    <section><h2>Steamers</h2><p>${answer}</p><p>She replaced an older ship.</p></section>
    ${Array.from({ length: 12 }, (_, index) => section(1900 + index)).join('\n')}</main>
    <aside><p>Read more: the Rowan, launched again?</p></aside>
    <footer><p>Harbour office, telephone 01631 555 0123. Rowan Street 1.</p></footer></body></html>`,
};

/** Runs HtmlRAG with these options and shows what it handed on. */
async function pruned(
  options: HtmlragOptions,
  query: string,
  documents: readonly SourceDocument[],
  tokens?: number,
): Promise<{ texts: string[]; units: State['units']; decisions: Decision[] }> {
  let state: State | undefined;
  const watching: Compressor = {
    name: 'watching',
    compress: (seen) => {
      state = seen;
      return Promise.resolve(seen);
    },
  };
  const { decisions } = await compressedPage(
    { query, documents, ...(tokens !== undefined && { budget: { tokens } }) },
    { stages: [htmlrag(options), watching] },
  );
  return {
    texts: state!.units.map(({ text }) => text),
    units: state!.units,
    decisions: decisions.filter(({ stage }) => stage === 'htmlrag'),
  };
}

describe('options', () => {
  test.each<[string, unknown, string, unknown]>([
    ['a breadth below 1', { breadth: 0.5 }, 'htmlrag.breadth', 0.5],
    ['a breadth that is no number', { breadth: '4' }, 'htmlrag.breadth', '4'],
    ['a breadth without end', { breadth: Infinity }, 'htmlrag.breadth', Infinity],
    ['a threshold above 1', { threshold: 1.5 }, 'htmlrag.threshold', 1.5],
    ['a negative threshold', { threshold: -0.1 }, 'htmlrag.threshold', -0.1],
    ['a threshold that is NaN', { threshold: NaN }, 'htmlrag.threshold', NaN],
    ['an unknown one', { treshold: 0.3 }, 'htmlrag.treshold', 0.3],
    ['options that are none', 3, 'htmlrag', 3],
  ])('%s', (_, options, field, value) => {
    let error: unknown;
    try {
      htmlrag(options as HtmlragOptions);
    } catch (reason) {
      error = reason;
    }
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error).toMatchObject({ field, value });
    expect((error as Error).message).toContain(field);
  });

  test('without a budget a subtree stays that scores at least that share of the best', async () => {
    const page = (name: string, text: string): string =>
      section(1800).replace('</section>', `<p>${name} ${text}</p></section>`);
    const documents: SourceDocument[] = [
      {
        id: 'ships',
        format: 'html',
        content: `<main>${page('Rowan', 'launched: the Rowan was launched')} ${page('Elm', 'launched')} ${section(1850)}</main>`,
      },
    ];
    const kept = async (threshold: number) => {
      const { texts } = await pruned({ threshold }, question, documents);
      return ['Rowan', 'Elm', 'Log of volume 1850'].filter((name) =>
        texts.some((text) => text.startsWith(name)),
      );
    };
    expect(await kept(0)).toEqual(['Rowan', 'Elm']);
    expect(await kept(0.01)).toEqual(['Rowan', 'Elm']);
    expect(await kept(1)).toEqual(['Rowan']);
    const { decisions } = await pruned({ threshold: 1 }, question, documents);
    expect(decisions.map(({ reason }) => reason)).toEqual([
      'below 1 of the best',
      'nothing of the query in it',
    ]);
  });

  test('under a budget the breadth says how much is left for later stages', async () => {
    const documents = [noisyPage];
    const query = 'What did the harbour master write of fog?';
    const size = async (breadth: number) => {
      const { units, decisions } = await pruned({ breadth }, query, documents, 400);
      expect(decisions.some(({ reason }) => reason.endsWith(`beyond ${breadth} × the budget`))).toBe(true);
      return units.reduce((sum, { tokens }) => sum + tokens, 0);
    };
    const [narrow, broad] = [await size(1), await size(5)];
    expect(narrow).toBeGreaterThanOrEqual(400);
    expect(narrow).toBeLessThan(1_000);
    expect(broad).toBeGreaterThanOrEqual(2_000);
    expect(broad).toBeLessThan(2_600);
  });
});

describe('pruning', () => {
  test.each([60, 200, 1_000])('the answer is kept in much noise, under %s tokens', async (tokens) => {
    const { context } = await compressedPage({ query: question, documents: [noisyPage], budget: { tokens } });
    expect(context).toContain(answer);
  });

  test('without a budget too, and little else', async () => {
    const { context, tokens } = await compressedPage({ query: question, documents: [noisyPage] });
    expect(context).toContain(answer);
    expect(tokens.after).toBeLessThan(0.2 * tokens.before);
  });

  test('every drop says why, with its score, and none of what is kept is in it', async () => {
    const { units, decisions } = await pruned({}, question, [noisyPage], 200);
    const kept = new Set(units.flatMap(({ spans }) => spans.map(({ start }) => start)));
    expect(decisions.length).toBeGreaterThan(5);
    for (const { action, reason, score, spans } of decisions) {
      expect(action).toBe('dropped');
      expect(reason).toMatch(/nothing of the query in it|rank \d+ of \d+, beyond 4 × the budget/);
      expect(score).toBeGreaterThanOrEqual(0);
      expect(spans.length).toBeGreaterThan(0);
      for (const { start } of spans) expect(kept.has(start)).toBe(false);
    }
    const read = extracted(noisyPage.content, 'html').units.flatMap(({ spans }) => spans);
    expect(decisions.flatMap(({ spans }) => spans).length + kept.size).toBe(read.length);
  });

  test('a subtree brings what it needs from others', async () => {
    const content = `<main><h1>Harbour history</h1><p>${'Nets and fog. '.repeat(60)}</p>
      <table><caption>Ships of the line</caption><thead><tr><th>Ship<th>Launched</thead>
      <tbody>${Array.from({ length: 150 }, (_, index) => `<tr><td>Boat ${index}\n<td>${1700 + index}\n`).join('')}
      <tr><td>Rowan<td>1987</tbody></table></main>`;
    const documents: SourceDocument[] = [{ id: 'ships', format: 'html', content }];
    const { texts } = await pruned({ threshold: 1 }, 'In which year was the Rowan built?', documents);
    expect(texts).toEqual(['Harbour history', 'Ships of the line', 'Ship | Launched', 'Rowan | 1987']);
  });

  test("a document's title is read with each of its subtrees", async () => {
    const text = '<p>She was launched in the spring and carries sixty cars.</p>';
    const documents: SourceDocument[] = ['Alder', 'Rowan', 'Elm'].map((title) => ({
      id: title,
      format: 'html',
      content: `<title>${title}</title>${text}`,
    }));
    const { context } = await compressedPage({
      query: 'When was the Rowan launched?',
      documents,
      budget: { tokens: 25 },
    });
    expect(context).toContain('[2] Rowan');
    const given = documents.map((document, index) => ({
      ...document,
      title: index === 2 ? 'Rowan' : 'Other',
    }));
    const other = await compressedPage({ query: question, documents: given, budget: { tokens: 25 } });
    expect(other.documents.map(({ id }) => id)).toEqual(['Elm']);
  });

  test('a document that is not read passes through', async () => {
    const binary: SourceDocument = {
      id: 'image',
      content: '\u0089PNG\r\n\u001a\n\0\0\0\rIHDR\0\0\0\0\ufffd'.repeat(10),
    };
    const { documents } = await compressedPage({ query: question, documents: [noisyPage, binary] });
    expect(documents.map(({ id }) => id)).toEqual(['history', 'image']);
  });

  test('nothing in, nothing out', async () => {
    for (const content of ['', '<html></html>', '<script>rowan()</script>', '<p hidden>Rowan</p>']) {
      const { context } = await compressedPage({
        query: 'Rowan',
        documents: [{ id: 'a', content, format: 'html' }],
      });
      expect(context).toBe('');
    }
  });
});

describe('what stands around the content', () => {
  test('weighs less: menus lose against a text that says no more', async () => {
    const documents: SourceDocument[] = [
      {
        id: 'page',
        format: 'html',
        content: `<nav><p>The Rowan was launched in 1987.</p>${section(1700)}</nav><main><p>The Rowan was launched in 1987.</p>
          ${section(1800)}</main>`,
      },
    ];
    const { units, decisions } = await pruned({ threshold: 0.5 }, question, documents);
    expect(units.map(({ text }) => text)).toContain('The Rowan was launched in 1987.');
    expect(Math.min(...units.flatMap(({ spans }) => spans.map(({ start }) => start)))).toBeGreaterThan(
      documents[0]!.content.indexOf('<main>'),
    );
    expect(decisions[0]!.reason).toBe('navigation, below 0.5 of the best');
  });

  test('links weigh less than text', async () => {
    const documents: SourceDocument[] = [
      {
        id: 'page',
        format: 'html',
        content: `<div><a href="/1">The Rowan was launched in 1987, they say, and much more was said.</a>${'<a href="/2">Other news of the harbour, its ships and its people</a> '.repeat(20)}</div>
          <div><p>The Rowan was launched in 1987, they say, and much more was said.</p> <p>${'Other news of the harbour, its ships and its people. '.repeat(20)}</p></div>`,
      },
    ];
    const { decisions } = await pruned({ threshold: 0.5 }, question, documents);
    expect(decisions.map(({ reason }) => reason)).toEqual(['98% links, below 0.5 of the best']);
  });

  test('stays to be had: what only the footer or a menu says is found there', async () => {
    const telephone = await compressedPage({
      query: 'What is the telephone number of the office?',
      documents: [noisyPage],
      budget: { tokens: 60 },
    });
    expect(telephone.context).toContain('telephone 01631 555 0123');
    const menu = await compressedPage({
      query: 'timetable fares jobs',
      documents: [{ id: 'ferry', content: ferryPage }],
      budget: { tokens: 30 },
    });
    expect(menu.context).toContain('Jobs');
  });

  test('is dropped first where nothing answers', async () => {
    const { texts } = await pruned({ breadth: 1 }, 'zebra', [noisyPage], 500);
    expect(texts[0]).toBe('Harbour history');
    expect(texts.join('\n')).not.toMatch(/cookies|telephone|Read more/);
  });
});

test('a paragraph planted in 10 MB is kept, under a budget', async () => {
  const half = ferryPage.repeat(Math.ceil(5_000_000 / ferryPage.length));
  const content = `${half}<section><h2>Steamers</h2><p>${answer}</p></section>${half}`;
  expect(content.length).toBeGreaterThan(10_000_000);
  const { context } = await compressedPage(
    { query: question, documents: [{ id: 'large', content }], budget: { tokens: 150 } },
    { deadline: Infinity },
  );
  expect(context).toContain(answer);
}, 60_000);

test('a page is read once, however often it is asked about', async () => {
  const seen: State['pages'][] = [];
  const watching: Compressor = {
    name: 'watching',
    compress: (state) => {
      seen.push(state.pages);
      return Promise.resolve(state);
    },
  };
  const pipeline = await createPipeline({ stages: [watching] });
  const { content } = noisyPage;
  await pipeline.compress({
    query: 'Rowan',
    documents: [noisyPage, { id: 'copy', format: 'html', content }],
  });
  await pipeline.compress({ query: 'fog', documents: [{ ...noisyPage, title: 'Another title' }] });
  await pipeline.compress({
    query: 'fog',
    documents: [
      { ...noisyPage, format: 'text' },
      { ...noisyPage, content: `${content} ` },
    ],
  });
  await pipeline.close();
  const page = seen[0]![0]!;
  expect(page.format).toBe('html');
  expect(seen[0]![1]).toBe(page);
  expect(seen[1]![0]).toBe(page);
  expect(seen[2]![0]!.format).toBe('text');
  expect(seen[2]![1]).not.toBe(page);
});

import fc from 'fast-check';
import { createPipeline, type CompressionResult, type SourceDocument } from 'ragpress';
import { describe, expect, test } from 'vitest';
import { annotate } from '../../middleware/annotate.js';
import { reportHtml } from '../../middleware/report.js';

async function compress(
  query: string,
  documents: readonly SourceDocument[],
  tokens: number,
): Promise<CompressionResult> {
  const pipeline = await createPipeline({ preset: 'fast', budget: { tokens }, deadline: Infinity });
  try {
    return await pipeline.compress({ query, documents });
  } finally {
    await pipeline.close();
  }
}

const page = {
  id: 'ferries.html',
  content: `<!doctype html><title>Ferries</title><style>p { color: red }</style>
<nav><ul><li><a href="/">Home</a><li><a href="/jobs">Jobs</a></ul></nav>
<div hidden>Secret <script>steal()</script> harbour</div>
<h1>The last ferry</h1>
<p>Tickets are sold on the quay. The last ferry leaves at ten. Dogs travel free &amp; so do prams.</p>
<table><tr><th>Port</th><th>Last ferry</th></tr><tr><td>Corran</td><td>22:05</td></tr></table>
<p>The beach is sandy.</p>`,
};

describe('annotations', () => {
  test('show a document in its own order, each piece with what became of it', async () => {
    const query = 'When does the last ferry leave?';
    const result = await compress(query, [page], 30);
    const annotations = annotate(page, result);
    const shown = annotations.filter(({ block }) => block !== undefined);
    expect(shown.map(({ text }) => text)).toEqual([
      'Home',
      'Jobs',
      'The last ferry',
      'Tickets are sold on the quay. ',
      'The last ferry leaves at ten. ',
      'Dogs travel free & so do prams.',
      'Port | Last ferry',
      'Corran | 22:05',
      'The beach is sandy.',
    ]);
    for (const { text, action } of shown)
      expect(action, text).toBe(result.context.includes(text.trim()) ? 'kept' : 'dropped');
    expect(shown.find(({ text }) => text.startsWith('The last ferry leaves'))).toMatchObject({
      action: 'kept',
      stage: 'budget',
      layout: { type: 'paragraph' },
    });
    const omitted = annotations.filter(({ block }) => block === undefined);
    expect(omitted.map(({ reason }) => reason)).toEqual([
      'declaration',
      'title: shown above the document',
      'style',
      'hidden',
    ]);
    expect(omitted.at(-1)!.text).toContain('steal()');
  });

  test('show no word twice and none too few, whatever the page', async () => {
    const wrapped = (inner: fc.Arbitrary<string>) =>
      fc
        .tuple(
          fc.constantFrom('p', 'div', 'li', 'h2', 'td', 'b', 'span hidden', 'nav', 'pre', 'script', 'a'),
          inner,
        )
        .map(([tag, text]) => `<${tag}>${text}</${tag.split(' ')[0]}>`);
    const words = fc.constant('WORD ');
    const markup = fc.array(
      fc.oneof(
        words,
        wrapped(words),
        wrapped(wrapped(words)),
        fc.constantFrom('&nbsp;', '<br>', '<!-- WORD -->', '. ', '</p>'),
      ),
      { maxLength: 25 },
    );
    await fc.assert(
      fc.asyncProperty(markup, fc.integer({ min: 0, max: 60 }), async (parts, tokens) => {
        let words = 0;
        const content = parts.join('').replace(/WORD/g, () => `w${words++}x`);
        const document = { id: 'page', content, format: 'html' as const };
        const result = await compress('w1x w5x', [document], tokens);
        const annotations = annotate(document, result);
        const found = (shown: typeof annotations) =>
          shown.flatMap(({ text }) => [...text.matchAll(/w(\d+)x/g)].map(([, number]) => Number(number)));
        expect(found(annotations).sort((a, b) => a - b)).toEqual([...Array(words).keys()]);
        const read = found(annotations.filter(({ block }) => block !== undefined));
        expect(read).toEqual([...read].sort((a, b) => a - b));
      }),
      { numRuns: 100 },
    );
  });

  test('take a document that was not read as it stands', async () => {
    const binary = { id: 'image.png', content: '\u0089PNG\u0000\u0001\u0002\u0000ferry\u0000' };
    const result = await compress('ferry', [binary], 0);
    const annotations = annotate(binary, result);
    expect(annotations).toMatchObject([{ text: binary.content, action: 'dropped', stage: 'budget' }]);
    const all = await compress('ferry', [binary], 1_000);
    expect(annotate(binary, all)).toMatchObject([{ text: binary.content, action: 'kept' }]);
  });

  test('say so where a stage lost a piece without a word', async () => {
    const pipeline = await createPipeline({
      stages: [{ name: 'loser', compress: (state) => Promise.resolve({ ...state, units: [] }) }],
    });
    const result = await pipeline.compress({ query: 'ferry', documents: [page] });
    await pipeline.close();
    expect(annotate(page, result).find(({ text }) => text.startsWith('The beach'))).toMatchObject({
      action: 'dropped',
      reason: 'no stage recorded what became of it',
    });
  });
});

describe('the report', () => {
  test('escapes what comes from outside', async () => {
    const evil = {
      id: '"><img src=x onerror=alert(1)>',
      title: '<script>alert(1)</script>',
      url: 'javascript:alert(1)',
      content: 'A ferry is &lt;b&gt; and <script>alert(1)</script> "quoted". Sheep do not swim.',
      format: 'text' as const,
    };
    const result = await compress('"<i>ferry</i>"', [evil], 100);
    const html = reportHtml('</title><script>', [{ query: '"<i>ferry</i>"', documents: [evil], result }]);
    expect(html).not.toMatch(/<script|<img|<i>|<b>|href="javascript/);
    expect(html).toContain('&lt;script&gt;alert(1)&lt;/script&gt;');
    const linked = { ...evil, url: 'https://ferry.example/?a=1&b="2"' };
    expect(reportHtml('Report', [{ query: 'ferry', documents: [linked], result }])).toContain(
      '<a href="https://ferry.example/?a=1&amp;b=&quot;2&quot;"',
    );
  });

  test('has the stages, the tokens, and the pieces in order', async () => {
    const query = 'When does the last ferry leave?';
    const result = await compress(query, [page], 30);
    const html = reportHtml('Report', [{ query, documents: [page], result }]);
    for (const { name } of result.stages) expect(html).toContain(`<td>${name}</td>`);
    expect(html).toContain(`The context: ${result.tokens.after} tokens of 30 allowed`);
    const marked = [...html.matchAll(/<span class="(kept|dropped)" title="[^"]+">([^<]+)<\/span>/g)];
    expect(marked.map(([, action, text]) => `${action}: ${text}`)).toEqual([
      'dropped: Home',
      'dropped: Jobs',
      'kept: The last ferry',
      'dropped: Tickets are sold on the quay.',
      'kept: The last ferry leaves at ten.',
      'dropped: Dogs travel free &amp; so do prams.',
      ...marked.slice(6).map(([, action, text]) => `${action}: ${text}`),
    ]);
    expect(html).not.toContain('steal() harbour</');
  });

  test('shows of a long page what surrounds the kept parts', async () => {
    const paragraphs = Array.from(
      { length: 6_000 },
      (_, index) =>
        `<p>Paragraph ${index} tells of ${index === 3_456 ? 'the last ferry' : 'sheep, 羊 and 🐑'} at some length, as they do.</p>`,
    );
    const long = { id: 'long.html', content: paragraphs.join('\n') };
    const result = await compress('the last ferry', [long], 60);
    const html = reportHtml('Report', [{ query: 'the last ferry', documents: [long], result }]);
    expect(html.length).toBeLessThan(30_000);
    expect(html.isWellFormed()).toBe(true);
    expect(html).toMatch(/<span class="kept"[^>]*>Paragraph 3456 tells of the last ferry/);
    expect(html).toContain('Paragraph 3455 ');
    expect(html).toContain('Paragraph 3457 ');
    expect(html.match(/… [\d,]+ more characters …/g)).toHaveLength(2);
    const oneLine = { id: 'line.txt', content: '🐑'.repeat(100_000) };
    const nothing = await compress('ferry', [oneLine], 60);
    expect(
      reportHtml('Report', [{ query: 'ferry', documents: [oneLine], result: nothing }]).length,
    ).toBeLessThan(20_000);
  });
});

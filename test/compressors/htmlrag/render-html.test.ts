import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPipeline, type Pipeline, type PipelineOptions, type SourceDocument } from 'ragpress';
import { verbatimFaults } from '../../verbatim.js';
import { compressedPage } from './compressed-page.js';
import { ferryPage } from './ferry-page.js';

type Output = NonNullable<PipelineOptions['output']>;

const outputs: Output[] = ['html', 'markdown', 'text'];

/** A page as it comes out where nothing of it is dropped. */
async function rendered(html: string, output: Output): Promise<string> {
  const request = { query: 'Rowan', documents: [{ id: 'page', content: html, format: 'html' as const }] };
  const result = await compressedPage(request, { stages: [], output });
  return result.documents[0]?.content ?? '';
}

const PARENTS: Readonly<Record<string, readonly string[]>> = {
  li: ['ul', 'ol', 'menu'],
  dt: ['dl', 'div'],
  dd: ['dl', 'div'],
  caption: ['table'],
  thead: ['table'],
  tbody: ['table'],
  tr: ['table', 'thead', 'tbody', 'tfoot'],
  td: ['tr'],
  th: ['tr'],
};

/** Elements that are not closed where they should be, or stand where they cannot. */
function markupFaults(html: string): string[] {
  const faults: string[] = [];
  const open: string[] = [];
  for (const [tag, slash, name] of html.matchAll(/<(\/?)([a-z][a-z0-9]*)>/g)) {
    if (name === 'br') continue;
    if (slash === '/') {
      if (open.pop() !== name) faults.push(`${tag} closes something else`);
    } else {
      if (PARENTS[name!]?.includes(open.at(-1) ?? '') === false) faults.push(`${tag} in ${open.join(' ')}`);
      open.push(name!);
    }
  }
  if (open.length > 0) faults.push(`${open.join(' ')} left open`);
  if (/[<>]/.test(html.replace(/<\/?[a-z][a-z0-9]*>/g, ''))) faults.push('text that is not escaped');
  return faults;
}

describe('HTML', () => {
  test('rows stand in their table, header cells are th, empty cells keep their place', async () => {
    const html = `<table class="fares"><caption>In euros</caption><thead><tr><td></td><th>Adult</th><th>Child</th></tr></thead>
      <tbody><tr><td>Single</td><td></td><td>2.10</td></tr><tr><td>Return</td><td>7.50</td><td>3.75</td></tr></tbody></table>`;
    expect(await rendered(html, 'html')).toBe(
      `<table><caption>In euros</caption>
<tr><th></th><th>Adult</th><th>Child</th></tr>
<tbody><tr><td>Single</td><td></td><td>2.10</td></tr>
<tr><td>Return</td><td>7.50</td><td>3.75</td></tr></tbody></table>`,
    );
  });

  test('lists stay in lists, definitions with their terms', async () => {
    expect(
      await rendered(
        '<ol><li>Rowan<ul><li>built 1987<li>60 cars</ul><li>Alder</ol><dl><dt>Flag<dd>none<dt>Crew<dd>six</dl>',
        'html',
      ),
    ).toBe(
      `<ol><li>Rowan
<ul><li>built 1987</li>
<li>60 cars</li></ul></li>
<li>Alder</li></ol>
<dl><dt>Flag</dt>
<dd>none</dd>
<dt>Crew</dt>
<dd>six</dd></dl>`,
    );
  });

  test('a single item keeps its list, a single row its table', async () => {
    expect(await rendered('<ol><li>Rowan</ol>', 'html')).toBe('<ol><li>Rowan</li></ol>');
    expect(await rendered('<div><table><tr><th>Built<td>1987</table></div>', 'html')).toBe(
      '<table><tr><td>Built</td><td>1987</td></tr></table>',
    );
  });

  test('elements that only wrap are gone, those with text beside others are not', async () => {
    expect(await rendered('<main><div><section><p>Rowan</p></section></div></main>', 'html')).toBe(
      '<p>Rowan</p>',
    );
    expect(await rendered('<div>Rowan<p>Alder</p>Elm</div>', 'html')).toBe(
      '<div>Rowan\n<p>Alder</p><br>\nElm</div>',
    );
  });

  test('text is escaped, listings keep their lines', async () => {
    expect(
      await rendered('<p>R&D: a &lt; b &amp;&amp; "c" > d</p><pre>if (a &lt; b)\n  c()</pre>', 'html'),
    ).toBe('<p>R&amp;D: a &lt; b &amp;&amp; "c" &gt; d</p>\n<pre>if (a &lt; b)\n  c()</pre>');
  });

  test('a bar in a cell is no border', async () => {
    const html = '<table><tr><th>Ship | line<th>Built<tr><td>Rowan|Alder<td>1987</table>';
    expect(await rendered(html, 'html')).toBe(
      '<table><tr><th>Ship | line</th><th>Built</th></tr>\n<tr><td>Rowan|Alder</td><td>1987</td></tr></table>',
    );
  });

  test('of a long table the answer comes with its header, in their places', async () => {
    const rows = Array.from({ length: 60 }, (_, day) => `<tr><td>Day ${day}\n<td>0${day % 9}:00\n<td>Alder`);
    const content = `<h2>Departures</h2><table><thead><tr><th>Day<th>Leaves<th>Ship</thead><tbody>${rows.join('')}
      <tr><td>Easter<td>11:45<td>Rowan</tbody></table>`;
    const result = await compressedPage(
      {
        query: 'When does the Rowan leave at Easter?',
        documents: [{ id: 'page', content, format: 'html' }],
        budget: { tokens: 120 },
      },
      { stages: ['htmlrag', 'sentences'], output: 'html' },
    );
    expect(result.context).toContain(
      '<table><tr><th>Day</th><th>Leaves</th><th>Ship</th></tr>\n<tbody><tr><td>Easter</td><td>11:45</td><td>Rowan</td></tr></tbody></table>',
    );
    expect(result.context).not.toContain('Alder');
  });

  test('pages that are no HTML get the elements of their layout', async () => {
    const content =
      '# Ships\n\nThe *Rowan* & others:\n\n1. Rowan\n   - old\n2. Alder\n\n> Slow.\n\n| Ship | Cars |\n|---|---|\n| Rowan | 60 |\n\n```\na < b\n```\n';
    const { documents } = await compressedPage(
      { query: 'Rowan', documents: [{ id: 'ships.md', content }] },
      { stages: [], output: 'html' },
    );
    expect(documents[0]!.content).toBe(
      `<h1>Ships</h1>
<p>The *Rowan* &amp; others:</p>
<ol><li>Rowan</li>
<ul><li>old</li></ul>
<li>Alder</li></ol>
<blockquote>Slow.</blockquote>
<table><tr><th>Ship</th><th>Cars</th></tr>
<tr><td>Rowan</td><td>60</td></tr></table>
<pre>a &lt; b</pre>`,
    );
  });
});

test('Markdown: headings, lists, tables with their delimiter row, quotes and fences', async () => {
  expect(
    await rendered(
      `<h2>Ships</h2><p>The line has:<ol start=3><li>Rowan<ul><li>old</ul></ol><blockquote>Slow.</blockquote>
       <table><tr><td><th>Cars<th>Crew<tr><th>Rowan<td>60<td>6</table><pre><code class="language-sh">ferry \`\`\`now</code></pre>`,
      'markdown',
    ),
  ).toBe(
    '## Ships\n\nThe line has:\n\n3. Rowan\n  - old\n\n> Slow.\n\n| | Cars | Crew\n---|---|---\nRowan | 60 | 6\n\n````sh\nferry ```now\n````',
  );
});

test('text: no markup but list markers and bars', async () => {
  expect(
    await rendered(
      '<h2>Ships</h2><p>a &lt; b</p><ul><li>Rowan</ul><table><tr><th>Ship<th>Cars<tr><td>Rowan<td>60</table><pre>x\n y</pre>',
      'text',
    ),
  ).toBe('Ships\n\na < b\n\n- Rowan\n\nShip | Cars\nRowan | 60\n\nx\n y');
});

test.each(outputs)('a page as sites write them, whole, as %s', async (output) => {
  const content = await rendered(ferryPage, output);
  expect(content).toContain('Caf\u00e9 M\u00fcller');
  expect(content).toContain('渡轮每天开出');
  if (output === 'html') expect(markupFaults(content)).toEqual([]);
});

describe('any small page', () => {
  // No words that tags are made of: verbatimFaults looks for the text between them.
  const text = fc.constantFrom(
    ...[
      'Rowan',
      'Built in 1987. Slow.',
      'fares',
      '3.75',
      'R&amp;D',
      'Draft &lt; 4.50 m',
      '5 > 4',
      'caf&eacute;',
      'x|y',
      'line<br>Break',
    ],
    ...[
      '渡轮每天开出。狗免费。',
      'one <b>two</b> <a href="/x">three</a>',
      'no&nbsp;break',
      'co&shy;op',
      '# no heading',
      '- no item',
    ],
  );
  const { block: anyBlock } = fc.letrec<Record<'block' | 'blocks' | 'item', string>>((tie) => ({
    blocks: fc.array(tie('block'), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('\n')),
    item: fc
      .tuple(text, fc.option(tie('block'), { nil: '' }))
      .map(([own, inner]) => `<li>${own}${inner}</li>`),
    block: fc.oneof(
      { depthSize: 'small', withCrossShrink: true },
      text.map((own) => `<p>${own}</p>`),
      fc.tuple(fc.integer({ min: 1, max: 4 }), text).map(([level, own]) => `<h${level}>${own}</h${level}>`),
      text.map((own) => `<pre>${own}\n  ${own}</pre>`),
      fc
        .array(fc.tuple(text, fc.option(text, { nil: '' }), fc.option(text, { nil: '' })), {
          minLength: 1,
          maxLength: 4,
        })
        .map((rows) => {
          const shown = rows.map((cells) => `<tr>${cells.map((own) => `<td>${own}`).join('')}`);
          return `<table><tr><th>Ship<th>Built<th>Note${shown.join('')}</table>`;
        }),
      fc
        .tuple(fc.constantFrom('ul', 'ol'), fc.array(tie('item'), { minLength: 1, maxLength: 3 }))
        .map(([list, items]) => `<${list}>${items.join('')}</${list}>`),
      fc
        .array(fc.tuple(text, text), { minLength: 1, maxLength: 2 })
        .map((terms) => `<dl>${terms.map(([term, said]) => `<dt>${term}<dd>${said}`).join('')}</dl>`),
      fc
        .tuple(
          fc.constantFrom('div', 'section', 'nav', 'aside', 'blockquote', 'article'),
          fc.option(text, { nil: '' }),
          tie('blocks'),
        )
        .map(([name, own, inner]) => `<${name}>${own}${inner}</${name}>`),
    ),
  }));
  const anyPage = fc.array(anyBlock, { minLength: 1, maxLength: 5 }).map((parts) => parts.join('\n'));

  describe.each(outputs)('as %s', (output) => {
    const pipelines: Pipeline[] = [];
    beforeAll(async () => {
      for (let i = 0; i < 2; i++)
        pipelines.push(await createPipeline({ stages: ['htmlrag'], output, cache: false }));
    });
    afterAll(() => Promise.all(pipelines.map((pipeline) => pipeline.close())));

    test('the same twice, verbatim, under the budget, well-formed', async () => {
      await fc.assert(
        fc.asyncProperty(
          anyPage,
          fc.option(fc.integer({ min: 0, max: 150 }), { nil: undefined }),
          fc.constantFrom('Rowan', 'fares 1987', '渡轮', 'zebra'),
          async (content, tokens, query) => {
            const documents: SourceDocument[] = [{ id: 'page', content, format: 'html' }];
            const request = { query, documents, ...(tokens !== undefined && { budget: { tokens } }) };
            const [first, second] = await Promise.all(
              pipelines.map((pipeline) => pipeline.compress(request)),
            );
            expect(verbatimFaults(first!, documents)).toEqual([]);
            if (tokens !== undefined) expect(first!.tokens.after).toBeLessThanOrEqual(tokens);
            expect(second).toEqual({ ...first, stages: second!.stages });
            if (output === 'html' && first!.documents.length > 0)
              expect(markupFaults(first!.documents[0]!.content)).toEqual([]);
          },
        ),
        { numRuns: 200 },
      );
    });
  });
});

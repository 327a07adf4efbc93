import { describe, expect, test } from 'vitest';
import { readHtml } from './html-faults.js';

const blocks = (html: string) => readHtml(html).blocks;

describe('tables', () => {
  test('a row brings its header row, the caption and the heading', () => {
    expect(
      blocks(
        `<h2>Fares</h2><table><caption>In euros</caption><thead><tr><th>Ticket<th>Adult<th>Child</thead>
         <tbody><tr><td>Single<td>4.20<td>2.10<tr><td>Day return<td>7.50<td>3.75</table>`,
      ),
    ).toEqual([
      'heading 2: Fares',
      'paragraph: In euros <0>',
      'row 1 header: Ticket | Adult | Child <1 0>',
      'row 1: Single | 4.20 | 2.10 <2 1 0>',
      'row 1: Day return | 7.50 | 3.75 <2 1 0>',
    ]);
  });

  test.each([
    ['th', '<tr><th>Ship<th>Built<tr><td>Rowan<td>1987'],
    ['th in the first column too', '<tr><th>Ship<th>Built<tr><th>Rowan<td>1987'],
    ['thead', '<thead><tr><td>Ship<td>Built</thead><tr><td>Rowan<td>1987'],
    ['thead without its end tag', '<thead><tr><td>Ship<td>Built<tbody><tr><td>Rowan<td>1987'],
    ['bold cells', '<tr><td><b>Ship</b><td><p><strong>Built</strong></p><tr><td>Rowan<td>1987'],
  ])('a header row is told by %s', (_, rows) => {
    expect(blocks(`<table>${rows}</table>`)).toEqual([
      'row 1 header: Ship | Built',
      'row 1: Rowan | 1987 <0>',
    ]);
  });

  test('names over numbers are a header row, names over names are none', () => {
    const table = (rows: readonly string[]) =>
      blocks(`<table>${rows.map((row) => `<tr><td>${row.split(' ').join('<td>')}`).join('')}</table>`);
    expect(table(['Ship Built Cars', 'Rowan 1987 60', 'Alder 2003 40'])[0]).toBe(
      'row 1 header: Ship | Built | Cars',
    );
    expect(table(['Rowan Oban Craignure', 'Alder Oban Colonsay'])[0]).toBe('row 1: Rowan | Oban | Craignure');
  });

  test('an empty corner keeps its column', () => {
    expect(blocks('<table><tr><td><th>Adult<th>Child<tr><th>Single<td><td>2.10</table>')).toEqual([
      'row 1 header: | Adult | Child',
      'row 1: Single | | 2.10 <0>',
    ]);
  });

  test('a cell over several rows is needed by all of them, and keeps their columns', () => {
    expect(
      blocks(
        `<table><tr><th>Port<th>Day<th>Leaves<tr><td rowspan=2>Craignure<td>Monday<td>09:00
         <tr><td>Tuesday<td>10:30<tr><td>Colonsay<td>Friday<td>11:00</table>`,
      ),
    ).toEqual([
      'row 1 header: Port | Day | Leaves',
      'row 1: Craignure | Monday | 09:00 <0>',
      'row 1: | Tuesday | 10:30 <1 0>',
      'row 1: Colonsay | Friday | 11:00 <0>',
    ]);
  });

  test('a row of one cell beside a cell from above names no others', () => {
    expect(
      blocks(
        `<table><tr><th>Port<th>Day<tr><td rowspan=2>Oban<td>Monday<tr><td>Tuesday<tr><td>Colonsay<td>Friday</table>`,
      ),
    ).toEqual([
      'row 1 header: Port | Day',
      'row 1: Oban | Monday <0>',
      'row 1: | Tuesday <1 0>',
      'row 1: Colonsay | Friday <0>',
    ]);
  });

  test('a cell of 0 rows goes down to the end of its part of the table', () => {
    expect(
      blocks(
        `<table><thead><tr><th>Port<th>Day</thead><tbody><tr><td rowspan=0>Oban<td>Monday<tr><td>Tuesday</tbody>
         <tbody><tr><td>Colonsay<td>Friday</tbody></table>`,
      ),
    ).toEqual([
      'row 1 header: Port | Day',
      'row 1: Oban | Monday <0>',
      'row 1: | Tuesday <1 0>',
      'row 1: Colonsay | Friday <0>',
    ]);
  });

  test('header rows over header rows, with cells over columns', () => {
    expect(
      blocks(
        `<table><thead><tr><th rowspan=2>Ship<th colspan=2>Capacity<th>Built<tr><th>Cars<th>People</thead>
         <tr><td>Rowan<td>60<td>450<td>1987<tr><td>Alder<td colspan=2>laid up<td>2003</table>`,
      ),
    ).toEqual([
      'row 1 header: Ship | Capacity | | Built',
      'row 1 header: | Cars | People <0>',
      'row 1: Rowan | 60 | 450 | 1987 <1 0>',
      'row 1: Alder | laid up | | 2003 <1 0>',
    ]);
  });

  test('a row of one cell across the table names those after it', () => {
    expect(
      blocks(
        `<table><tr><th>Ship<th>Cars<tr><td colspan=2>In service<tr><td>Rowan<td>60
         <tr><td colspan=2>Laid up<tr><td>Alder<td>40</table>`,
      ),
    ).toEqual([
      'row 1 header: Ship | Cars',
      'row 1: In service <0>',
      'row 1: Rowan | 60 <1 0>',
      'row 1: Laid up <0>',
      'row 1: Alder | 40 <3 0>',
    ]);
  });

  test('column names that come again are left out', () => {
    const { blocks: found, left } = readHtml(
      '<table><tr><th>Ship<th>Cars<tr><td>Rowan<td>60<tr><th>Ship<th>Cars<tr><td>Alder<td>40</table>',
    );
    expect(found).toEqual(['row 1 header: Ship | Cars', 'row 1: Rowan | 60 <0>', 'row 1: Alder | 40 <0>']);
    expect(left['column names again']).toEqual(['<tr><th>Ship<th>Cars']);
  });

  test('a list of properties has no header row but its caption', () => {
    expect(
      blocks('<table><caption>The Rowan</caption><tr><th>Built<td>1987<tr><th>Length<td>48.5 m</table>'),
    ).toEqual(['paragraph: The Rowan', 'row 1: Built | 1987 <0>', 'row 1: Length | 48.5 m <0>']);
  });

  test('cells hold paragraphs, line breaks and lists in one line', () => {
    expect(
      blocks(
        '<table><tr><th>Ship<th>Ports<tr><td><p>Rowan<p>(old)<td>Oban<br>Craignure<ul><li>Mull</ul></table>',
      ),
    ).toEqual(['row 1 header: Ship | Ports', 'row 1: Rowan (old) | Oban Craignure Mull <0>']);
  });

  test('a line before a table leads in to it; a sentence does not', () => {
    const table = '<table><tr><th>Ticket<th>Adult<tr><td>Single<td>4.20</table>';
    expect(blocks(`<p>Fares from May:</p>${table}`).slice(1)).toEqual([
      'row 1 header: Ticket | Adult <0>',
      'row 1: Single | 4.20 <1 0>',
    ]);
    expect(blocks(`<p>We sail daily.</p>${table}`)[1]).toBe('row 1 header: Ticket | Adult');
  });

  test.each([
    ['role=presentation', '<table role="presentation"><tr><th>One<th>Two<tr><td>Three<td>Four</table>'],
    ['one column', '<table><tr><td>One<tr><td>Two<tr><td>Three<tr><td>Four</table>'],
    ['a heading inside', '<table><tr><td><h2>One</h2>Two<td>Three<tr><td>Four<td>Five</table>'],
    [
      'a column of text beside the menu',
      `<table><tr><td>Menu<td>${'The Rowan sails at nine. '.repeat(20)}<tr><td>Links<td>End</table>`,
    ],
  ])('a table that lays out the page is none: %s', (_, html) => {
    const found = blocks(html);
    expect(found.length).toBeGreaterThanOrEqual(4);
    expect(found.filter((block) => block.startsWith('row'))).toEqual([]);
  });

  test('a layout of one cell holds paragraphs', () => {
    expect(blocks('<table><tr><td><p>The Rowan sails.</p><p>Dogs travel free.</p></table>')).toEqual([
      'paragraph: The Rowan sails.',
      'paragraph: Dogs travel free.',
    ]);
  });

  test('of tables inside tables the inner ones hold data, each with its own header', () => {
    const inner = (ship: string) => `<table><tr><th>Ship<th>Built<tr><td>${ship}<td>1987</table>`;
    expect(blocks(`<table><tr><td><p>Left.</p>${inner('Rowan')}<td>${inner('Alder')}</table>`)).toEqual([
      'paragraph: Left.',
      'row 1 header: Ship | Built',
      'row 1: Rowan | 1987 <1>',
      'row 2 header: Ship | Built',
      'row 2: Alder | 1987 <3>',
    ]);
  });

  test('elements left open in a cell end with it', () => {
    expect(
      blocks(
        `<table><tr><td><font size=2><b>Ship<td><font size=2><b>Built<tr><td><p>Rowan<td><i>1987
         <tr><td><p>Alder<th><a href="/a">2003<tfoot><tr><td>Ships<td>2</table>After.`,
      ),
    ).toEqual([
      'row 1 header: Ship | Built',
      'row 1: Rowan | 1987 <0>',
      'row 1: Alder | 2003 <0>',
      'row 1: Ships | 2 <0>',
      'paragraph: After.',
    ]);
  });
});

describe('lists', () => {
  test('an item brings the items above it and the line that leads in', () => {
    expect(
      blocks(
        `<h2>Ships</h2><p>The line has two ships:<ul><li>Rowan<ul><li>built in 1987<ul><li>at Troon</ul></ul>
         <li>Alder</ul>`,
      ),
    ).toEqual([
      'heading 2: Ships',
      'paragraph: The line has two ships: <0>',
      'item 0-: Rowan <1 0>',
      'item 1-: built in 1987 <2 1 0>',
      'item 2-: at Troon <3 2 1 0>',
      'item 0-: Alder <1 0>',
    ]);
  });

  test('what follows in an item hangs on its beginning', () => {
    expect(blocks('<ul><li>Rowan<p>She is slow.<pre>ferry status</pre><li><p>Alder</ul>')).toEqual([
      'item 0-: Rowan',
      'paragraph: She is slow. <0>',
      'code: ferry status <0>',
      'item 0-: Alder',
    ]);
  });

  test('a short line beside a list leads in, a sentence and a line elsewhere do not', () => {
    const list = '<ul><li>Rowan</ul>';
    expect(blocks(`<p>Our ships</p>${list}`)[1]).toBe('item 0-: Rowan <0>');
    expect(blocks(`<p>We sail daily.</p>${list}`)[1]).toBe('item 0-: Rowan');
    expect(blocks(`<div><div><div><p>Our ships</p></div></div></div>${list}`)[1]).toBe('item 0-: Rowan');
    expect(blocks(`<div><div><div><p>Our ships:</p></div></div></div>${list}`)[1]).toBe('item 0-: Rowan <0>');
    expect(blocks(`<nav><p>Our ships:</p></nav>${list}`)[1]).toBe('item 0-: Rowan');
  });

  test('numbers are those that the page shows', () => {
    expect(
      blocks('<ol start="3"><li>Park<li value=7>Walk<li>Wait</ol><ol><li>Board<ol><li>Sit</ol></ol>'),
    ).toEqual(['item 03.: Park', 'item 07.: Walk', 'item 08.: Wait', 'item 01.: Board', 'item 11.: Sit <3>']);
    // Counting down begins at the number of items, which would have to be known.
    expect(blocks('<ol reversed><li>Park<li>Walk</ol>')).toEqual(['item 0-: Park', 'item 0-: Walk']);
  });

  test('a definition brings its terms', () => {
    expect(
      blocks('<dl><dt>Length<dd>48.5 m<dt>Master<dt>Captain<dd><p>J. Oduya<p>of Oban<dd>since 2011</dl>'),
    ).toEqual([
      'paragraph: Length',
      'item 0-: 48.5 m <0>',
      'paragraph: Master',
      'paragraph: Captain <2>',
      'item 0-: J. Oduya <3 2>',
      'paragraph: of Oban <4 3 2>',
      'item 0-: since 2011 <3 2>',
    ]);
  });

  test('definitions grouped by div, with the end tags left out', () => {
    expect(
      blocks('<dl><div><dt>Length<dd><p>48.5 m</div><div><dt>Crew<dd>Six<dt>Flag<dd>none</div></dl>'),
    ).toEqual([
      'paragraph: Length',
      'item 0-: 48.5 m <0>',
      'paragraph: Crew',
      'item 0-: Six <2>',
      'paragraph: Flag',
      'item 0-: none <4>',
    ]);
  });

  test('a term after an open paragraph is no part of the definition before', () => {
    expect(blocks('<dl><dt>Length<dd><p>48.5 m<dt>Crew<dd><b>Six<dt>Flag<dd>none</dl>')).toEqual([
      'paragraph: Length',
      'item 0-: 48.5 m <0>',
      'paragraph: Crew',
      'item 0-: Six <2>',
      'paragraph: Flag',
      'item 0-: none <4>',
    ]);
  });
});

describe('headings', () => {
  test('a paragraph brings the nearest, which closes those of its level and below', () => {
    expect(
      blocks(
        `<h1>Line</h1><p>Old.<h2>Ships</h2><h3>Rowan</h3><p>Built in 1987.<h2>Fares</h2><p>Low.
         <h1>Jobs</h1><p>Cooks.`,
      ),
    ).toEqual([
      'heading 1: Line',
      'paragraph: Old. <0>',
      'heading 2: Ships',
      'heading 3: Rowan',
      'paragraph: Built in 1987. <3 2>',
      'heading 2: Fares',
      'paragraph: Low. <5>',
      'heading 1: Jobs',
      'paragraph: Cooks. <7>',
    ]);
  });

  test('a heading that holds markup, a button or a link to itself is its text', () => {
    const { blocks: found, left } = readHtml(
      '<h2><button>Can <b>dogs</b> travel?</button></h2><p>Yes.<h3>Fares<a class="headerlink" href="#f">#</a></h3>',
    );
    expect(found).toEqual(['heading 2: Can dogs travel?', 'paragraph: Yes. <0>', 'heading 3: Fares']);
    expect(left['link mark']).toEqual(['<a class="headerlink" href="#f">#</a>']);
  });

  test("an aside's headings end with it, those of the page's header do not", () => {
    const prose = 'The Harbour Line runs every day of the year except on the twenty-fourth of December.';
    expect(
      blocks(
        `<header><h1>Line</h1></header><p>${prose}</p><aside><h2>Jobs</h2><p>Cooks.</p></aside><p>${prose}</p>`,
      ),
    ).toEqual([
      'heading 1: Line',
      `paragraph: ${prose} <0>`,
      'heading 2: Jobs',
      'paragraph: Cooks. <2>',
      `paragraph: ${prose} <0>`,
    ]);
  });

  test('an empty heading governs nothing', () => {
    expect(blocks('<h1>Line</h1><h2><img src="x"></h2><p>Old.')).toEqual([
      'heading 1: Line',
      'paragraph: Old. <0>',
    ]);
  });
});

describe('what else holds text', () => {
  test('figures: the caption is a paragraph, and names the table beside it', () => {
    expect(
      blocks(
        `<figure><img src="r.jpg" alt="x"><figcaption>The Rowan, 1987</figcaption></figure><p>After.
         <figure><figcaption>Table 1. Fares</figcaption><table><tr><th>Ticket<th>Adult<tr><td>Single<td>4.20</table></figure>`,
      ),
    ).toEqual([
      'paragraph: The Rowan, 1987',
      'paragraph: After.',
      'paragraph: Table 1. Fares',
      'row 1 header: Ticket | Adult <2>',
      'row 1: Single | 4.20 <3 2>',
    ]);
  });

  test('quotes and listings are led in to by a colon', () => {
    expect(
      blocks('<p>He said:<blockquote><p>It sails.<p>At nine.</blockquote><p>Run this:<pre>ferry</pre>'),
    ).toEqual([
      'paragraph: He said:',
      'quote: It sails. <0>',
      'quote: At nine. <0>',
      'paragraph: Run this:',
      'code: ferry <3>',
    ]);
  });

  test('all that is folded hangs on its summary, and what comes next on a line that is bold', () => {
    expect(
      blocks(
        '<details><summary>Dogs</summary><p>On a lead.</p><p>They pay half.</p></details><p>After.</p>' +
          '<p><strong>Bicycles</strong></p><p>At the bow.</p><p><b>Cars</b> pay more.</p><p>By length.</p>' +
          '<nav><p><b>Menu</b></p></nav><p>Elsewhere.</p>',
      ),
    ).toEqual([
      'paragraph: Dogs',
      'paragraph: On a lead. <0>',
      'paragraph: They pay half. <0>',
      'paragraph: After.',
      'paragraph: Bicycles',
      'paragraph: At the bow. <4>',
      'paragraph: Cars pay more.',
      'paragraph: By length.',
      'paragraph: Menu',
      'paragraph: Elsewhere.',
    ]);
  });

  test('details, text areas of layout and text by itself', () => {
    expect(
      blocks('Bare <i>text</i><details><summary>Dogs?</summary>Yes.</details>and <div>more</div> after'),
    ).toEqual([
      'paragraph: Bare text',
      'paragraph: Dogs?',
      'paragraph: Yes. <1>',
      'paragraph: and',
      'paragraph: more',
      'paragraph: after',
    ]);
  });

  test('a feed: items, their titles and descriptions, and character data', () => {
    const feed = `<?xml version="1.0"?><rss version="2.0"><channel><title>Ferry news</title>
      <item><title>Rowan late</title><description><![CDATA[An hour & more]]></description></item>
      <item><title>Alder sold</title><description>To Oban</description></item></channel></rss>`;
    expect(blocks(feed)).toEqual([
      'heading 2: Rowan late',
      'paragraph: An hour & more <0>',
      'heading 2: Alder sold',
      'paragraph: To Oban <2>',
    ]);
  });
});

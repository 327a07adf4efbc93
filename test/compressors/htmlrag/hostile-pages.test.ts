import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { extractPage } from '../../../compressors/extract.js';
import { extracted, outline } from '../page-faults.js';
import { ferryPage } from './ferry-page.js';
import { htmlFaults, readHtml } from './html-faults.js';

/** What a page says, and that nothing of it is lost. */
function texts(html: string): string[] {
  const page = extracted(html, 'html');
  expect(htmlFaults(html, page)).toEqual([]);
  return page.units.map(({ text }) => text);
}

describe('a page that ends anywhere', () => {
  test('the page itself is read as it is meant', () => {
    const { blocks, left } = readHtml(ferryPage);
    expect(blocks).toEqual([
      'item 0-: Timetable',
      'item 0-: Fares',
      'item 0-: Jobs',
      'paragraph: We use cookies.',
      'heading 1: Winter timetable',
      'paragraph: The Harbour Line runs every day — except on 24 December. Café Müller on board serves fish & chips for €9.50 <all day>; R&D pays for it © 2024. <4>',
      'heading 2: Departures',
      'paragraph: From Oban, times are local <6>',
      'row 1 header: Port | Day | Leaves <7 6>',
      'row 1: Craignure | Monday | 09:00 <8 7 6>',
      'row 1: | Tuesday | 10:30 <9 8 7 6>',
      'row 1: Colonsay | no service in winter <8 7 6>',
      'heading 2: Before you travel',
      'paragraph: Bring these: <12>',
      'item 02.: Your ticket, printed or on a phone <13 12>',
      'item 03.: A valid passport <13 12>',
      'item 1-: adults: ten years <15 13 12>',
      'item 1-: children: five years <15 13 12>',
      'item 04.: Warm clothes <13 12>',
      'paragraph: The deck is open. <18 13 12>',
      'heading 3: For developers',
      'paragraph: Times come as JSON: <20 12>',
      `code sh: curl -s https://ferry.example/api?day=1&port=oban |\n  jq '.[] | select(.leaves < "10:00")' <21 20 12>`,
      'paragraph: Length <20 12>',
      'item 0-: 48.5 m <23 20 12>',
      'paragraph: Master <20 12>',
      'paragraph: Captain <25 20 12>',
      'item 0-: J. K. Odúya <26 25 20 12>',
      'heading 2: 渡轮时刻表',
      'paragraph: 渡轮每天开出，十二月二十四日除外。\n狗免费乘船。 <28>',
      'quote: 🚢 The quietest crossing of the west. <28>',
      'paragraph: The Rowan at Troon, 1987 <28>',
      'heading 2: Related',
      'paragraph: Trains to Glasgow <32>',
      'paragraph: © Harbour Line. All rights reserved. Privacy <28>',
    ]);
    expect(Object.keys(left).sort()).toEqual([
      'comment',
      'declaration',
      'form control',
      'hidden',
      'script',
      'shown without scripts only',
      'style',
      'template',
      'title: shown above the document',
    ]);
  });

  test('cut at its end', () => {
    for (let end = 0; end < ferryPage.length; end += 5) {
      const cut = ferryPage.slice(0, end);
      const page = extracted(cut, 'html');
      expect(htmlFaults(cut, page), `cut at ${end}`).toEqual([]);
    }
  });

  test('cut at its beginning', () => {
    for (let start = 1; start < ferryPage.length; start += 7) {
      const cut = ferryPage.slice(start);
      const page = extracted(cut, 'html');
      expect(htmlFaults(cut, page), `cut at ${start}`).toEqual([]);
    }
  });

  test.each([
    ['in a tag', '<a href="/gone', 'unfinished tag'],
    ['after an attribute', '<a href="/gone" ', 'unfinished tag'],
    ['in an end tag', '</gone', 'unfinished tag'],
    ['after the name of an end tag', '</div gone', 'unfinished tag'],
    ['in a declaration', '<!DOCTYPE gone', 'unfinished tag'],
    ['in a comment', '<!-- gone --', 'comment'],
    ['in a script', '<script>gone()</scr', 'script'],
  ])('cut %s: the rest is left out', (_, end, reason) => {
    const { blocks, left } = readHtml(`<p>The Rowan sails at nine.${end}`);
    expect(blocks).toEqual(['paragraph: The Rowan sails at nine.']);
    expect(left[reason]!.join('')).toContain('gone');
  });

  test('what stands before the cut is read the same', () => {
    const end = ferryPage.indexOf('<h2>Before you travel');
    const whole = readHtml(ferryPage).blocks;
    const cut = readHtml(ferryPage.slice(0, end)).blocks;
    expect(cut).toEqual(whole.slice(0, cut.length));
    expect(cut.at(-1)).toContain('no service in winter');
  });
});

test('a long page is read the same, wherever reading pauses', () => {
  const expected = outline(extracted(ferryPage, 'html'));
  // Reading pauses at the first tag past 64 Ki code units: the border passes over the whole page.
  for (let before = 65_536 - ferryPage.length; before <= 65_536; before += 7) {
    const html = `<!--${'-'.repeat(before - 7)}-->${ferryPage}`;
    expect(outline(extracted(html, 'html')), `border at ${65_536 - before}`).toEqual(expected);
  }
});

describe('nesting', () => {
  const elements = ['div', 'b', 'a', 'blockquote', 'aside'];

  test.each(elements)('10,000 and 60,000 %s deep', (name) => {
    for (const depth of [10_000, 60_000]) {
      expect(
        texts(`<p>Top</p>${`<${name}>`.repeat(depth)}Deep${`</${name}>`.repeat(depth)}<p>End</p>`),
      ).toEqual(['Top', 'Deep', 'End']);
      expect(texts(`<p>Top</p>${`<${name}>`.repeat(depth)}Deep`)).toEqual(['Top', 'Deep']);
    }
  });

  test.each([
    ['lists', '<ul><li>Item', 10_000],
    ['lists of definitions', '<dl><dd>Item', 10_000],
    ['tables', '<table><tr><td>Item', 10_000],
    ['quotes with text', '<blockquote>Item', 20_000],
    ['navigation', '<nav><a>Item', 10_000],
  ])('%s in themselves', (_, open, depth) => {
    const found = texts(open.repeat(depth));
    expect(found).toHaveLength(depth);
    expect(new Set(found)).toEqual(new Set(['Item']));
  });
});

describe('markup that nobody closed, or opened', () => {
  // Quadratic time would take hours here.
  test.each([
    ['paragraphs', '<p>Text', 30_000],
    ['items', '<li>Text', 30_000],
    ['items after open inline elements', `${'<b>'.repeat(1_000)}<li></li>`, 500],
    ['rows', '<tr><td>Text<td>Text', 20_000],
    ['headings', '<h1>Text<h2>Text', 20_000],
    ['cells over all rows and columns', '<td rowspan=0 colspan=1000>Text', 20_000],
    ['options', '<option>Text', 30_000],
    ['comments', '<!-- Text', 30_000],
    ['tags', '<p Text', 30_000],
    ['end tags', '</div></p></b></x', 20_000],
    ['brackets', '<', 200_000],
    ['references', '&', 200_000],
    ['character data', '<![CDATA[', 25_000],
    ['scripts', '<script>Text', 25_000],
    ['titles', '<title>Text', 25_000],
    ['templates', '<template>Text', 25_000],
    ['hidden parts', '<div hidden>Text', 25_000],
    ['hidden parts with articles', '<div hidden><article>Text', 20_000],
  ])('%s', (_, part, count) => {
    expect(() => extractPage(part.repeat(count), 'html')).not.toThrow();
    expect(() => extractPage(`<table>${part.repeat(count)}`, 'html')).not.toThrow();
  });

  test('a table of 20,000 rows without an end tag', () => {
    const found = texts(`<table><tr><th>Day<th>Ships${'<tr><td>Monday<td>2'.repeat(20_000)}`);
    expect(found).toHaveLength(20_001);
    expect(found.at(-1)).toBe('Monday | 2');
  });

  test('50,000 attributes on one element', () => {
    const many = Array.from({ length: 50_000 }, (_, index) => `data-a${index}="v${index}"`).join(' ');
    expect(texts(`<p ${many}>Text</p>`)).toEqual(['Text']);
    expect(texts(`<p ${many} hidden>Text</p><p>End`)).toEqual(['End']);
    expect(texts(`<p ${'class="a" '.repeat(50_000)}>Text</p>`)).toEqual(['Text']);
  });

  test('an attribute of a megabyte', () => {
    expect(texts(`<p class="${'nav '.repeat(250_000)}" style="${'x:y;'.repeat(250_000)}">Text</p>`)).toEqual([
      'Text',
    ]);
  });
});

describe('odd characters', () => {
  test('halves of surrogate pairs stay as they are', () => {
    const html = '<p>A \ud83d half</p><p>\ude00</p><p title="\ud83d">x&#x1F6A2;\udea2</p>';
    expect(texts(html)).toEqual(['A \ud83d half', '\ude00', 'x\ud83d\udea2\udea2']);
  });

  test('NUL and other control characters do', () => {
    expect(texts('<p>A\0B\u0001C</p><\0p>D</p><p>E')).toEqual(['A\0B\u0001C', '<\0p>D', 'E']);
  });

  test('a byte order mark, and spaces that are no ASCII', () => {
    expect(texts('\ufeff<!doctype html><p>\u3000渡轮\u2003每天\u200b</p>')).toEqual(['渡轮 每天']);
  });
});

const soup = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        ...['word', 'Foo. Bar', '渡轮', 'a|b', ' ', '\n', '\u00a0', '\u00ad', '\u200b', '\ud83d', '\0'],
        ...[
          '&amp;',
          '&copy',
          '&nbsp;',
          '&shy;',
          '&#8364;',
          '&#x1F6A2',
          '&bogus;',
          '&',
          '&#',
          '&NotEqualTilde;',
        ],
        ...[
          '<p>',
          '</p>',
          '<div>',
          '</div>',
          '<b>',
          '</b>',
          '<a href="/x">',
          '</a>',
          '<br>',
          '<hr/>',
          '<wbr>',
        ],
        ...['<ul>', '</ul>', '<ol start="3">', '</ol>', '<li>', '<dl>', '<dt>', '<dd>', '</dl>'],
        ...[
          '<table>',
          '<caption>',
          '<thead>',
          '<tbody>',
          '<tr>',
          '<td>',
          '<td rowspan="2">',
          '<td colspan=3>',
        ],
        ...['<th>', '</td>', '</tr>', '</table>', '<h1>', '</h1>', '<h2>', '</h2>', '<pre>', '</pre>'],
        ...['<nav>', '</nav>', '<aside class="sidebar">', '</aside>', '<main>', '</main>', '<figure>'],
        ...[
          '<figcaption>',
          '</figure>',
          '<blockquote>',
          '</blockquote>',
          '<details>',
          '<summary>',
          '</details>',
        ],
        ...['<script>', '</script>', '<style>', '</style>', '<template>', '</template>', '<!--', '-->'],
        ...[
          '<!doctype html>',
          '<?php ',
          '?>',
          '<svg>',
          '</svg>',
          '<math>',
          '<select>',
          '<option>',
          '<button>',
        ],
        ...['<p hidden>', '<span style="display:none">', '</span>', '<div role="navigation">', '<section/>'],
        ...[
          '<ruby>',
          '<rt>',
          '<sub>',
          '</sub>',
          '<noscript>',
          '</noscript>',
          '<dialog>',
          '</dialog>',
          '<body>',
        ],
      ),
      fc.string({ unit: 'grapheme', maxLength: 3 }).map((text) => text.replace(/[<>"'&]/g, '')),
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(''));

test('any soup of tags: spans point to the text, and every letter is in a block or left out with a reason', () => {
  fc.assert(
    fc.property(soup, (html) => {
      expect(htmlFaults(html, extracted(html, 'html'))).toEqual([]);
    }),
    { numRuns: 2_000 },
  );
});

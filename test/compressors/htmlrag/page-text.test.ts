import { describe, expect, test } from 'vitest';
import { extracted } from '../page-faults.js';
import { readHtml } from './html-faults.js';

const blocks = (html: string) => readHtml(html).blocks;

/** What each stretch of a page's first block is made of, as it stands in the page. */
function sources(html: string): string[] {
  return extracted(html, 'html').units[0]!.spans.map(({ start, end }) => html.slice(start, end));
}

describe('white space', () => {
  test('is collapsed in text, and one line break is a space', () => {
    expect(blocks('<p>\n The\tRowan\r\n  sails <b> at</b>\n nine </p>')).toEqual([
      'paragraph: The Rowan sails at nine',
    ]);
  });

  test('is kept in listings, but for the line break after the tag and what ends the text', () => {
    expect(blocks('<pre>\n  if (a)\n\tb()\n\n  c()  \n\n</pre>')).toEqual(['code:   if (a)\n\tb()\n\n  c()']);
  });

  test('a listing keeps line breaks by tags, references and the language of its highlighter', () => {
    expect(blocks('<pre><code class="hljs language-ts">a &lt; b<br>c<div>d</div></code></pre>')).toEqual([
      'code ts: a < b\nc\nd',
    ]);
    expect(blocks('<pre class="brush: python">x  =  1</pre>')).toEqual(['code python: x  =  1']);
  });

  test('code within a line is text', () => {
    expect(blocks('<p>Run <code>ferry  now</code>.')).toEqual(['paragraph: Run ferry now.']);
  });

  test('br ends a line, two a paragraph; a sentence goes on over one', () => {
    expect(blocks('<p>1 Quay Street<br>Oban<br/>and <br>at Mull<br><br>Next')).toEqual([
      'paragraph: 1 Quay Street\nOban and at Mull',
      'paragraph: Next',
    ]);
    expect(blocks('<p>渡轮每天<br>开出')).toEqual(['paragraph: 渡轮每天 开出']);
  });

  test('elements side by side are words of their own, an index is part of its word', () => {
    expect(blocks('<p><b>Rowan</b><i>Alder</i> H<sub>2</sub>O super<wbr>structure')).toEqual([
      'paragraph: Rowan Alder H2O superstructure',
    ]);
  });

  test('a block without text ends the line, over one that is left out words keep apart', () => {
    expect(blocks('<div>Rowan<div class="clear"></div>Alder<p></p>Elm</div>')).toEqual([
      'paragraph: Rowan',
      'paragraph: Alder',
      'paragraph: Elm',
    ]);
    expect(blocks('<div>Rowan<div hidden>old</div>Alder</div>')).toEqual(['paragraph: Rowan Alder']);
    expect(blocks('<h2>Our<div><img src="x"></div>ships</h2><pre>a<div></div>b</pre>')).toEqual([
      'heading 2: Our ships',
      'code: a\nb <0>',
    ]);
    expect(blocks('<table><tr><th>Ship<th>Port<tr><td>Rowan<p></p>old<td>Oban</table>')[1]).toBe(
      'row 1: Rowan old | Oban <0>',
    );
    expect(blocks('<p>super<span></span>structure<script>x()</script>s')).toEqual([
      'paragraph: superstructures',
    ]);
  });
});

describe('character references', () => {
  test.each([
    ['named', 'Fish &amp; chips', 'Fish & chips', ['Fish', '&amp;', 'chips']],
    ['decimal', '&#8364;9', '€9', ['&#8364;', '9']],
    ['hexadecimal', '&#x20AC;9', '€9', ['&#x20AC;', '9']],
    ['beyond the first plane', '&#x1F6A2; ship', '🚢 ship', ['&#x1F6A2;', 'ship']],
    ['without a semicolon', '&copy 2024 AT&ampT', '© 2024 AT&T', ['&copy', '2024 AT', '&amp', 'T']],
    ['two characters', 'a&NotEqualTilde;b', 'a\u2242\u0338b', ['a', '&NotEqualTilde;', 'b']],
    ['of Windows-1252', '&#146;s', '\u2019s', ['&#146;', 's']],
    ['of markup', '&lt;b&gt;', '<b>', ['&lt;', 'b', '&gt;']],
    ['twice', '&amp;lt;', '&lt;', ['&amp;', 'lt;']],
    ['of nothing', 'R&D &bogus; & &;', 'R&D &bogus; & &;', ['R&D &bogus; & &;']],
    ['of no character', 'a&#0;b&#xD800;c', 'a\ufffdb\ufffdc', ['a', '&#0;', 'b', '&#xD800;', 'c']],
    ['spaces', 'a&nbsp;b&#160;&#32;&ensp;c', 'a b c', ['a', 'b', 'c']],
    ['soft hyphens', 'ser&shy;vice co\u00adop', 'service coop', ['ser', 'vice co', 'op']],
  ])('%s', (_, html, text, spans) => {
    const { units } = extracted(`<p>${html}</p>`, 'html');
    expect(units.map((unit) => unit.text)).toEqual([text]);
    expect(sources(`<p>${html}</p>`)).toEqual(spans);
    expect(blocks(`<p>${html}</p>`)).toHaveLength(1);
  });

  test('in listings every one is kept', () => {
    expect(blocks('<pre>a&nbsp;&nbsp;b&#10;c&#9;d</pre>')).toEqual(['code: a\u00a0\u00a0b\nc\td']);
  });

  test('in the title', () => {
    const { page } = extracted('<title>Fish &amp; chips &ndash; Oban</title><p>Open.', 'html');
    expect(page.title).toBe('Fish & chips – Oban');
  });
});

describe('what is left out has a reason', () => {
  test.each([
    ['comment', '<!-- gone -->', 'comment'],
    ['a comment that is none', '<!gone>', 'declaration'],
    ['a processing instruction', '<?php echo gone ?>', 'declaration'],
    ['script', '<script>if (a < b) gone()</script>', 'script'],
    ['style', '<style>.gone > p {}</style>', 'style'],
    ['template', '<template><p>gone</p></template>', 'template'],
    ['hidden', '<div hidden>gone</div>', 'hidden'],
    ['aria-hidden', '<span aria-hidden="true">gone</span>', 'hidden'],
    ['display:none', '<div style="color: red; DISPLAY : none">gone</div>', 'hidden'],
    ['visibility:hidden', '<p style="visibility:hidden">gone</p>', 'hidden'],
    ['a closed dialog', '<dialog>gone</dialog>', 'hidden'],
    ['noscript', '<noscript>gone</noscript>', 'shown without scripts only'],
    ['iframe', '<iframe>gone</iframe>', 'embedded page'],
    ['svg', '<svg><text>gone</text></svg>', 'drawing'],
    ['a button', '<button>gone</button>', 'form control'],
    ['a choice', '<select><option>gone<option>gone too</select>', 'form control'],
    ['how a character is read', '<ruby>漢<rt>gone</rt></ruby>', 'reading aid'],
    ['a mark of a footnote', '<sup class="reference">[gone]</sup>', 'link mark'],
    ['a second title', '<head><title>gone</title></head>', 'second title'],
  ])('%s', (_, html, reason) => {
    const page = `<title>Oban</title><p>The Rowan sails at nine.</p>${html}<p>Dogs travel free.</p>`;
    const { blocks: found, left } = readHtml(page);
    expect(found.join('\n')).not.toContain('gone');
    expect(found).toContain('paragraph: Dogs travel free.');
    expect(left[reason]!.join('')).toContain('gone');
    expect(left['title: shown above the document']).toEqual(['<title>Oban</title>']);
  });

  test.each([
    ['hidden until it is found', '<div hidden="until-found">The fares</div>'],
    ['aria-hidden="false"', '<div aria-hidden="false">The fares</div>'],
    ['an open dialog', '<dialog open>The fares</dialog>'],
    ['a style that hides nothing', '<p style="display: block; visibility: visible">The fares</p>'],
  ])('%s is not', (_, html) => {
    expect(blocks(html)).toEqual(['paragraph: The fares']);
  });

  test('a page that shows its content by a script keeps it', () => {
    const content = `<h1>Timetable</h1><p>${'The Harbour Line runs every day of the year, in all weathers. '.repeat(3)}</p>`;
    for (const html of [
      `<div id="app" style="display:none"><article>${content}</article></div><p hidden>Old`,
      `<dialog><main>${content}</main></dialog>`,
      `<div id="root"></div><noscript>${content}</noscript>`,
    ]) {
      expect(blocks(html)[0]).toBe('heading 1: Timetable');
    }
  });
});

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Format } from '../../compressors/page.js';
import { extractPage } from '../../compressors/extract.js';
import { sentenceUnits } from '../../compressors/unit.js';
import { loadTokenCounter } from '../../models/token-counter.js';
import { extracted, omitted, outline, pageFaults } from './page-faults.js';

function read(content: string, format: Format): { blocks: string[]; left: Record<string, string[]> } {
  const page = extracted(content, format);
  expect(pageFaults(content, page)).toEqual([]);
  return { blocks: outline(page), left: omitted(content, page) };
}

describe('Markdown', () => {
  const blocks = (...lines: string[]) => read(lines.join('\n'), 'markdown').blocks;

  test('headings govern what follows, and each other', () => {
    expect(
      blocks(
        '\ufeff# Ferry #',
        'One.',
        '',
        'Fares',
        '-----',
        'Two.',
        '### C#',
        'Three.',
        '# Ships',
        'Four.',
        '#tag',
      ),
    ).toEqual([
      'heading 1: Ferry',
      'paragraph: One. <0>',
      'heading 2: Fares',
      'paragraph: Two. <2>',
      'heading 3: C#',
      'paragraph: Three. <4 2>',
      'heading 1: Ships',
      'paragraph: Four. #tag <6>',
    ]);
  });

  test('paragraphs go on until a blank line, over hard breaks', () => {
    expect(blocks('one  ', 'two\\', '  three', '', 'four', '    five')).toEqual([
      'paragraph: one two three',
      'paragraph: four five',
    ]);
  });

  test('Chinese lines are joined without a space', () => {
    expect(blocks('渡轮每天', '开出。', 'Ferry')).toEqual(['paragraph: 渡轮每天开出。 Ferry']);
  });

  test('a year that begins a line begins no list', () => {
    expect(blocks('It was hot in', '1986. What a year', 'for', '1. one', '2. two')).toEqual([
      'paragraph: It was hot in 1986. What a year for',
      'item 01.: one <0>',
      'item 02.: two <0>',
    ]);
  });

  test('lists nest, hold paragraphs and code, and are led in by a colon', () => {
    expect(
      blocks(
        '# Use',
        'Do this:',
        '',
        '1. Install it',
        '   and wait.',
        '',
        '   Then check:',
        '',
        '   ```sh',
        '   ferry --version',
        '',
        '   ferry today',
        '   ```',
        '   - quick',
        '     * quicker',
        '2. Run it',
        '',
        'Done.',
        '',
        '## More',
        '+ last',
      ),
    ).toEqual([
      'heading 1: Use',
      'paragraph: Do this: <0>',
      'item 01.: Install it and wait. <1 0>',
      'paragraph: Then check: <2 1 0>',
      'code sh:    ferry --version\n\n   ferry today <3 2 1 0>',
      'item 1-: quick <2 1 0>',
      'item 2*: quicker <5 2 1 0>',
      'item 02.: Run it <1 0>',
      'paragraph: Done. <0>',
      'heading 2: More',
      'item 0+: last <9>',
    ]);
  });

  test('a question, a bold line and a colon lead in to what comes next, a line to a list', () => {
    expect(
      blocks(
        '# Help',
        '**How do I join?**',
        '',
        'Ask at the desk.',
        '',
        'Bring a friend.',
        '',
        '**You need**',
        '',
        '1. a passport',
        '2. a photograph',
        '',
        'Both are copied.',
        '',
        'Opening hours',
        '- Monday',
        '',
        'Who is it for? Whom does it help?',
        '',
        '## What does it cost?',
        'Is it dear?',
        '',
        'Not at all:',
        '',
        '> two euros',
      ),
    ).toEqual([
      'heading 1: Help',
      'paragraph: **How do I join?** <0>',
      'paragraph: Ask at the desk. <1 0>',
      'paragraph: Bring a friend. <1 0>',
      'paragraph: **You need** <0>',
      'item 01.: a passport <4 0>',
      'item 02.: a photograph <4 0>',
      'paragraph: Both are copied. <0>',
      'paragraph: Opening hours <0>',
      'item 0-: Monday <8 0>',
      'paragraph: Who is it for? Whom does it help? <0>',
      'heading 2: What does it cost?',
      'paragraph: Is it dear? <11>',
      'paragraph: Not at all: <12 11>',
      'quote: two euros <13 12 11>',
    ]);
  });

  test('one question does not lead in to another, nor a long paragraph that asks in passing', () => {
    const long = `${'It has been asked before, and often. '.repeat(6)}Who knows?`;
    expect(blocks('How old?', '', 'How dear?', '', 'Two euros.', '', long, '', 'Nobody.')).toEqual([
      'paragraph: How old?',
      'paragraph: How dear?',
      'paragraph: Two euros. <1>',
      `paragraph: ${long}`,
      'paragraph: Nobody.',
    ]);
  });

  test('what stands right after a list marker is read as a block of its own', () => {
    expect(blocks('- ```js', '  code();', '  ```', '- > said', '- - inner', '-', '  late')).toEqual([
      'code js:   code();',
      'quote: said',
      'item 1-: inner',
      'item 0-: late',
    ]);
  });

  test('fences keep their text as it is; without an end they end with what they are in', () => {
    expect(blocks('~~~ python title="x"', 'a = 1', '', '```', '~~~', 'text')).toEqual([
      'code python: a = 1\n\n```',
      'paragraph: text',
    ]);
    expect(blocks('- item', '  ```', '  code', 'text')).toEqual([
      'item 0-: item',
      'code:   code <0>',
      'paragraph: text',
    ]);
    expect(blocks('```', 'code', '', '# no heading')).toEqual(['code: code\n\n# no heading']);
  });

  test('indented code, with tabs too', () => {
    expect(blocks('Text.', '', '\tone()', '', '\t\ttwo()', 'Text.')).toEqual([
      'paragraph: Text.',
      'code: \tone()\n\n\t\ttwo()',
      'paragraph: Text.',
    ]);
  });

  test('tables: alignment, escaped bars, empty cells, the header governs', () => {
    const source = [
      '## Fares',
      '| Ticket | Adult \\| senior | Child |',
      '|:---|:--:|---:|',
      '| Single | 4.20 | |',
      'Return | 7.50 | 3.75',
      '',
      'a | b',
      '---',
      'no | table',
    ].join('\n');
    const { blocks: found, left } = read(source, 'markdown');
    expect(found).toEqual([
      'heading 2: Fares',
      'row 1 header: Ticket | Adult \\| senior | Child <0>',
      'row 1: Single | 4.20 <1 0>',
      'row 1: Return | 7.50 | 3.75 <1 0>',
      'heading 2: a | b',
      'paragraph: no | table <4>',
    ]);
    expect(left['table delimiter']).toEqual(['|:---|:--:|---:|']);
  });

  test('quotes hold paragraphs, lists, code and quotes, and end where they end', () => {
    expect(
      blocks(
        '> The ferry',
        '> is late',
        'again.',
        '>',
        '> - one',
        '>   more',
        '> - two',
        '>',
        '> # Note',
        '> ```sh',
        '> ls',
        '>',
        '> > cd',
        '> ```',
        '> > Deeper',
        '',
        '- item',
        '  > in it',
        '',
        'After.',
      ),
    ).toEqual([
      'quote: The ferry is late again.',
      'item 0-: one more',
      'item 0-: two',
      'quote: Note',
      'code sh: ls\n\n> cd',
      'quote: Deeper',
      'item 0-: item <5>',
      'quote: in it <6 5>',
      'paragraph: After.',
    ]);
  });

  test('front matter gives the title; a rule at the top is none', () => {
    const source = '---\ntitle: "Ferry notes"\ntags: [a]\n---\nText.';
    expect(read(source, 'markdown').blocks).toEqual([
      'code yaml: title: "Ferry notes"\ntags: [a]',
      'paragraph: Text.',
    ]);
    expect(extractPage(source, 'markdown').title).toBe('Ferry notes');
    expect(blocks('---', '', '# Slides', '', '---', '', 'Two')).toEqual([
      'heading 1: Slides',
      'paragraph: Two <0>',
    ]);
  });

  test('comments, rules and link definitions are left out and recorded; footnotes stay', () => {
    const source = [
      'See [id].',
      '',
      '[id]: https://ferry.example "Ferry"',
      '[note]: this is prose',
      '[^1]: A footnote.',
      '',
      '<!-- hidden',
      '# still hidden --> shown',
      '',
      '* * *',
      '',
      '<!-- never closed',
      'gone',
    ].join('\n');
    const { blocks: found, left } = read(source, 'markdown');
    expect(found).toEqual([
      'paragraph: See [id].',
      'paragraph: [note]: this is prose',
      'paragraph: [^1]: A footnote.',
      'paragraph: shown',
    ]);
    expect(left).toEqual({
      'link definition': ['[id]: https://ferry.example "Ferry"'],
      comment: ['<!-- hidden\n# still hidden -->', '<!-- never closed\ngone'],
      'thematic break': ['* * *'],
    });
  });

  test('HTML inside gives its text', () => {
    const source = [
      '<p align="center">',
      '  <img src="logo.png" alt="logo">',
      '</p>',
      '',
      '<details><summary>More <b>bold</b></summary>',
      '',
      'Inside <i>text</i>, <https://ferry.example>.',
      '',
      '</details>',
      '<table><tr><td>a</td><td>b</td></tr></table>',
      '<script>',
      'var x = 1;',
      '',
      'var y;',
      '</script>',
      'After.',
    ].join('\n');
    const { blocks: found, left } = read(source, 'markdown');
    expect(found).toEqual([
      'paragraph: More bold',
      'paragraph: Inside <i>text</i>, <https://ferry.example>.',
      'paragraph: a b',
      'paragraph: After.',
    ]);
    expect(left.script).toEqual(['<script>\nvar x = 1;\n\nvar y;\n</script>']);
    expect(left.markup).toContain('<img src="logo.png" alt="logo">');
  });

  test('line breaks of Windows', () => {
    expect(blocks('# Ferry\r', '\r', 'One\r', 'two.\r', '\r', '```\r', 'a\r', 'b\r', '```\r')).toEqual([
      'heading 1: Ferry',
      'paragraph: One two. <0>',
      'code: a\r\nb <0>',
    ]);
  });

  test('code, tables and headings are not split into sentences', async () => {
    const counter = await loadTokenCounter();
    const source =
      '# Is it open? Yes. No.\n\nOne. Two.\n\n```\nA. B.\nC. D.\n```\n\n| A. B. | C |\n|---|---|\n| D. E. | F |\n';
    const { page, units } = extracted(source, 'markdown');
    const sentences = units.flatMap((unit) => sentenceUnits(unit, page, counter));
    expect(sentences.map(({ text }) => text)).toEqual([
      'Is it open? Yes. No.',
      'One.',
      'Two.',
      'A. B.\nC. D.',
      'A. B. | C',
      'D. E. | F',
    ]);
    expect(
      sentences.map(({ spans }) => spans.map(({ start, end }) => source.slice(start, end)).join('¦')),
    ).toEqual(['Is it open? Yes. No.', 'One.', 'Two.', 'A. B.\nC. D.', 'A. B.¦C', 'D. E.¦F']);
  });
});

describe('text', () => {
  const blocks = (...lines: string[]) => read(lines.join('\n'), 'text').blocks;

  test('a paragraph wrapped by hand is one, however narrow', () => {
    expect(
      blocks(
        'The Rowan sails at nine from the',
        'old harbour. She was built in',
        '1987. She is slow, but she has',
        'never been late.',
        '',
        'Next.',
      ),
    ).toEqual([
      'paragraph: The Rowan sails at nine from the old harbour. She was built in 1987. She is slow, but she has never been late.',
      'paragraph: Next.',
    ]);
  });

  test('verses, addresses and records are lines of their own', () => {
    expect(
      blocks(
        'Tyger Tyger, burning bright,',
        'In the forests of the night;',
        'What immortal hand or eye,',
        'Could frame thy symmetry?',
      ),
    ).toHaveLength(4);
    expect(blocks('Harbour Line', '1 Quay Street', 'Port Ellen, Isle of Islay')).toHaveLength(3);
    const log = [
      '2024-06-03T10:00:00Z INFO  server listening on :8080',
      '2024-06-03T10:00:01Z WARN  slow request path=/fares ms=812 client=10.0.0.1 retry=2',
      '2024-06-03T10:00:02Z ERROR upstream refused',
      '2024-06-03T10:00:03Z INFO  stopped',
    ];
    expect(blocks(...log)).toEqual(log.map((line) => `paragraph: ${line.replace('  ', ' ')}`));
    const paragraphs = [60, 30, 80, 45].map((words) => 'ferry '.repeat(words).trim());
    expect(blocks(...paragraphs)).toHaveLength(4);
  });

  test('list items with their indented lines', () => {
    expect(blocks('Bring:', '- bread,', '  fresh', '- milk', '  * whole', '1) tea', 'and cups')).toEqual([
      'paragraph: Bring:',
      'item 0-: bread, fresh <0>',
      'item 0-: milk <0>',
      'item 1*: whole <0>',
      'item 01): tea <0>',
      'paragraph: and cups',
    ]);
  });

  test('tab- and comma-separated values are rows, the header governs', () => {
    const rows = [
      'row 1 header: ticket | adult | child',
      'row 1: single | 4.20 | 2.10 <0>',
      'row 1: return | 7.50 <0>',
    ];
    expect(blocks('ticket\tadult\tchild', 'single\t4.20\t2.10', 'return\t7.50\t')).toEqual(rows);
    expect(blocks('ticket,adult,child', 'single,4.20,2.10', 'return,7.50,')).toEqual(rows);
    expect(blocks('name;place', '"Obi; Ann";Rome', 'Lee;Bonn')).toEqual([
      'row 1 header: name | place',
      'row 1: "Obi; Ann" | Rome <0>',
      'row 1: Lee | Bonn <0>',
    ]);
    expect(blocks('1\t2', '3\t4', '5\t6')[0]).toBe('row 1: 1 | 2');
    expect(blocks('Tyger, burning', 'In forests, of night', 'What, hand')[0]).toContain('paragraph');
  });

  test('tables apart are two', () => {
    expect(blocks('a\t1', 'b\t2', '', 'c\t3')).toEqual(['row 1: a | 1', 'row 1: b | 2', 'row 2: c | 3']);
  });
});

describe('JSON', () => {
  const long = 'The Rowan sails at nine. '.repeat(20);
  const blocks = (value: unknown) => read(JSON.stringify(value), 'json').blocks;

  test('an array by its elements', () => {
    const records = [
      { id: 1, text: long },
      { id: 2, text: long },
    ];
    expect(blocks(records)).toEqual(records.map((record) => `code json: ${JSON.stringify(record)}`));
  });

  test('a small record stays whole', () => {
    expect(blocks({ ship: 'Rowan', built: 1987 })).toEqual(['code json: {"ship":"Rowan","built":1987}']);
  });

  test('an object by its members, short ones together', () => {
    expect(blocks({ id: 1, name: 'Rowan', text: long, more: [1, 2, 3], end: true })).toEqual([
      'code json: "id":1,"name":"Rowan"',
      `code json: "text":${JSON.stringify(long)}`,
      'code json: "more":[1,2,3]',
      'code json: "end":true',
    ]);
  });

  test('results in a wrapper, what stands around them too', () => {
    const source = JSON.stringify({ total: 2, data: { results: [{ text: long }, { text: long }] }, page: 1 });
    const { blocks: found, left } = read(source, 'json');
    expect(found).toEqual([
      'code json: "total":2',
      `code json: {"text":${JSON.stringify(long)}}`,
      `code json: {"text":${JSON.stringify(long)}}`,
      'code json: "page":1',
    ]);
    expect(left['JSON structure']).toEqual(['"data":', '"results":']);
  });

  test('JSON Lines by line', () => {
    const { blocks: found } = read('{"id": 1}\n{"id": 2}\r\n\n{"id":\n3}\n', 'json');
    expect(found).toEqual(['code json: {"id": 1}', 'code json: {"id": 2}', 'code json: {"id":\n3}']);
  });

  test.each([
    ['cut off', '{"a": [1, 2, {"b": "The Rowan sails at'],
    ['closed twice', '{"a": 1}} and more'],
    ['no JSON at all', 'The Rowan sails at nine.'],
    ['empty', '  '],
    ['a bare string', '"The Rowan"'],
  ])('%s: nothing is lost', (_, source) => {
    read(source, 'json');
  });

  test('strings with brackets and escapes', () => {
    expect(blocks([{ text: `a ]}\\" ${long}` }, { text: '[{' }])).toHaveLength(2);
  });

  test('many numbers come in groups', () => {
    const found = blocks(Array.from({ length: 10_000 }, (_, index) => index));
    expect(found.length).toBeGreaterThan(50);
    expect(found.length).toBeLessThan(200);
  });

  test.each([
    ['arrays', `${'['.repeat(100_000)}1${']'.repeat(100_000)}`],
    ['objects', `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`],
    ['arrays never closed', '['.repeat(100_000)],
  ])('100,000 %s deep', (_, source) => {
    read(source, 'json');
  });

  test('an array of 5 MB', () => {
    const source = `[${`${JSON.stringify({ text: long })},`.repeat(10_000)}{}]`;
    expect(source.length).toBeGreaterThan(4_900_000);
    expect(extractPage(source, 'json').blocks.length / 12).toBe(10_001);
  });
});

describe('code', () => {
  test('by its top-level pieces', () => {
    const pieces = [
      'import json\nfrom pathlib import Path',
      'def fares(path):\n    text = path.read_text()\n\n    return json.loads(text)',
      'try:\n    run()\n\nexcept Error:\n    pass',
    ];
    expect(read(pieces.join('\n\n\n'), 'code').blocks).toEqual(pieces.map((piece) => `code: ${piece}`));
  });

  test('a long piece is cut at blank lines', () => {
    const method = `  fares() {\n${'    run();\n'.repeat(60)}  }\n`;
    const source = `class Ferry {\n${Array.from({ length: 20 }, () => method).join('\n')}}\n`;
    const found = read(source, 'code').blocks;
    expect(found.length).toBeGreaterThan(4);
    expect(found.every((block) => block.length < 4_000)).toBe(true);
  });
});

describe('any document of any format', () => {
  const anyContent = fc
    .array(
      fc.oneof(
        fc.constantFrom(
          ...[
            'word',
            'Foo. Bar',
            'x|y',
            'a\tb',
            '渡',
            '•',
            '1986. ',
            'title: x',
            'Read:',
            '[a]: b',
            '[^1]: note',
          ],
          ...[
            '# ',
            '## ',
            '- ',
            '* ',
            '1. ',
            '2) ',
            '> ',
            '```',
            '```js',
            '~~~',
            '***',
            '---',
            '|---|---|',
            '===',
          ],
          ...['    ', '  ', '\t', '\n', '\n\n', '\r\n', ' ', '|', '\\|', '\\', ':', ',', ';', '"', '\u00a0'],
          ...[
            '<!--',
            '-->',
            '<div>',
            '</div>',
            '<script>',
            '</script>',
            '<b>',
            '{"a": ',
            '[1, 2]',
            '{',
            '}',
            '[',
          ],
          ...[']', '\ufeff', '\ud83d', '\0'],
        ),
        fc.string({ unit: 'binary', maxLength: 3 }),
      ),
      { maxLength: 50 },
    )
    .map((parts) => parts.join(''));

  test.each<Format>(['markdown', 'text', 'json', 'code'])(
    '%s: spans point to the text, and every letter is in a block or left out with a reason',
    (format) => {
      fc.assert(
        fc.property(anyContent, (content) => {
          expect(pageFaults(content, extracted(content, format))).toEqual([]);
        }),
        { numRuns: 1_000 },
      );
    },
  );

  // Quadratic time would take hours here.
  test.each([
    ['quote marks', '> '.repeat(200_000)],
    ['list markers', `${'- '.repeat(200_000)}x`],
    ['both', '> - '.repeat(100_000)],
    ['fences in items', '- ```\nx\n'.repeat(50_000)],
    ['comments never closed', '<!-- '.repeat(100_000)],
    ['HTML with comments', `<div>${'<!-- '.repeat(100_000)}`],
    ['one-row tables', '|a\n|-\n'.repeat(60_000)],
    ['bars', '|'.repeat(400_000)],
    ['brackets', '['.repeat(400_000)],
    ['lines', 'a b\n'.repeat(100_000)],
  ])('400 KB of %s in every format', (_, content) => {
    for (const format of ['markdown', 'text', 'json', 'code'] as const) extractPage(content, format);
  });
});

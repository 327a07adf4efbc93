import { describe, expect, test } from 'vitest';
import { detectFormat, looksBinary } from '../../compressors/detect-format.js';

const page = `<html lang="en"><head><title>Ferries</title></head><body><p>The Rowan runs daily.</p></body></html>`;

describe('the format of a document without a name', () => {
  test.each<[string, string, string]>([
    ['nothing', 'text', ''],
    ['white space', 'text', ' \n\n\t '],
    [
      'a README',
      'markdown',
      '# ferry-cli\n\nShows departures.\n\n## Install\n\n```sh\nnpm i ferry-cli\n```\n\n- fast\n- small\n',
    ],
    ['a heading under a line', 'markdown', 'Ferry notes\n===========\n\nThe Rowan sails at nine.\n'],
    ['a Markdown table', 'markdown', 'Fares of 2024:\n\n| Ticket | Price |\n|---|---|\n| Single | 4.20 |\n'],
    [
      'Markdown that is mostly prose',
      'markdown',
      'The **Rowan** sails at nine; see the [timetable](https://ferry.example/times) for more.\n',
    ],
    [
      'Markdown with front matter',
      'markdown',
      '---\ntitle: Ferries\ntags: [boats]\n---\n\nThe Rowan sails at nine.\n\n## Fares\n\nFour euros.\n',
    ],
    [
      'Markdown with HTML in it',
      'markdown',
      '# Ferry\n\n<p align="center"><img src="a.png"></p>\n\nThe Rowan sails daily.\n\n## Fares\n\n- adults: 4.20\n- children: 2.10\n\n<details><summary>More</summary>\n\nNothing.\n\n</details>\n',
    ],
    [
      'a README that begins with HTML',
      'markdown',
      '<p align="center">\n  <img src="logo.png" alt="logo">\n</p>\n\n# Ferry\n\nShows departures of ferries, from the command line.\n\n## Install\n\n```sh\nnpm i ferry-cli\n```\n\n## Use\n\n- `ferry today`\n- `ferry fares`\n',
    ],
    [
      'Markdown that talks of tags',
      'markdown',
      '# Tags\n\nUse `<div>`, `<p>`, `<a>`, `<ul>`, `<li>` and `<br>`.\n',
    ],
    ['a page', 'html', page],
    ['a page with a doctype', 'html', `<!DOCTYPE html>\n${page}`],
    ['a page after a byte order mark', 'html', `\ufeff${page}`],
    ['a page after a comment', 'html', `<!-- saved from ferry.example -->\n${page}`],
    ['XHTML', 'html', `<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE html>\n${page}`],
    ['a fragment', 'html', '<div class="card"><h2>Rowan</h2><p>Built in 1987.</p></div>'],
    [
      'a fragment that begins with text',
      'html',
      'Fares<br>\n<table><tr><td>Single</td><td>4.20</td></tr>\n<tr><td>Return</td><td>7.50</td></tr></table>\n<p>Children pay half.</p>',
    ],
    [
      'an RSS feed',
      'html',
      '<?xml version="1.0"?>\n<rss version="2.0"><channel><title>Ferries</title><item><title>Delay</title><description>The Rowan is late.</description></item></channel></rss>',
    ],
    [
      'an Atom feed',
      'html',
      '<feed xmlns="http://www.w3.org/2005/Atom"><title>Ferries</title><entry><title>Delay</title></entry></feed>',
    ],
    [
      'other XML',
      'html',
      '<?xml version="1.0"?>\n<catalog><ship id="1"><name>Rowan</name><built>1987</built></ship></catalog>',
    ],
    ['an object', 'json', '{ "ship": "Rowan", "built": 1987 }'],
    ['an array', 'json', '\n[1, 2, {"a": null}]\n'],
    ['an empty object', 'json', '{}'],
    ['JSON Lines', 'json', '{"id": 1, "text": "The Rowan"}\n{"id": 2, "text": "The Alder"}\n'],
    ['JSON Lines with a broken last line', 'json', '{"id": 1}\n{"id": 2}\n{"id": '],
    [
      'prose that begins with a bracket',
      'text',
      '[Editor’s note: this text was shortened.] The Rowan sails at nine.',
    ],
    ['prose that begins with a brace', 'text', '{sigh} The Rowan is late again, and nobody knows why.'],
    ['a footnote', 'text', '[1] Okafor, A. (2019). Ferries of the north. Harbour Press.'],
    ['prose', 'text', 'The Rowan sails at nine. She was built in 1987.\n\nFares rose in May.'],
    ['prose with a stray tag', 'text', 'The <b>Rowan</b> sails at nine, and 3 < 4.\nShe was built in 1987.'],
    [
      'prose with code words',
      'text',
      'Return tickets are cheaper.\nFor children the fare is half.\nWhile stocks last.',
    ],
    [
      'an e-mail',
      'text',
      'From: Ann <ann@ferry.example>\nTo: Bo <bo@ferry.example>\nSubject: Fares\nDate: Mon, 3 Jun 2024 10:00:00 +0000\n\nDear Bo,\n\nthe fares rise in July.\n\nRegards,\nAnn\n\n-- \nAnn Obi\nHarbour Line',
    ],
    [
      'a reply that quotes, as Markdown would',
      'markdown',
      'Hello Bo,\n\nyes, they do.\n\nOn Monday Bo wrote:\n> Do the fares rise?\n> If so, when?\n\nBest,\nAnn',
    ],
    ['tab-separated values', 'text', 'ticket\tadult\tchild\nsingle\t4.20\t2.10\nreturn\t7.50\t3.75\n'],
    ['comma-separated values', 'text', 'ticket,adult,child\nsingle,4.20,2.10\nreturn,7.50,3.75\n'],
    [
      'a log',
      'text',
      '2024-06-03T10:00:00Z INFO  server listening on :8080\n2024-06-03T10:00:01Z WARN  slow request path=/fares ms=812\n2024-06-03T10:00:02Z ERROR upstream refused {"code":503}\n',
    ],
    [
      'verse',
      'text',
      'Two roads diverged in a yellow wood,\nAnd sorry I could not travel both\nAnd be one traveler, long I stood\n',
    ],
    ['a plain list', 'markdown', '- bread\n- milk\n- tea\n'],
    ['Chinese', 'text', '渡轮每天开出。票价四元。'],
    [
      'JavaScript',
      'code',
      "import { readFile } from 'node:fs/promises';\n\nexport async function fares(path) {\n  const text = await readFile(path, 'utf8');\n  return JSON.parse(text);\n}\n",
    ],
    [
      'Python',
      'code',
      'import json\nfrom pathlib import Path\n\n\ndef fares(path):\n    """Reads the fares."""\n    text = Path(path).read_text()\n    if not text:\n        return {}\n    return json.loads(text)\n',
    ],
    [
      'Python with more comments than code',
      'code',
      '# Fares of the line.\n# Read from a file.\n\nimport json\n\n# The path\nPATH = "fares.json"\n\n# All fares, by ticket.\nfares = json.loads(open(PATH).read())\nprint(fares)\n',
    ],
    [
      'Markdown with much code in it',
      'markdown',
      '# Use\n\nRead the fares:\n\n```py\nimport json\n\nfares = json.loads(text)\nprint(fares)\nfor fare in fares:\n    print(fare)\n```\n\nThen print them.\n',
    ],
    [
      'a compact note',
      'markdown',
      '# Fares\nSingle tickets cost four euros.\n# Ships\nThe Rowan and the Alder.\n',
    ],
    [
      'a Python script',
      'code',
      '#!/usr/bin/env python3\n# Prints the fares.\nimport sys\n\nfor line in sys.stdin:\n    print(line)\n',
    ],
    [
      'C',
      'code',
      '#include <stdio.h>\n\n/* Prints the fare. */\nint main(void) {\n  printf("%.2f\\n", 4.20);\n  return 0;\n}\n',
    ],
    ['Go', 'code', 'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.Println("4.20")\n}\n'],
    [
      'Rust',
      'code',
      'use std::fs;\n\npub fn fares(path: &str) -> String {\n    let text = fs::read_to_string(path).unwrap();\n    text.trim().to_string()\n}\n',
    ],
    [
      'Java',
      'code',
      'package ferry;\n\npublic class Fares {\n    private final double single = 4.20;\n\n    public double single() {\n        return single;\n    }\n}\n',
    ],
    [
      'a shell script',
      'code',
      '#!/bin/sh\n# Prints the fares.\nset -e\nfor file in "$@"; do\n  cat "$file"\ndone\n',
    ],
    ['CSS', 'code', 'body {\n  margin: 0;\n  color: #333;\n}\n\nh1 {\n  font-size: 2rem;\n}\n'],
    [
      'SQL',
      'code',
      "SELECT ship, built\nFROM ships\nWHERE built > 1980;\n\nINSERT INTO ships VALUES (1, 'Rowan');\nUPDATE ships SET built = 1987;\n",
    ],
    [
      'code with HTML in strings',
      'code',
      'export function row(cells) {\n  return `<tr>${cells.map((cell) => `<td>${cell}</td>`).join("")}</tr>`;\n}\nexport function list(items) {\n  return `<ul>${items.map((item) => `<li>${item}</li>`).join("")}</ul>`;\n}\n',
    ],
  ])('%s is %s', (_, format, content) => {
    expect(detectFormat(content)).toBe(format);
  });

  test('a JSON array of 5 MB', () => {
    expect(detectFormat(`[${'{"ship": "Rowan"},'.repeat(280_000)}{}]`)).toBe('json');
  });

  test('a JSON array of long texts', () => {
    expect(detectFormat(JSON.stringify([{ text: 'The "Rowan" sails at nine. '.repeat(10_000) }]))).toBe(
      'json',
    );
  });

  test('prose of 5 MB that begins with a bracket', () => {
    expect(detectFormat(`[Note] ${'The Rowan sails at nine. '.repeat(200_000)}`)).toBe('text');
  });

  test('JSON Lines of 5 MB', () => {
    expect(detectFormat('{"id": 1, "text": "The Rowan"}\n'.repeat(160_000))).toBe('json');
  });

  test.each([
    ['comments never closed', `${'<!-- '.repeat(4_000)}<p>`],
    ['comments', `${'<!---->'.repeat(2_000)}x`],
    ['broken strings', '{"a": "'.repeat(2_000)],
    ['digits', `[${'1'.repeat(300_000)}`],
    ['numbers that are none', `[${'1-1.'.repeat(100_000)}`],
    ['names', 'a.'.repeat(8_000)],
    ['calls', 'f('.repeat(8_000)],
    ['brackets', '['.repeat(20_000)],
    ['spaces', ' '.repeat(20_000)],
    ['angle brackets', '<p '.repeat(6_000)],
    ['backticks', '`'.repeat(20_000)],
  ])('a sample of %s is read at once', (_, content) => {
    const started = performance.now();
    detectFormat(content);
    expect(performance.now() - started).toBeLessThan(2_000);
  });
});

describe('the format of a document with a name', () => {
  test.each<[string, string, string]>([
    ['page.html', 'html', 'Ferries and fares'],
    ['https://ferry.example/page.htm?lang=en#fares', 'html', 'Ferries and fares'],
    ['NOTES.MD', 'markdown', 'The Rowan sails at nine.'],
    ['main.rs', 'code', 'fn main() {}'],
    ['Makefile.txt', 'text', 'The Rowan sails at nine.'],
    ['data.json', 'json', '{"ship": "Rowan"}'],
    ['data.json', 'text', 'not json at all'],
    ['page.md', 'html', page],
    ['https://ferry.example/', 'text', 'The Rowan sails at nine.'],
    ['ferry.example', 'text', 'The Rowan sails at nine.'],
    ['fares.csv', 'text', 'ticket,adult\nsingle,4.20\n'],
  ])('%s is %s', (name, format, content) => {
    expect(detectFormat(content, { name })).toBe(format);
  });
});

describe('binary content', () => {
  test.each<[string, boolean, string]>([
    ['a PNG read as UTF-8', true, '\ufffdPNG\r\n\u001a\n\0\0\0\rIHDR\0\0\u0001\0\ufffd\ufffd\u0003'],
    ['a text', false, 'The Rowan sails at nine.'],
    ['a text with a broken character', false, 'The Rowan sails at nine, it \ufffd says.'],
    ['a text with one NUL', false, 'The Rowan sails at nine.\0'],
    ['terminal colours', false, '\u001b[32mok\u001b[0m 12 tests '.repeat(20)],
    ['nothing', false, ''],
    ['line and page breaks', false, 'one\r\n\ftwo\t\v'],
  ])('%s: %s', (_, binary, content) => {
    expect(looksBinary(content)).toBe(binary);
  });
});

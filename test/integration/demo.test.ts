import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { countTokens } from 'gpt-tokenizer/encoding/o200k_base';
import { readFolder } from 'ragpress/retrievers';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe('the demo', () => {
  let folder: string;
  let printed: string;
  /** What was printed for each question. */
  let questions: string[];
  /** What was printed for the question about documents that were read before. */
  let again: string;
  let report: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ragpress-demo-'));
    const path = join(folder, 'new', 'report.html');
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', 'tsx', 'examples/demo.ts', path],
      { cwd: root, env: { ...process.env, CI: '1' } },
    );
    printed = stdout;
    [again, ...questions] = stdout
      .split(/\n\n(?=\d\. )/)
      .slice(1)
      .reverse() as [string, ...string[]];
    questions.reverse();
    report = await readFile(path, 'utf8');
    expect(stdout).toContain('report.html');
  }, 120_000);

  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  /** The compressed context as it was printed, and how many tokens it was said to have. */
  function contextOf(question: string): { context: string; tokens: number } {
    const [, tokens, lines] = /\nAfter,.*: (\d+) of 400 tokens\n([^]*?)\n\nSaved/.exec(question)!;
    return { context: lines!.replace(/^ {2}│ /gm, ''), tokens: Number(tokens) };
  }

  test.each([
    {
      what: 'a cell of a table with its headers',
      question: 0,
      answers: [
        /^Ticket \|.*\| Car up to 5 m, with driver$/m,
        /^Day return \| Low season.*\n.*\| High season .*\| 74\.30$/m,
      ],
    },
    {
      what: 'a name on one page and a number on another',
      question: 1,
      answers: [/place on the Innis route is taken by the Sorrel/, /the Sorrel carries 52 cars/],
    },
    {
      what: 'a block of code',
      question: 2,
      answers: [/^```\nqueues:\n[^`]*strategy: exponential\n\s+max_attempts: 5\b[^`]*```$/m],
    },
  ])('finds $what', ({ question, answers }) => {
    const { context } = contextOf(questions[question]!);
    for (const answer of answers) expect(context).toMatch(answer);
    expect(context).not.toMatch(/cookie|newsletter|skip to content/i);
  });

  test('keeps to its budget, counted by the tokenizer of the model', () => {
    expect(questions).toHaveLength(3);
    for (const question of questions) {
      const { context, tokens } = contextOf(question);
      expect(countTokens(context)).toBe(tokens);
      expect(tokens).toBeLessThanOrEqual(400);
    }
  });

  test('prints pages, stages and what is saved', () => {
    for (const question of questions) {
      expect(question.match(/^ +\[\d] +[\d,]+ tokens .*\.(?:html?|md)$/gm)).toHaveLength(8);
      const stages = [...question.matchAll(/^ {2}(\w+) +([\d,]+) → +([\d,]+) tokens +[\d.]+ ms$/gm)];
      expect(stages.map(([, name]) => name)).toEqual(['extract', 'htmlrag', 'zipfit', 'exit', 'budget']);
      const [before, after] = [stages[0]![2]!, stages.at(-1)![3]!].map((count) =>
        Number(count.replace(',', '')),
      );
      expect(before).toBeGreaterThan(20 * after!);
      expect(question).toMatch(/\nSaved .* 9\d\.\d%\.\n/);
    }
    expect(printed).not.toMatch(/\x1b/);
  });

  test('answers from the context and from the pages, side by side', () => {
    for (const question of questions) {
      const answers = [
        ...question.matchAll(/^ {2}(context|pages) +([\d,]+) tokens read in [\d.]+ s.*: \S.*$/gm),
      ];
      expect(answers.map(([, name]) => name)).toEqual(['context', 'pages']);
      const [fromContext, fromPages] = answers.map(([, , tokens]) => Number(tokens!.replace(',', '')));
      expect(fromContext).toBeLessThan(600);
      expect(fromPages).toBeGreaterThan(3_000);
    }
  });

  test('reads documents again from what it kept of them', () => {
    const [, tokens, reused] =
      /context +([\d,]+) tokens read in [\d.]+ s, ([\d,]+) of them known before: \S/.exec(again)!;
    expect(Number(reused)).toBeGreaterThan(0.7 * Number(tokens));
  });

  test('writes a report with kept and dropped text in place', () => {
    expect(report).toMatch(
      /<span class="kept"[^>]*>\| High season \| 21\.40 \| 10\.70 \| 5\.50 \| 74\.30<\/span>/,
    );
    expect(report).toMatch(/<span class="kept"[^>]*>On her open deck the Sorrel carries 52 cars/);
    expect(report).toMatch(
      /<span class="dropped"[^>]*>\| High season \| 7\.40 \| 3\.70 \| 2\.50 \| 26\.80<\/span>/,
    );
    expect(report).not.toContain('<script');
  });
});

describe('the corpus', () => {
  test('is read whole: pages in many languages, formats and encodings', async () => {
    const { documents, skipped } = await readFolder(join(root, 'examples/corpus'));
    expect(skipped).toEqual([]);
    const html = documents.filter(({ id }) => /\.html?$/.test(id));
    const markdown = documents.filter(({ id }) => id.endsWith('.md'));
    expect(html.length).toBeGreaterThanOrEqual(24);
    expect(markdown.length).toBeGreaterThanOrEqual(10);
    expect(html.length + markdown.length).toBe(documents.length);
    for (const { id, content } of documents) expect(content.includes('\ufffd'), id).toBe(false);

    const languages = documents.map(
      ({ content }) =>
        /<html[^>]* lang="?(\w+)|^lang: (\w+)$/im.exec(content)?.slice(1).find(Boolean) ?? 'en',
    );
    expect(new Set(languages)).toEqual(new Set(['en', 'de', 'fr', 'es', 'ru', 'ar', 'zh', 'ja', 'th']));

    const page = (id: string) => documents.find((document) => document.id === id)!.content;
    expect(page('glasmuseum.example/preise.html')).toContain('9.30–17.00 Uhr');
    expect(page('shimameguri.example/innis.html')).toContain('階段は百四十八段');
  });
});

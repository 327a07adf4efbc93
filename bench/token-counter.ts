import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { loadTokenCounter } from '../models/token-counter.js';
import { sharedData } from '../test/shared-data.js';
import { fetchedPages } from './pages.js';
import { printTable } from './table.js';

/** Passages shorter than this, in tokens, are too small to judge an estimate by. */
const SHORTEST = 20;
const PASSAGE = 800;
const PASSAGES_A_KIND = 1_000;

export interface TokenCounterFigures {
  /** Share of passages that the estimate counts lower than the tokenizer, by kind of text. */
  readonly below: Readonly<Record<string, { readonly o200k_base: number; readonly cl100k_base: number }>>;
  readonly excess: Readonly<Record<string, { readonly o200k_base: number; readonly cl100k_base: number }>>;
  readonly megabytesPerSecond: number;
}

/** The estimate against the tokenizers it must stay above, over many kinds of text. */
export async function benchTokenCounter(): Promise<TokenCounterFigures | undefined> {
  if (sharedData === undefined) return undefined;
  const estimate = await loadTokenCounter();
  const exact = [await loadTokenCounter('o200k_base'), await loadTokenCounter('cl100k_base')];
  const below: Record<string, { o200k_base: number; cl100k_base: number }> = {};
  const excess: typeof below = {};
  const rows: string[][] = [];
  for (const [kind, texts] of Object.entries(textsByKind(sharedData))) {
    const judged = texts
      .slice(0, PASSAGES_A_KIND)
      .map((text) => ({
        estimate: estimate.count(text),
        counts: exact.map((counter) => counter.count(text)),
      }))
      .filter(({ counts }) => counts[0]! >= SHORTEST);
    const share = (index: number) =>
      judged.filter((one) => one.estimate < one.counts[index]!).length / judged.length;
    const over = (index: number) =>
      judged.reduce((sum, one) => sum + one.estimate / one.counts[index]! - 1, 0) / judged.length;
    below[kind] = { o200k_base: share(0), cl100k_base: share(1) };
    excess[kind] = { o200k_base: over(0), cl100k_base: over(1) };
    rows.push([
      kind,
      String(judged.length),
      ...[share(0), over(0), share(1), over(1)].map((value) => `${(100 * value).toFixed(1)}%`),
    ]);
  }
  printTable(
    'estimate against exact counts',
    ['text', 'passages', 'below o200k', 'mean excess', 'below cl100k', 'mean excess'],
    rows,
  );
  const html = fetchedPages()
    .map((page) => page.html)
    .join('\n');
  estimate.count(html);
  const started = performance.now();
  estimate.count(html);
  const megabytesPerSecond = html.length / 1_000 / (performance.now() - started);
  console.log(`the estimate reads ${megabytesPerSecond.toFixed(0)} MB/s of HTML`);
  return { below, excess, megabytesPerSecond };
}

function textsByKind(data: string): Record<string, string[]> {
  const kinds: Record<string, string[]> = {};
  const lines = (file: string) =>
    gunzipSync(readFileSync(join(data, file)))
      .toString('utf8')
      .trim()
      .split('\n');
  kinds.encyclopedia = every(lines('passages.jsonl.gz'), 10).map(
    (line) => (JSON.parse(line) as { text: string }).text,
  );
  kinds.news = fetchedPages().flatMap(({ article }) => pieces(article));
  kinds.HTML = every(
    fetchedPages().flatMap(({ html }) => pieces(html)),
    15,
  );
  const modules = fileURLToPath(new URL('../node_modules', import.meta.url));
  const files = readdirSync(modules, { recursive: true, encoding: 'utf8' }).sort();
  for (const [kind, pattern] of [
    ['code', /\.(?:js|ts)$/],
    ['Markdown', /\.md$/i],
    ['JSON', /\.json$/],
  ] as const) {
    const named = files.filter((file) => pattern.test(file));
    kinds[kind] = every(named, Math.ceil(named.length / 300)).flatMap((file) =>
      pieces(readFileSync(join(modules, file), 'utf8')).slice(0, 4),
    );
  }
  for (const file of readdirSync(join(data, 'multilingual')).sort()) {
    kinds[file.split('.')[1]!] = [
      ...new Set(lines(join('multilingual', file)).flatMap((line) => longStrings(JSON.parse(line)))),
    ];
  }
  return kinds;
}

function every<Item>(items: readonly Item[], step: number): Item[] {
  return items.filter((_, index) => index % step === 0);
}

function pieces(text: string): string[] {
  return text.match(new RegExp(`[^]{1,${PASSAGE}}`, 'g')) ?? [];
}

function longStrings(value: unknown): string[] {
  if (typeof value === 'string') return value.length > 60 ? [value] : [];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(longStrings) : [];
}

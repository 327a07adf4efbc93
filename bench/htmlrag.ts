import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { parseDocument } from 'htmlparser2';
import { createPipeline, htmlrag } from 'ragpress';
import { extractPage } from '../compressors/extract.js';
import { atOnce } from '../compressors/steps.js';
import { blockTree, MAX_NODE_WORDS, type TreeBlock } from '../compressors/htmlrag/block-tree.js';
import { CLOSE, elementTree, OPEN, TEXT } from '../compressors/htmlrag/element-tree.js';
import { sharedData } from '../test/shared-data.js';
import { fetchedPages, type FetchedPage } from './pages.js';
import {
  AUTHORS_SETUP,
  startAuthors,
  type Authors,
  type AuthorsBlock,
  type AuthorsReading,
} from './reference/htmlrag-authors.js';
import { median, printTable } from './table.js';

const ROUNDS = 5;
const BUDGET = 1_000;

export interface HtmlragFigures {
  readonly pages: number;
  /** Time a page of the authors' Python over ours, cleaning and block tree; absent where theirs cannot run. */
  readonly timesFasterThanAuthors?: number;
  /** The same for all that a page is read for: blocks, layout, regions, offsets and index terms. */
  readonly extractTimesFaster?: number;
  /** Pages that both parsers read alike; all where theirs cannot run. */
  readonly alike: number;
  /** Share of those on which the blocks are the same. */
  readonly sameBlocks: number;
  readonly sameBlocksAll: number;
  readonly millisecondsAPage: { blockTree: number; extract: number; parse: number; authors?: number };
  readonly article: Readonly<Record<string, ArticleFigures>>;
}

interface ArticleFigures {
  /** Share of the marked article's words that is kept. */
  readonly recall: number;
  /** Share of what is kept that is the article's. */
  readonly precision: number;
  /** The recall of the article alone, cut at the budget. */
  readonly possible: number;
}

/** HtmlRAG's cleaning and block tree against the authors' own code, on real pages, in one run. */
export async function benchHtmlrag(): Promise<HtmlragFigures | undefined> {
  const pages = fetchedPages();
  if (pages.length === 0) {
    console.log('\nhtmlrag: skipped, the pages of shared/data are absent');
    return undefined;
  }
  const started = await startAuthors();
  const authors = typeof started === 'string' ? undefined : started;
  if (typeof started === 'string')
    console.log(`\nhtmlrag: no speed ratio, ${started}. To set it up:\n${AUTHORS_SETUP}`);
  const speed = await measureSpeed(pages, authors);
  authors?.close();
  const blocks = compareBlocks(pages, speed.readings);
  const article = await measureArticles(pages);
  return { pages: pages.length, ...speed.figures, ...blocks, article };
}

/** Rounds over all pages, ours and theirs taking turns on each, so that both see the same machine. */
async function measureSpeed(
  pages: readonly FetchedPage[],
  authors: Authors | undefined,
): Promise<{
  figures: Pick<HtmlragFigures, 'timesFasterThanAuthors' | 'extractTimesFaster' | 'millisecondsAPage'>;
  readings: readonly AuthorsReading[];
}> {
  const tasks = {
    blockTree,
    extract: (html: string) => extractPage(html, 'html'),
    parse: (html: string) => parseDocument(html),
  };
  const times = { blockTree: [] as number[][], extract: [] as number[][], parse: [] as number[][] };
  const theirs: number[][] = [];
  const readings: AuthorsReading[] = [];
  for (const { html } of pages) for (const task of Object.values(tasks)) task(html);
  for (let round = 0; round < ROUNDS; round++) {
    for (const [index, { html }] of pages.entries()) {
      for (const name of ['blockTree', 'extract', 'parse'] as const) {
        const started = performance.now();
        tasks[name](html);
        (times[name][index] ??= []).push(performance.now() - started);
      }
      if (!authors) continue;
      const reading = await authors.read(html);
      readings[index] = reading;
      (theirs[index] ??= []).push(1_000 * reading.seconds);
    }
  }
  const aPage = (perPage: readonly number[][]) => mean(perPage.map(median));
  const ours = {
    blockTree: aPage(times.blockTree),
    extract: aPage(times.extract),
    parse: aPage(times.parse),
  };
  const megabytes = mean(pages.map(({ html }) => html.length)) / 1e6;
  const row = (what: string, milliseconds: number) => [
    what,
    `${milliseconds.toFixed(2)} ms`,
    `${((1_000 * megabytes) / milliseconds).toFixed(0)} MB/s`,
  ];
  const rows = [
    row('clean + block tree', ours.blockTree),
    row('whole extraction', ours.extract),
    row('htmlparser2 parseDocument', ours.parse),
  ];
  if (!authors) {
    printTable(`HtmlRAG, ${pages.length} pages, mean a page`, ['what', 'time', 'speed'], rows);
    return { figures: { millisecondsAPage: ours }, readings };
  }
  const authorsTime = aPage(theirs);
  const ratios = pages.map((_, index) => median(theirs[index]!) / median(times.blockTree[index]!));
  rows.push(row("authors' Python, clean + block tree", authorsTime), [
    'ours faster, block tree',
    `${(authorsTime / ours.blockTree).toFixed(1)} ×`,
    `page by page: median ${median(ratios).toFixed(1)}, least ${Math.min(...ratios).toFixed(1)}`,
  ]);
  rows.push(['ours faster, whole extraction', `${(authorsTime / ours.extract).toFixed(1)} ×`, '']);
  printTable(`HtmlRAG, ${pages.length} pages, mean a page, one core`, ['what', 'time', 'speed'], rows);
  return {
    figures: {
      timesFasterThanAuthors: authorsTime / ours.blockTree,
      extractTimesFaster: authorsTime / ours.extract,
      millisecondsAPage: { ...ours, authors: authorsTime },
    },
    readings,
  };
}

/**
 * Compares blocks (path, leaf or not, text) with the authors'. A page is read alike where, before any cleaning, both
 * parsers find the same elements, each at the same depth, in the same order, and the same text.
 */
function compareBlocks(
  pages: readonly FetchedPage[],
  readings: readonly AuthorsReading[],
): Pick<HtmlragFigures, 'alike' | 'sameBlocks' | 'sameBlocksAll'> {
  let alike = 0;
  let sameAlike = 0;
  let same = 0;
  let changed = 0;
  const others: string[][] = [];
  for (const [index, { key, html }] of pages.entries()) {
    const theirs = recordedBlocks(key);
    const difference = blockDifference(blockTree(html), theirs);
    const reading = readings[index];
    if (reading && JSON.stringify(reading.blocks) !== JSON.stringify(theirs)) changed++;
    const parse = reading ? parseDifference(html, reading) : undefined;
    if (difference === undefined) same++;
    if (parse === undefined) {
      alike++;
      if (difference === undefined) sameAlike++;
    }
    if (difference !== undefined) others.push([key.slice(0, 8), parse ?? 'alike', difference]);
  }
  const sameBlocks = sameAlike / (alike || 1);
  printTable(
    `blocks at ${MAX_NODE_WORDS} words a node: path, is_leaf and text as the authors' code has them`,
    ['what', 'pages'],
    [
      [
        readings.length > 0
          ? 'read alike: the same elements at the same depths, the same text, before cleaning'
          : "read alike: every page counts, for want of the authors' parser",
        `${alike} of ${pages.length}`,
      ],
      ['of those the same blocks', `${sameAlike} (${(100 * sameBlocks).toFixed(1)}%)`],
      ['the same blocks, of all', `${same} of ${pages.length}`],
    ],
  );
  if (others.length > 0)
    printTable('pages with other blocks', ['page', 'parse: ours | theirs', 'blocks: ours | theirs'], others);
  if (changed > 0)
    console.log(`on ${changed} pages this Python's html.parser gives other blocks than those recorded`);
  return { alike, sameBlocks, sameBlocksAll: same / pages.length };
}

function recordedBlocks(key: string): AuthorsBlock[] {
  const file = readFileSync(join(sharedData!, 'htmlrag', `${key}.json.gz`));
  return (JSON.parse(gunzipSync(file).toString('utf8')) as { blocks: AuthorsBlock[] }).blocks;
}

function blockDifference(ours: readonly TreeBlock[], theirs: readonly AuthorsBlock[]): string | undefined {
  const own = ours.map(({ path, isLeaf, text }) => `${path.join('>')} ${isLeaf ? 'leaf' : 'bare'}: ${text}`);
  const other = theirs.map(
    ({ path, is_leaf, text }) => `${path.join('>')} ${is_leaf ? 'leaf' : 'bare'}: ${text}`,
  );
  return firstDifference(own, other);
}

function parseDifference(html: string, theirs: AuthorsReading): string | undefined {
  const tree = atOnce(elementTree(html));
  const elements: string[] = [];
  let text = '';
  let depth = 0;
  for (let i = 0; i < tree.events.length; i += 2) {
    const value = tree.events[i + 1]!;
    if (tree.events[i] === OPEN) elements.push(`${tree.names[value]!}, ${depth++} deep`);
    else if (tree.events[i] === CLOSE) depth--;
    else if (tree.events[i] === TEXT) {
      const reference = tree.texts[value + 2]!;
      text +=
        reference < 0 ? html.slice(tree.texts[value], tree.texts[value + 1]) : tree.references[reference]!;
    }
  }
  return (
    firstDifference(
      elements,
      theirs.elements.map(([name, at]) => `${name}, ${at} deep`),
    ) ?? firstDifference(text.split('\n'), theirs.text.split('\n'))
  );
}

/** The first place where two lists differ, cut to what tells. */
function firstDifference(ours: readonly string[], theirs: readonly string[]): string | undefined {
  const place = Array.from({ length: Math.max(ours.length, theirs.length) }, (_, index) => index).find(
    (index) => ours[index] !== theirs[index],
  );
  if (place === undefined) return undefined;
  const [own, other] = [ours[place] ?? 'nothing', theirs[place] ?? 'nothing'];
  let at = 0;
  while (at < own.length && own[at] === other[at]) at++;
  const around = (text: string) => JSON.stringify(text.slice(Math.max(0, at - 20), at + 20));
  return `${around(own)} | ${around(other)}`;
}

/** How much of the marked article survives a budget, the page's title as the query, by lexical scores and by an embedder's. */
async function measureArticles(pages: readonly FetchedPage[]): Promise<HtmlragFigures['article']> {
  const figures: Record<string, ArticleFigures> = {};
  for (const [name, options] of [
    ['htmlrag', { stages: ['htmlrag'] }],
    ['htmlrag by minilm', { stages: [htmlrag({ embedder: 'minilm' })] }],
    ['fast', { preset: 'fast' }],
  ] as const) {
    const pipeline = await createPipeline({
      ...options,
      budget: { tokens: BUDGET },
      deadline: Infinity,
      cache: false,
    });
    const rows: ArticleFigures[] = [];
    for (const { key, html, article } of pages) {
      const query = extractPage(html, 'html').title ?? '';
      const document = { id: key, content: html, format: 'html' as const };
      const { documents } = await pipeline.compress({ query, documents: [document] });
      const wanted = words(article);
      const left = new Map<string, number>();
      for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
      const kept = words(documents[0]?.content ?? '');
      let found = 0;
      for (const word of kept) {
        const count = left.get(word) ?? 0;
        if (count === 0) continue;
        found++;
        left.set(word, count - 1);
      }
      rows.push({
        recall: found / wanted.length,
        precision: found / (kept.length || 1),
        possible: Math.min(1, BUDGET / pipeline.counter.count(article)),
      });
    }
    await pipeline.close();
    figures[name] = {
      recall: mean(rows.map(({ recall }) => recall)),
      precision: mean(rows.map(({ precision }) => precision)),
      possible: mean(rows.map(({ possible }) => possible)),
    };
  }
  printTable(
    `words of the marked article in ${BUDGET} tokens, the page's title as query`,
    ['stages', 'recall', 'possible', 'share of what is kept'],
    Object.entries(figures).map(([name, { recall, precision, possible }]) => [
      name,
      recall.toFixed(3),
      possible.toFixed(3),
      precision.toFixed(3),
    ]),
  );
  return figures;
}

function words(text: string): string[] {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? []
  );
}

function mean(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0) / values.length;
}

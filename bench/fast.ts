import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parseDocument } from 'htmlparser2';
import { createPipeline, type SourceDocument } from 'ragpress';
import { fetchedPages } from './pages.js';
import { median, printTable } from './table.js';

const PAGES = 20;
const ROUNDS = 15;
const QUERY = 'What did the president say about the election and the economy?';

export interface FastFigures {
  readonly pages: number;
  /** Preset `fast` over htmlparser2's parseDocument, pages not seen before, everything warm. */
  readonly vsParse: number;
  /** The same when the pages' trees are cached. */
  readonly vsParseCached: number;
  /** Longest time that the event loop was held, over all rounds and a page of 10 MB. */
  readonly longestBlockMs: number;
}

/** Preset `fast` on real pages against what htmlparser2 alone needs to parse them, in one run. */
export async function benchFast(): Promise<FastFigures | undefined> {
  const documents = everyFifth(fetchedPages()).map(({ key, html }): SourceDocument => ({
    id: key,
    content: html,
    format: 'html',
  }));
  if (documents.length === 0) return undefined;
  // Holds the worker threads while the measured pipelines, each with empty caches, come and go.
  const holder = await createPipeline({ budget: { tokens: 1_000 }, cache: false });
  const parse: number[] = [];
  const fresh: number[] = [];
  const cached: number[] = [];
  const blocks: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    parse.push(await timed(() => Promise.resolve(documents.map(({ content }) => parseDocument(content)))));
    const pipeline = await createPipeline({ budget: { tokens: 1_000 }, cache: false });
    fresh.push(await timed(() => pipeline.compress({ query: QUERY, documents })));
    cached.push(await timed(() => pipeline.compress({ query: QUERY, documents })));
    if (round >= ROUNDS / 3)
      blocks.push(
        await longestBlock(() =>
          holder.compress({ query: `${QUERY} ${round}`, documents: touched(documents, round) }),
        ),
      );
    await pipeline.close();
  }
  const large: SourceDocument = { id: 'large', content: largePage(documents), format: 'html' };
  blocks.push(await longestBlock(() => holder.compress({ query: QUERY, documents: [large] })));
  await holder.close();

  const warm = (times: number[]) => median(times.slice(Math.floor(ROUNDS / 3)));
  const figures = {
    pages: documents.length,
    vsParse: warm(fresh) / warm(parse),
    vsParseCached: warm(cached) / warm(parse),
    longestBlockMs: Math.max(...blocks),
  };
  const megabytes = documents.reduce((length, { content }) => length + content.length, 0) / 1e6;
  printTable(
    `preset fast, ${documents.length} pages of ${megabytes.toFixed(1)} MB together, warm`,
    ['what', 'figure'],
    [
      ['parseDocument alone', `${warm(parse).toFixed(1)} ms`],
      ['fast, pages not seen before', `${figures.vsParse.toFixed(2)} × that`],
      ['fast, block trees cached', `${figures.vsParseCached.toFixed(2)} × that`],
      ['event loop held at most (10 MB page included)', `${figures.longestBlockMs.toFixed(1)} ms`],
    ],
  );
  return figures;
}

function everyFifth<Item>(items: readonly Item[]): Item[] {
  return items.filter((_, index) => index % Math.floor(items.length / PAGES) === 0).slice(0, PAGES);
}

/** The same pages as if fetched anew: no cache knows them. */
function touched(documents: readonly SourceDocument[], round: number): SourceDocument[] {
  return documents.map((document) => ({ ...document, content: `${document.content}<!-- ${round} -->` }));
}

function largePage(documents: readonly SourceDocument[]): string {
  const pages = documents.map(({ content }) => content).join('\n');
  return pages.repeat(Math.ceil(10_000_000 / pages.length)).slice(0, 10_000_000);
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Milliseconds of a task that begins without the garbage of the one before it. */
async function timed(task: () => Promise<unknown>): Promise<number> {
  collectGarbage();
  const started = performance.now();
  await task();
  return performance.now() - started;
}

/** Longest gap between two turns of the event loop while a task runs. */
async function longestBlock(task: () => Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = performance.now();
  let running = true;
  const tick = () => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (running) setImmediate(tick);
  };
  setImmediate(tick);
  await task();
  tick();
  running = false;
  return longest;
}

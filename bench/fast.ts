import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parseDocument } from 'htmlparser2';
import { createPipeline, type SourceDocument } from 'ragpress';
import { fetchedPages } from './pages.js';
import { median, printTable } from './table.js';

const PAGES = 20;
/** Runs that are timed together, so that each bears the garbage that it makes. */
const RUNS = 10;
const WARM_ROUNDS = 2;
const ROUNDS = 7;
const QUERY = 'What did the president say about the election and the economy?';

export interface FastFigures {
  readonly pages: number;
  /** Preset `fast` over htmlparser2's parseDocument, of pages not seen before, in a process that has run a while. */
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
  const pipeline = await createPipeline({ preset: 'fast', budget: { tokens: 1_000 }, cache: false });
  const compress = (pages: readonly SourceDocument[]) =>
    pipeline.compress({ query: QUERY, documents: pages });
  let version = 0;
  const parse: number[] = [];
  const fresh: number[] = [];
  const cached: number[] = [];
  for (let round = 0; round < WARM_ROUNDS + ROUNDS; round++) {
    const versions = Array.from({ length: RUNS }, () => fetchedAnew(documents, version++));
    const times = [
      await timed(versions, (pages) => Promise.resolve(pages.map(({ content }) => parseDocument(content)))),
      await timed(versions, compress),
      await timed(
        versions.map(() => versions.at(-1)!),
        compress,
      ),
    ] as const;
    if (round < WARM_ROUNDS) continue;
    parse.push(times[0]);
    fresh.push(times[1]);
    cached.push(times[2]);
  }
  const blocks: number[] = [];
  // Without the garbage of all the parsing.
  collectGarbage();
  const versions = Array.from({ length: WARM_ROUNDS + ROUNDS }, () => fetchedAnew(documents, version++));
  for (const [round, pages] of versions.entries()) {
    const held = await longestBlock(() => compress(pages));
    if (round >= WARM_ROUNDS) blocks.push(held);
  }
  const large: SourceDocument = { id: 'large', content: largePage(documents), format: 'html' };
  blocks.push(await longestBlock(() => compress([large])));
  await pipeline.close();

  const figures = {
    pages: documents.length,
    vsParse: median(fresh) / median(parse),
    vsParseCached: median(cached) / median(parse),
    longestBlockMs: Math.max(...blocks),
  };
  const megabytes = documents.reduce((length, { content }) => length + content.length, 0) / 1e6;
  printTable(
    `preset fast, ${documents.length} pages of ${megabytes.toFixed(1)} MB together, warm`,
    ['what', 'figure'],
    [
      ['parseDocument alone', `${median(parse).toFixed(1)} ms`],
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
function fetchedAnew(documents: readonly SourceDocument[], version: number): SourceDocument[] {
  return documents.map((document) => ({
    ...document,
    content: flat(`${document.content}<!-- ${version} -->`),
  }));
}

function largePage(documents: readonly SourceDocument[]): string {
  const pages = documents.map(({ content }) => content).join('\n');
  return flat(pages.repeat(Math.ceil(10_000_000 / pages.length)).slice(0, 10_000_000));
}

/** As a body off the network is: one string, not V8's tree of the parts that it was joined from. */
function flat(text: string): string {
  return Buffer.from(text).toString();
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Milliseconds of a task, a mean over its inputs; begins without the garbage of the one before it. */
async function timed<Input>(
  inputs: readonly Input[],
  task: (input: Input) => Promise<unknown>,
): Promise<number> {
  collectGarbage();
  const started = performance.now();
  for (const input of inputs) await task(input);
  return (performance.now() - started) / inputs.length;
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

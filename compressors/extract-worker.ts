import { move, transferableSymbol, valueSymbol } from 'piscina';
import type { Format, Page } from './page.js';
import { extractPage } from './extract.js';
import { pageSentences } from './unit.js';

export interface ExtractTask {
  /** UTF-16 code units, in memory that both threads see: a message would be copied in one go. */
  readonly content: SharedArrayBuffer;
  readonly format: Format | undefined;
  readonly name: string | undefined;
}

/** Runs in a worker thread (workers.ts). Finds the sentences too: a page that comes here has many. */
export default function extractInWorker({ content, format, name }: ExtractTask): unknown {
  const page = extractPage(Buffer.from(content).toString('utf16le'), format, name);
  const value: Page = { ...page, sentences: pageSentences(page) };
  const arrays = [value.blocks, value.spans, value.terms, value.termAt, value.nodes, value.sentences!];
  const buffers = [...new Set(arrays.map(({ buffer }) => buffer))];
  return move({ [transferableSymbol]: buffers, [valueSymbol]: value });
}

import { LRUCache } from 'lru-cache';
import type { SourceDocument, StageContext } from './contract.js';
import { looksBinary } from './detect-format.js';
import { extraction } from './extract.js';
import type { Page } from './page.js';
import { inTurns } from './steps.js';
import type { Workers } from './workers.js';

/** Content longer than this (UTF-16 code units) is read in a worker thread: a step of it would hold the event loop for some 10 ms. */
export const WORKER_LENGTH = 200_000;

/** What is kept of documents seen before, their content included, in bytes: more costs the collector more than it saves. */
const CACHE_BYTES = 32 * 1024 * 1024;

/** How much is counted between two turns of the event loop, in code units. */
const COUNT_LENGTH = 32_768;
const QUICK_COUNT_LENGTH = 1_048_576;

/** How far back a place to cut is looked for. */
const CUT_SEARCH = 2_048;

/** A document as read: its page, or why there is none. */
export interface Reading {
  readonly page: Page | undefined;
  readonly reason?: string;
}

/** What is known of a content. */
interface Entry {
  /** Never given to another content. */
  readonly id: number;
  /** By what its format is taken from. */
  readonly pages: Map<string, Page>;
  /** By counter. */
  readonly counts: Map<string, number>;
}

/**
 * Reads documents into pages and counts their tokens, once for each content. Contents themselves are the keys: a map
 * looks at little of a long one, where a digest would read it all.
 */
export class PageCache {
  readonly #entries = new LRUCache<string, Entry>({ maxSize: CACHE_BYTES, sizeCalculation: byteLength });
  readonly #workers: Workers;
  #ids = 0;

  constructor(workers: Workers) {
    this.#workers = workers;
  }

  /** The same for two documents that are read alike, for as long as the first is remembered. */
  keyOf(document: SourceDocument): string {
    return `${this.#entryOf(document.content).id}:${hintOf(document)}`;
  }

  async read(document: SourceDocument, context: StageContext): Promise<Reading> {
    const { content, format } = document;
    const cached = this.#entryOf(content).pages.get(hintOf(document));
    if (cached) return { page: cached };
    if (looksBinary(content)) return { page: undefined, reason: 'binary content' };
    const name = document.url ?? document.id;
    // Past the deadline too: what was begun here is soon done.
    const turn = () => context.breathe().catch(() => undefined);
    try {
      const page =
        content.length > WORKER_LENGTH && this.#workers.any
          ? await this.#workers.extract(content, format, name, context.signal, turn)
          : await inTurns(extraction(content, format, name), turn);
      const entry = this.#entryOf(content);
      entry.pages.set(hintOf(document), page);
      // Its size has grown.
      this.#entries.set(content, entry);
      return { page };
    } catch (error) {
      if (context.signal.aborted) throw context.signal.reason;
      return {
        page: undefined,
        reason: `unreadable: ${error instanceof Error ? error.message : String(error)}`,
      };
    }
  }

  /** Tokens of a document as it came in. */
  async count({ content }: SourceDocument, context: StageContext): Promise<number> {
    const { counter } = context;
    let count = this.#entryOf(content).counts.get(counter.name);
    if (count === undefined) {
      count = 0;
      for (const [start, end] of stretches(content, counter.exact ? COUNT_LENGTH : QUICK_COUNT_LENGTH)) {
        count += counter.count(content.slice(start, end));
        await context.breathe();
      }
      this.#entryOf(content).counts.set(counter.name, count);
    }
    return count;
  }

  #entryOf(content: string): Entry {
    let entry = this.#entries.get(content);
    if (!entry) {
      entry = { id: this.#ids++, pages: new Map(), counts: new Map() };
      this.#entries.set(content, entry);
    }
    return entry;
  }
}

/** What the format of a document is taken from, beside its content. */
function hintOf({ format, url, id }: SourceDocument): string {
  return format ?? `?${/\.\w{1,8}$/.exec(url ?? id)?.[0] ?? ''}`;
}

/**
 * Cuts a long text where every tokenizer of the GPT family cuts too (a line break before a letter), so that the
 * counts of the parts add up to that of the whole; elsewhere only where a stretch has no such place.
 */
function* stretches(text: string, length: number): Generator<[start: number, end: number]> {
  let start = 0;
  while (start < text.length) {
    let end = Math.min(text.length, start + length);
    if (end < text.length) {
      for (let at = end; at > end - CUT_SEARCH; at--) {
        if (text.charCodeAt(at - 1) === 10 && /\p{L}/u.test(text[at]!)) {
          end = at;
          break;
        }
      }
      // Never between the halves of a surrogate pair.
      const code = text.charCodeAt(end - 1);
      if (code >= 0xd800 && code <= 0xdbff) end--;
    }
    yield [start, end];
    start = end;
  }
}

function byteLength({ pages }: Entry, content: string): number {
  let length = 2 * content.length + 256;
  for (const page of pages.values()) {
    length +=
      page.text.length * 2 +
      page.blocks.byteLength +
      page.spans.byteLength +
      page.terms.byteLength +
      page.termAt.byteLength +
      page.nodes.byteLength;
  }
  return length;
}

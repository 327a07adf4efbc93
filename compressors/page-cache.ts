import { createHash, hash } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import type { SourceDocument, StageContext } from './contract.js';
import { looksBinary } from './detect-format.js';
import { extraction } from './extract.js';
import type { Page } from './page.js';
import { inTurns } from './steps.js';
import type { Workers } from './workers.js';

/** Content longer than this (UTF-16 code units) is read in a worker thread: a step of it would hold the event loop for some 10 ms. */
export const WORKER_LENGTH = 200_000;

/** What is kept of documents seen before, in bytes of typed arrays and text. */
const CACHE_BYTES = 64 * 1024 * 1024;

/** How much is hashed between two turns of the event loop, in code units. */
const HASH_LENGTH = 1_048_576;

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

/** Reads documents into pages and counts their tokens, once for each content. */
export class PageCache {
  readonly #pages = new LRUCache<string, Page>({ maxSize: CACHE_BYTES, sizeCalculation: byteLength });
  readonly #counts = new LRUCache<string, number>({ max: 10_000 });
  readonly #workers: Workers;

  constructor(workers: Workers) {
    this.#workers = workers;
  }

  async read(document: SourceDocument, key: string, context: StageContext): Promise<Reading> {
    const cached = this.#pages.get(key);
    if (cached) return { page: cached };
    const { content, format } = document;
    if (looksBinary(content)) return { page: undefined, reason: 'binary content' };
    const name = document.url ?? document.id;
    // Past the deadline too: what was begun here is soon done.
    const turn = () => context.breathe().catch(() => undefined);
    try {
      const page =
        content.length > WORKER_LENGTH
          ? await this.#workers.extract(content, format, name, context.signal, turn)
          : await inTurns(extraction(content, format, name), turn);
      this.#pages.set(key, page);
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
  async count(document: SourceDocument, key: string, context: StageContext): Promise<number> {
    const { counter } = context;
    const countKey = `${counter.name}:${key}`;
    let count = this.#counts.get(countKey);
    if (count === undefined) {
      count = 0;
      for (const [start, end] of stretches(
        document.content,
        counter.exact ? COUNT_LENGTH : QUICK_COUNT_LENGTH,
      )) {
        count += counter.count(document.content.slice(start, end));
        await context.breathe();
      }
      this.#counts.set(countKey, count);
    }
    return count;
  }
}

/** Keys of documents' pages: their content, and whatever its format is taken from. */
export async function documentKeys(
  documents: readonly SourceDocument[],
  breathe: () => Promise<void>,
): Promise<string[]> {
  const keys: string[] = [];
  for (const { content, format, url, id } of documents) {
    // Halves of pairs without their other half look all the same in UTF-8.
    const isShort = content.length <= HASH_LENGTH && content.isWellFormed();
    const digest = isShort ? hash('sha256', content, 'base64') : await longDigest(content, breathe);
    keys.push(`${digest}:${format ?? `?${extension(url ?? id)}`}`);
    await breathe();
  }
  return keys;
}

async function longDigest(content: string, breathe: () => Promise<void>): Promise<string> {
  const digest = createHash('sha256');
  for (let at = 0; at < content.length; at += HASH_LENGTH) {
    digest.update(content.slice(at, at + HASH_LENGTH), 'utf16le');
    await breathe();
  }
  return digest.digest('base64');
}

function extension(name: string): string {
  return /\.\w{1,8}$/.exec(name)?.[0] ?? '';
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

function byteLength(page: Page): number {
  return (
    64 +
    page.text.length * 2 +
    page.blocks.byteLength +
    page.spans.byteLength +
    page.terms.byteLength +
    page.termAt.byteLength +
    page.nodes.byteLength
  );
}

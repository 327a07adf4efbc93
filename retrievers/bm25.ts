import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { gunzip, gzip } from 'node:zlib';
import { z } from 'zod';
import type { SourceDocument } from '../compressors/contract.js';
import { extractPage } from '../compressors/extract.js';
import { indexTerms, queryTerms } from '../compressors/words.js';
import { writeWhole } from '../models/write-whole.js';
import { ConfigurationError } from '../settings/configuration-error.js';
import { validate } from '../settings/validate.js';
import type { Retriever, RetrieveOptions } from './retriever.js';

export interface Bm25Options {
  /**
   * Fields and their weights: `title`, `content` (a page's text, without its markup), `url`, or a key of `metadata`.
   * Default `{ title: 2, content: 1 }`.
   */
  readonly fields?: Readonly<Record<string, number>>;
  /** How soon more of the same term stops to count. Default 1.2. */
  readonly k1?: number;
  /** How much a field's length counts against it, 0 to 1. Default 0.75. */
  readonly b?: number;
}

const optionsSchema = z.strictObject({
  fields: z.record(z.string().min(1), z.number().positive()).default({ title: 2, content: 1 }),
  k1: z.number().positive().default(1.2),
  b: z.number().min(0).max(1).default(0.75),
});

const LIMIT = 10;
const FORMAT = 'ragpress-bm25';
const VERSION = 1;
const TURN_MILLISECONDS = 5;

interface Entry {
  readonly document: SourceDocument;
  /** Terms a field, in the order of the fields. */
  readonly lengths: readonly number[];
}

/** Where a term stands: an entry, a field and how often, three numbers each. */
type Postings = number[];

/** Frequencies of an entry's terms: term and count, two numbers each, by field. */
type Bags = readonly (readonly number[])[];

/**
 * An inverted index in memory, scored by BM25 over weighted fields (BM25F, Robertson and Zaragoza 2009, section 3.6).
 * Terms are those of ragpress throughout: Unicode words, folded, with pairs for Chinese, Japanese and Korean.
 */
export class Bm25Retriever implements Retriever {
  readonly #settings: z.output<typeof optionsSchema>;
  readonly #fields: readonly string[];
  readonly #postings = new Map<number, Postings>();
  /** By number of arrival; undefined once removed. */
  readonly #entries: (Entry | undefined)[] = [];
  readonly #numbers = new Map<string, number>();
  /** Sum of the lengths of each field. */
  readonly #totals: number[];

  /** @throws ConfigurationError */
  constructor(options: Bm25Options = {}) {
    this.#settings = validate(optionsSchema, options, 'bm25');
    this.#fields = Object.keys(this.#settings.fields);
    if (this.#fields.length === 0)
      throw new ConfigurationError('bm25.fields', options.fields, 'give at least one field');
    this.#totals = this.#fields.map(() => 0);
  }

  /** Number of documents. */
  get size(): number {
    return this.#numbers.size;
  }

  /** Adds documents. One whose id is known replaces that one. The event loop has its turns in between. */
  async add(documents: Iterable<SourceDocument>): Promise<void> {
    let turn = performance.now();
    for (const document of documents) {
      const given = document as Partial<SourceDocument> | null | undefined;
      if (typeof given?.id !== 'string' || typeof given.content !== 'string') {
        throw new ConfigurationError('documents', document, 'give { id, content }, both strings');
      }
      this.#insert(document, this.#bags(document));
      if (performance.now() - turn > TURN_MILLISECONDS) {
        await setImmediate();
        turn = performance.now();
      }
    }
  }

  /** Removes documents. @returns how many of the ids were known */
  remove(ids: Iterable<string>): number {
    let removed = 0;
    for (const id of ids) if (this.#drop(id)) removed++;
    return removed;
  }

  /** @throws ConfigurationError for a limit that is no whole number above 0; the signal's reason when aborted */
  retrieve(query: string, options: RetrieveOptions = {}): Promise<SourceDocument[]> {
    // Within the promise, so that it rejects where this throws.
    return new Promise((resolve) => {
      resolve(this.#best(query, options));
    });
  }

  #best(query: string, { limit = LIMIT, signal }: RetrieveOptions): SourceDocument[] {
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw new ConfigurationError('limit', limit, 'give a whole number above 0');
    signal?.throwIfAborted();
    const scores = new Map<number, number>();
    for (const term of queryTerms(query)) this.#addScores(this.#postings.get(term) ?? [], scores);
    const best = [...scores].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, limit);
    return best.map(([number, score]) => ({ ...this.#entries[number]!.document, score }));
  }

  /** Writes the index to a file, whole or not at all. */
  async save(path: string): Promise<void> {
    const lines = this.#lines();
    const body = lines.join('\n');
    const header = {
      format: FORMAT,
      version: VERSION,
      settings: this.#settings,
      documents: lines.length,
      sha256: sha256(body),
    };
    await writeWhole(path, await promisify(gzip)(`${JSON.stringify(header)}\n${body}`));
  }

  /** @throws ConfigurationError for a file that is no index, is damaged, or is of another version */
  static async load(path: string): Promise<Bm25Retriever> {
    const refuse = (reason: string) =>
      new ConfigurationError('path', path, `${reason}; build the index anew and save it`);
    let text: string;
    try {
      text = (await promisify(gunzip)(await readFile(path))).toString('utf8');
    } catch (error) {
      throw refuse(`it cannot be read (${(error as Error).message})`);
    }
    const end = text.indexOf('\n');
    const header = parseHeader(text.slice(0, end));
    if (header?.format !== FORMAT) throw refuse('it is no index of this kind');
    if (header.version !== VERSION)
      throw refuse(`it is of version ${String(header.version)}, and version ${VERSION} is read here`);
    const body = text.slice(end + 1);
    if (sha256(body) !== header.sha256) throw refuse('its checksum does not fit: it is damaged');
    const retriever = new Bm25Retriever(header.settings as Bm25Options);
    for (const line of body === '' ? [] : body.split('\n')) {
      const { document, bags } = JSON.parse(line) as { document: SourceDocument; bags: Bags };
      retriever.#insert(document, bags);
    }
    return retriever;
  }

  #bags(document: SourceDocument): Bags {
    const page =
      this.#fields.includes('content') || this.#fields.includes('title') ? pageOf(document) : undefined;
    return this.#fields.map((field) => {
      if (field === 'content') return frequencies(page!.terms);
      const text =
        field === 'title'
          ? (document.title ?? page!.title)
          : field === 'url'
            ? document.url
            : document.metadata?.[field];
      return typeof text === 'string' ? frequencies(indexTerms(text).terms) : [];
    });
  }

  #insert(document: SourceDocument, bags: Bags): void {
    this.#drop(document.id);
    const number = this.#entries.length;
    const lengths = bags.map((bag) =>
      bag.reduce((length, value, index) => length + (index % 2 === 1 ? value : 0), 0),
    );
    this.#entries.push({ document, lengths });
    this.#numbers.set(document.id, number);
    for (const [field, bag] of bags.entries()) {
      this.#totals[field]! += lengths[field]!;
      for (let i = 0; i < bag.length; i += 2) {
        const postings = this.#postings.get(bag[i]!);
        if (postings) postings.push(number, field, bag[i + 1]!);
        else this.#postings.set(bag[i]!, [number, field, bag[i + 1]!]);
      }
    }
  }

  #drop(id: string): boolean {
    const number = this.#numbers.get(id);
    if (number === undefined) return false;
    for (const [field, length] of this.#entries[number]!.lengths.entries()) this.#totals[field]! -= length;
    this.#entries[number] = undefined;
    this.#numbers.delete(id);
    // What is removed leaves gaps; they are closed once they are the greater part.
    if (this.#entries.length > 64 && this.#entries.length > 2 * this.size) this.#compact();
    return true;
  }

  #compact(): void {
    const moved = new Map<number, number>();
    const entries = this.#entries.filter((entry, number) => {
      if (entry) moved.set(number, moved.size);
      return entry;
    });
    this.#entries.length = 0;
    for (const [number, entry] of entries.entries()) {
      this.#entries.push(entry);
      this.#numbers.set(entry!.document.id, number);
    }
    for (const [term, postings] of this.#postings) {
      const kept: Postings = [];
      for (let i = 0; i < postings.length; i += 3) {
        const number = moved.get(postings[i]!);
        if (number !== undefined) kept.push(number, postings[i + 1]!, postings[i + 2]!);
      }
      if (kept.length > 0) this.#postings.set(term, kept);
      else this.#postings.delete(term);
    }
  }

  #addScores(postings: Postings, scores: Map<number, number>): void {
    const { fields, k1, b } = this.#settings;
    const weights = Object.values(fields);
    const averages = this.#totals.map((total) => total / (this.size || 1) || 1);
    const weighted = new Map<number, number>();
    for (let i = 0; i < postings.length; i += 3) {
      const entry = this.#entries[postings[i]!];
      if (!entry) continue;
      const field = postings[i + 1]!;
      const norm = 1 - b + (b * entry.lengths[field]!) / averages[field]!;
      weighted.set(
        postings[i]!,
        (weighted.get(postings[i]!) ?? 0) + (weights[field]! * postings[i + 2]!) / norm,
      );
    }
    const idf = Math.log(1 + (this.size - weighted.size + 0.5) / (weighted.size + 0.5));
    for (const [number, frequency] of weighted) {
      scores.set(number, (scores.get(number) ?? 0) + (idf * frequency * (k1 + 1)) / (k1 + frequency));
    }
  }

  /** A line for each document, in order of arrival, with the frequencies of its terms. */
  #lines(): string[] {
    const bags = this.#entries.map(() => this.#fields.map((): number[] => []));
    for (const [term, postings] of this.#postings) {
      for (let i = 0; i < postings.length; i += 3)
        bags[postings[i]!]![postings[i + 1]!]!.push(term, postings[i + 2]!);
    }
    return this.#entries.flatMap((entry, number) =>
      entry ? [JSON.stringify({ document: entry.document, bags: bags[number] })] : [],
    );
  }
}

/** A document's text without its markup, or as it stands where it cannot be read. */
function pageOf(document: SourceDocument): { title: string | undefined; terms: Uint32Array } {
  try {
    return extractPage(document.content, document.format, document.url ?? document.id);
  } catch {
    return { title: undefined, terms: indexTerms(document.content).terms };
  }
}

function frequencies(terms: Uint32Array): number[] {
  const counts = new Map<number, number>();
  for (const term of terms) counts.set(term, (counts.get(term) ?? 0) + 1);
  return [...counts].flat();
}

function parseHeader(
  line: string,
): { format?: unknown; version?: unknown; settings?: unknown; sha256?: unknown } | undefined {
  try {
    return JSON.parse(line) as object;
  } catch {
    return undefined;
  }
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { z } from 'zod';
import type { SourceDocument } from '../compressors/contract.js';
import { ConfigurationError } from '../settings/configuration-error.js';
import { extractPage } from '../compressors/extract.js';
import { BLOCK } from '../compressors/page.js';
import { validate } from '../settings/validate.js';
import type { EmbeddingModel } from '../models/encoder/embedding-model.js';
import { writeWhole } from '../models/write-whole.js';
import { HnswIndex } from './hnsw.js';
import type { Retriever, RetrieveOptions } from './retriever.js';
import { Vectors, type Neighbour, type Precision } from './vectors.js';

export interface DenseOptions {
  readonly embedder: EmbeddingModel;
  /** How vectors are kept: int8 takes a quarter of the memory. Default `int8`. */
  readonly precision?: Precision;
  /**
   * Length in UTF-16 code units past which a document is embedded in several passages, cut where white space is; it is
   * found by the best of them. Default 1,000, about what 256 tokens hold.
   */
  readonly passageLength?: number;
  /**
   * Passages from which on hnswlib-node finds the nearest, where it can be loaded: approximately, and without looking at
   * all of them. Default 20,000; `Infinity` for never.
   */
  readonly hnswFrom?: number;
  /** Documents must be more alike than this to be found, as a cosine. Default 0. */
  readonly minimumScore?: number;
}

const optionsSchema = z.strictObject({
  embedder: z.custom<EmbeddingModel>(
    (value) =>
      typeof (value as EmbeddingModel | null)?.embed === 'function' &&
      Number.isSafeInteger((value as EmbeddingModel).dimensions),
    'give { dimensions, embed }',
  ),
  precision: z.enum(['int8', 'float32']).default('int8'),
  passageLength: z.int().min(100).default(1_000),
  hnswFrom: z.union([z.int().min(1), z.literal(Infinity)]).default(20_000),
  minimumScore: z.number().min(-1).max(1).default(0),
});

const LIMIT = 10;
const FORMAT = 'ragpress-dense';
const VERSION = 1;
const PASSAGES_A_BATCH = 64;
const TURN_MILLISECONDS = 5;

interface Entry {
  readonly document: SourceDocument;
  /** Numbers of its passages' vectors. */
  readonly slots: readonly number[];
}

/**
 * Documents by their vectors: those of their passages that are most alike to the query's. Ties go to the one that came
 * first.
 *
 * @example
 * const retriever = new DenseRetriever({ embedder: await Embedder.load() });
 * await retriever.add(documents);
 * const found = await retriever.retrieve('Who runs the ferry?', { limit: 5 });
 */
export class DenseRetriever implements Retriever {
  readonly #settings: z.output<typeof optionsSchema>;
  readonly #entries = new Map<string, Entry>();
  /** Id of the document that a vector belongs to; undefined for one that is free. */
  #owners: (string | undefined)[] = [];
  #free: number[] = [];
  #vectors: Vectors;
  #hnsw: HnswIndex | undefined;
  /** Numbers of vectors that are not in the graph yet. */
  readonly #pending = new Set<number>();

  /** @throws ConfigurationError */
  constructor(options: DenseOptions) {
    this.#settings = validate(optionsSchema, options, 'dense');
    this.#vectors = new Vectors(this.#settings.embedder.dimensions, this.#settings.precision);
  }

  /** Number of documents. */
  get size(): number {
    return this.#entries.size;
  }

  /** Number of passages. */
  get passages(): number {
    return this.#owners.length - this.#free.length;
  }

  /** How the nearest are found now: by comparing with every passage, or in hnswlib's graph. */
  get index(): 'exact' | 'hnsw' {
    return this.#hnsw && this.#pending.size === 0 ? 'hnsw' : 'exact';
  }

  /**
   * Adds documents; one whose id is known replaces that one. They are found from the moment they are embedded.
   * @throws ConfigurationError; what the embedder throws; the signal's reason when aborted, what came before it stays
   */
  async add(
    documents: Iterable<SourceDocument>,
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<void> {
    let batch: { document: SourceDocument; texts: string[] }[] = [];
    let passages = 0;
    const flush = async () => {
      const texts = batch.flatMap((entry) => entry.texts);
      const vectors = await this.#embed(texts, signal);
      let at = 0;
      for (const { document, texts } of batch) {
        this.#insert(document, vectors.slice(at, at + texts.length));
        at += texts.length;
      }
      batch = [];
      passages = 0;
    };
    let turn = performance.now();
    for (const document of documents) {
      if (
        typeof (document as Partial<SourceDocument>).id !== 'string' ||
        typeof (document as Partial<SourceDocument>).content !== 'string'
      ) {
        throw new ConfigurationError('documents', document, 'give { id, content }, both strings');
      }
      const texts = passagesOf(document, this.#settings.passageLength);
      batch.push({ document, texts });
      passages += texts.length;
      if (passages >= PASSAGES_A_BATCH) await flush();
      if (performance.now() - turn > TURN_MILLISECONDS) {
        await setImmediate();
        turn = performance.now();
      }
    }
    await flush();
    await this.#buildIndex(signal);
  }

  /** Removes documents. @returns how many of the ids were known */
  remove(ids: Iterable<string>): number {
    let removed = 0;
    for (const id of ids) if (this.#drop(id)) removed++;
    return removed;
  }

  /**
   * `score` is the cosine of the query and the document's best passage.
   * @throws ConfigurationError for a limit that is no whole number above 0; the signal's reason when aborted
   */
  async retrieve(query: string, { limit = LIMIT, signal }: RetrieveOptions = {}): Promise<SourceDocument[]> {
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw new ConfigurationError('limit', limit, 'give a whole number above 0');
    signal?.throwIfAborted();
    if (this.size === 0) return [];
    const { minimumScore } = this.#settings;
    const [vector] = await this.#embed([query], signal);
    // Several of the nearest passages may be of one document: more are looked for until there are enough documents.
    for (let count = 2 * limit; ; count *= 4) {
      const wanted = Math.min(count, this.passages);
      const best = new Map<string, number>();
      const neighbours = await this.#nearest(vector!, wanted, signal);
      for (const { slot, score } of neighbours) {
        const id = this.#owners[slot];
        if (id !== undefined && score > minimumScore && !best.has(id)) best.set(id, score);
      }
      const isLast = wanted >= this.passages || (neighbours.at(-1)?.score ?? -1) <= minimumScore;
      if (best.size < limit && !isLast) continue;
      return [...best].slice(0, limit).map(([id, score]) => ({ ...this.#entries.get(id)!.document, score }));
    }
  }

  /** Writes the index to a file, whole or not at all. */
  async save(path: string): Promise<void> {
    const documents = Buffer.from(JSON.stringify([...this.#entries.values()]));
    const hnsw = this.index === 'hnsw' ? await this.#hnsw!.bytes() : Buffer.alloc(0);
    const parts = [documents, ...this.#vectors.bytes(), hnsw];
    const { embedder, ...settings } = this.#settings;
    const header = {
      format: FORMAT,
      version: VERSION,
      model: embedder.model ?? null,
      dimensions: embedder.dimensions,
      settings: { ...settings, hnswFrom: Number.isFinite(settings.hnswFrom) ? settings.hnswFrom : null },
      vectors: this.#vectors.size,
      bytes: { documents: documents.length, hnsw: hnsw.length },
      sha256: sha256(parts),
    };
    await writeWhole(path, Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...parts]));
  }

  /**
   * @param embedder the one that the index was made with
   * @throws ConfigurationError for a file that is no index, is damaged, or is of another version or model
   */
  static async load(
    path: string,
    { embedder }: { readonly embedder: EmbeddingModel },
  ): Promise<DenseRetriever> {
    const refuse = (reason: string) =>
      new ConfigurationError('path', path, `${reason}; build the index anew and save it`);
    let file: Buffer;
    try {
      file = await readFile(path);
    } catch (error) {
      throw refuse(`it cannot be read (${(error as Error).message})`);
    }
    const end = file.indexOf(10);
    const header = parseHeader(file.toString('utf8', 0, Math.max(0, end)));
    if (!header) throw refuse('it is no index of this kind');
    if (header.version !== VERSION)
      throw refuse(`it is of version ${header.version}, and version ${VERSION} is read here`);
    const body = file.subarray(end + 1);
    if (sha256([body]) !== header.sha256) throw refuse('its checksum does not fit: it is damaged');
    if (header.model !== (embedder.model ?? null) || header.dimensions !== embedder.dimensions) {
      throw refuse(
        `it was made with ${header.model ?? 'a model without a name'}, ${header.dimensions} wide, and the embedder is ` +
          `${embedder.model ?? 'without a name'}, ${embedder.dimensions} wide`,
      );
    }
    const { hnswFrom, ...settings } = header.settings;
    const retriever = new DenseRetriever({ ...settings, hnswFrom: hnswFrom ?? Infinity, embedder });
    const { documents, hnsw } = header.bytes;
    const entries = JSON.parse(body.toString('utf8', 0, documents)) as Entry[];
    await retriever.#restore(
      entries,
      header.vectors,
      body.subarray(documents, body.length - hnsw),
      body.subarray(body.length - hnsw),
    );
    return retriever;
  }

  async #restore(entries: readonly Entry[], size: number, vectors: Buffer, hnsw: Buffer): Promise<void> {
    const { embedder, precision } = this.#settings;
    this.#vectors = Vectors.from(embedder.dimensions, precision, size, vectors);
    this.#owners = new Array<string | undefined>(size).fill(undefined);
    for (const entry of entries) {
      this.#entries.set(entry.document.id, entry);
      for (const slot of entry.slots) this.#owners[slot] = entry.document.id;
    }
    this.#free = [...this.#owners.keys()].filter((slot) => this.#owners[slot] === undefined);
    if (hnsw.length > 0) this.#hnsw = await HnswIndex.from(embedder.dimensions, hnsw, this.#free);
    if (!this.#hnsw) for (const { slots } of entries) for (const slot of slots) this.#pending.add(slot);
    await this.#buildIndex();
  }

  async #embed(texts: readonly string[], signal: AbortSignal | undefined): Promise<readonly Float32Array[]> {
    if (texts.length === 0) return [];
    const { embedder } = this.#settings;
    const vectors = await embedder.embed(texts, signal && { signal });
    const wrong = vectors.find(({ length }) => length !== embedder.dimensions);
    if (wrong)
      throw new ConfigurationError(
        'dense.embedder',
        wrong.length,
        `its vectors must be ${embedder.dimensions} wide`,
      );
    return vectors;
  }

  #insert(document: SourceDocument, vectors: readonly Float32Array[]): void {
    this.#drop(document.id);
    const slots = vectors.map((vector) => {
      const slot = this.#free.pop() ?? this.#owners.length;
      this.#owners[slot] = document.id;
      this.#vectors.set(slot, vector);
      return slot;
    });
    this.#entries.set(document.id, { document, slots });
    for (const slot of slots) this.#pending.add(slot);
  }

  #drop(id: string): boolean {
    const entry = this.#entries.get(id);
    if (!entry) return false;
    this.#entries.delete(id);
    for (const slot of entry.slots) {
      this.#owners[slot] = undefined;
      this.#free.push(slot);
      this.#pending.delete(slot);
      this.#hnsw?.remove(slot);
    }
    return true;
  }

  async #nearest(query: Float32Array, count: number, signal: AbortSignal | undefined): Promise<Neighbour[]> {
    if (this.index === 'exact')
      return this.#vectors.nearest(query, count, (slot) => this.#owners[slot] !== undefined, signal);
    return this.#hnsw!.nearest(query, count)
      .map((slot) => ({ slot, score: this.#vectors.score(slot, query) }))
      .sort((a, b) => b.score - a.score || a.slot - b.slot);
  }

  /** Links what is not in the graph yet, once there is enough for one. Until that is done the search is exact. */
  async #buildIndex(signal?: AbortSignal): Promise<void> {
    if (!this.#hnsw) {
      if (this.passages < this.#settings.hnswFrom) return;
      const created = await HnswIndex.create(this.#settings.embedder.dimensions);
      this.#hnsw ??= created;
      if (!this.#hnsw) return;
    }
    let turn = performance.now();
    for (const slot of this.#pending) {
      this.#hnsw.set(slot, this.#vectors.get(slot));
      this.#pending.delete(slot);
      if (performance.now() - turn > TURN_MILLISECONDS) {
        await setImmediate();
        signal?.throwIfAborted();
        turn = performance.now();
      }
    }
  }
}

/** A document's text in passages, each with its title before it; as it stands where it cannot be read. */
function passagesOf(document: SourceDocument, length: number): string[] {
  let { title } = document;
  const passages: string[] = [];
  let passage = '';
  const add = (text: string) => {
    if (passage !== '' && passage.length + text.length >= length) {
      passages.push(passage);
      passage = '';
    }
    passage += passage === '' ? text : `\n${text}`;
  };
  try {
    const page = extractPage(document.content, document.format, document.url ?? document.id);
    title ??= page.title;
    for (let at = 0; at < page.blocks.length; at += BLOCK.size) {
      const text = page.text.slice(page.blocks[at + BLOCK.textStart], page.blocks[at + BLOCK.textEnd]);
      for (const piece of pieces(text, length)) add(piece);
    }
  } catch {
    for (const piece of pieces(document.content, length)) add(piece);
  }
  if (passage !== '' || title !== undefined) passages.push(passage);
  const head = title === undefined ? '' : `${title.slice(0, length / 4)}\n`;
  return passages.map((text) => `${head}${text}`);
}

/** Text cut where white space is, or within a run longer than a piece. */
function* pieces(text: string, length: number): Generator<string> {
  let start = 0;
  while (text.length - start > length) {
    const space = text.lastIndexOf(' ', start + length);
    const end = space > start ? space : start + length;
    yield text.slice(start, end);
    start = space > start ? end + 1 : end;
  }
  yield text.slice(start);
}

const headerSchema = z.object({
  format: z.literal(FORMAT),
  version: z.number(),
  model: z.string().nullable(),
  dimensions: z.int().positive(),
  settings: z.object({
    precision: z.enum(['int8', 'float32']),
    passageLength: z.number(),
    hnswFrom: z.number().nullable(),
    minimumScore: z.number(),
  }),
  vectors: z.int().nonnegative(),
  bytes: z.object({ documents: z.int().nonnegative(), hnsw: z.int().nonnegative() }),
  sha256: z.string(),
});

function parseHeader(line: string): z.output<typeof headerSchema> | undefined {
  try {
    return headerSchema.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}

function sha256(parts: readonly Buffer[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
}

import { LRUCache } from 'lru-cache';
import type { Reuse } from '../models/decoder/generation.js';
import type { ChunkEngine, PlacedKv, Prefilled } from './chunk-engine.js';
import type { ChunkIdentity } from './chunk-identity.js';
import type { ChunkKv } from './chunk-kv.js';
import { encodeRecord, memorySource, RecordError, RecordReader, type RecordMeta } from './chunk-record.js';
import { KvCodecError, type KvCodec } from './codecs/kv-codec.js';
import { EditedChunks } from './edited-chunks.js';
import { occurrences } from './occurrences.js';
import { prefillBy, type KnownChunk } from './prefill-by.js';
import type { PlacedPiece, PromptLayout } from './prompt-layout.js';
import type { CachedChunk, ChunkStatistics, SelectionPolicy } from './selection/selection-policy.js';
import type { ChunkStore } from './store/chunk-store.js';
import { loadCost } from './store/load-cost.js';
import type { RecordHandle } from './store/tier.js';
import type { Steps } from './steps.js';

export interface ChunkCachesOptions {
  readonly engine: ChunkEngine;
  readonly identity: ChunkIdentity;
  /** What the identity was made from, by name: it stands in records. */
  readonly fingerprints: Readonly<Record<string, string>>;
  readonly store: ChunkStore;
  readonly codec: KvCodec;
  readonly policy: SelectionPolicy;
  /** Bytes of decoded chunks that are kept ready beside the store. */
  readonly readyBytes: number;
  /** Whether an edited chunk is made from what it was before. */
  readonly edits: boolean;
}

/** What a record tells beside its keys and values. */
interface ChunkMeta extends RecordMeta {
  readonly statistics: RecordMeta['statistics'] & {
    readonly madeBehind?: readonly string[];
    readonly attention?: ChunkStatistics & RecordMeta['statistics'];
  };
}

/** Of one chunk under different prefixes; more would seldom be chosen. */
const VERSIONS = 5;
/** Tokens a second, before anything was computed. */
const FIRST_GUESS = 500;

/** What a cache has of a piece. */
type Loaded = Omit<PlacedKv, 'piece'>;

/** Tokens that a cache had, by key. */
type Known = Map<string, number>;

interface Wanted {
  readonly key: string;
  readonly piece: PlacedPiece;
}

/** Prompts from caches of their chunks, and caches from prompts. */
export class ChunkCaches {
  readonly #options: ChunkCachesOptions;
  readonly #ready: LRUCache<string, ChunkKv>;
  readonly #making = new Set<string>();
  readonly #edited: EditedChunks | undefined;
  /** A moving average; undefined before anything was computed. */
  #measuredSpeed: number | undefined;

  constructor(options: ChunkCachesOptions) {
    this.#options = options;
    this.#edited = options.edits ? new EditedChunks() : undefined;
    this.#ready = new LRUCache({
      maxSize: Math.max(1, options.readyBytes),
      sizeCalculation: ({ keys, values }) => keys.byteLength + values.byteLength,
    });
  }

  /** Deletes what is kept under keys that begin so. @returns how many records RAM and disk had */
  async forget(prefix: string): Promise<number> {
    for (const key of this.#ready.keys()) if (key.startsWith(prefix)) this.#ready.delete(key);
    return this.#options.store.deleteAll(prefix);
  }

  /** The prompt, ready to be gone on from. Chunks that no cache has are computed and kept. */
  async *prefill(layout: PromptLayout): Steps<Prefilled & { readonly reuse: Reuse }> {
    const { engine, policy } = this.#options;
    const read = (isLate: boolean) =>
      policy.versions === 'in-context' ? this.#inContext(layout, isLate) : this.#alone(layout, isLate);
    try {
      return yield* read(engine.cut > 0);
    } catch (error) {
      // Layers that came while others were computed cannot be used.
      if (!(error instanceof RecordError)) throw error;
      return yield* read(false);
    }
  }

  /** Chunks by themselves behind the prefix: what a cache has does not depend on what stood beside it. */
  async *#alone(layout: PromptLayout, isLate: boolean): Steps<Prefilled & { readonly reuse: Reuse }> {
    const { engine, identity, policy } = this.#options;
    const prefix = this.#prefixOf(layout);
    const ids = layout.chunks.map(({ tokens }) => identity.chunk(tokens));
    const before = prefix ? [identity.chunk(prefix.piece.tokens)] : [];
    const wanted = layout.chunks.map((piece, i) => ({
      key: `${ids[i]!}/${identity.version(ids[i]!, before)}`,
      piece,
    }));
    const known: Known = new Map();
    const first = prefix && (yield* this.#known(prefix, known));
    const kvs = yield* this.#kvs(first, wanted, known, isLate);
    const cached = wanted.map(({ key, piece }, i) => ({
      key,
      piece,
      ...kvs.get(key)!,
      before: ids.slice(0, i),
      madeBehind: [],
      statistics: undefined,
    }));
    const { anew, slots, hidden, computed } = yield* prefillBy(engine, policy, layout, first, cached);
    const reuse = this.#count(layout, first ? [first, ...cached] : cached, anew, known);
    return { slots, hidden, computed, reuse };
  }

  /** Chunks as earlier prompts left them, each in the version that needs least repair here; others are kept from this one. */
  async *#inContext(layout: PromptLayout, isLate: boolean): Steps<Prefilled & { readonly reuse: Reuse }> {
    const { engine, policy } = this.#options;
    const { chunks } = layout;
    const prefix = this.#prefixOf(layout);
    const ids = this.#idsInContext(layout);
    const keys = prefix ? [prefix.key, ...ids] : ids;
    // What another prompt is computing is waited for.
    while (keys.some((key) => this.#making.has(key))) yield;
    for (const key of keys) this.#making.add(key);
    try {
      const loaded = prefix && (await this.#load(prefix.key, prefix.piece));
      const first = loaded && { ...prefix, ...loaded };
      if (first) this.#making.delete(first.key);
      // At once: while one is decoded others come from where they are kept.
      const found = await Promise.all(
        chunks.map(async (piece, i): Promise<(KnownChunk & { readonly key: string })[]> => {
          const best = await this.#bestVersion(piece, ids[i]!, ids.slice(0, i));
          const loaded = best && (await this.#load(best.key, piece, isLate));
          if (!loaded) return [];
          this.#making.delete(ids[i]!);
          return [{ ...best, ...loaded }];
        }),
      );
      const cached = found.flat();
      const known: Known = new Map(
        (first ? [first, ...cached] : cached).map(({ key, kv }) => [key, kv.tokens]),
      );
      const began = performance.now();
      const { anew, made, ...prompt } = yield* prefillBy(engine, policy, layout, first, cached);
      if (made.length > 0) this.#measured(prompt.computed, performance.now() - began);
      for (const { piece, kv, statistics } of made) {
        const i = chunks.indexOf(piece);
        if (statistics) await this.#keepInContext(piece, kv, statistics, ids[i]!, ids.slice(0, i));
        else await this.#keep(prefix!.key, { piece, kv }, {});
      }
      return { ...prompt, reuse: this.#count(layout, first ? [first, ...cached] : cached, anew, known) };
    } finally {
      for (const key of keys) this.#making.delete(key);
    }
  }

  async *#known(prefix: Wanted, known: Known): Steps<Wanted & PlacedKv> {
    return { ...prefix, ...(yield* this.#kvs(undefined, [prefix], known)).get(prefix.key)! };
  }

  #prefixOf({ pieces: [first] }: PromptLayout): Wanted | undefined {
    const { identity } = this.#options;
    if (first?.kind !== 'prefix') return undefined;
    const id = identity.chunk(first.tokens);
    return { key: `${id}/${identity.version(id, [])}`, piece: first };
  }

  /** Of chunks that stand more than once each time another. */
  #idsInContext({ chunks }: PromptLayout): string[] {
    const { identity } = this.#options;
    const ids = chunks.map(({ tokens }) => identity.chunk(tokens));
    return occurrences(ids).map((nth, i) =>
      nth === 0 ? ids[i]! : identity.chunk(chunks[i]!.tokens, { nth }),
    );
  }

  /**
   * Keys and values by key; those that are nowhere are computed together and kept.
   * @param known takes how many tokens a cache had of each that it had something of
   * @param isLate whether layers above the engine's last cut may come later
   */
  async *#kvs(
    prefix: (Wanted & PlacedKv) | undefined,
    wanted: readonly Wanted[],
    known: Known,
    isLate = false,
  ): Steps<ReadonlyMap<string, Loaded>> {
    const kvs = new Map<string, Loaded>();
    // What another prompt is computing is waited for, the others' turns being what is waited with.
    while (wanted.some(({ key }) => this.#making.has(key))) yield;
    const all = new Map(wanted.map(({ key, piece }) => [key, piece]));
    const loads = [...all].map(async ([key, piece]) => {
      const loaded = await this.#load(key, piece, isLate);
      if (!loaded) return;
      kvs.set(key, loaded);
      known.set(key, loaded.kv.tokens);
    });
    // Marked before the first wait: nobody else begins with them.
    for (const key of all.keys()) this.#making.add(key);
    try {
      await Promise.all(loads);
      for (const key of kvs.keys()) this.#making.delete(key);
      if (this.#edited && prefix) yield* this.#edit(this.#edited, prefix, all, kvs, known);
      const missing = [...all].filter(([key]) => !kvs.has(key));
      if (missing.length === 0) return kvs;
      const began = performance.now();
      const made = yield* this.#options.engine.computeChunks(
        prefix?.kv,
        missing.map(([, { tokens }]) => tokens),
      );
      const tokens = made.reduce((sum, kv) => sum + kv.tokens, 0);
      this.#measured(tokens, performance.now() - began);
      for (const [i, [key, piece]] of missing.entries())
        kvs.set(key, { kv: await this.#keep(key, { piece, kv: made[i]! }, {}) });
      return kvs;
    } finally {
      for (const key of all.keys()) this.#making.delete(key);
    }
  }

  /** Those that were known before somebody edited them. */
  async *#edit(
    edited: EditedChunks,
    prefix: Wanted & PlacedKv,
    wanted: ReadonlyMap<string, PlacedPiece>,
    kvs: Map<string, Loaded>,
    known: Known,
  ): Steps<void> {
    for (const [key, piece] of wanted) {
      if (!kvs.has(key)) {
        const old = edited.find(prefix.key, piece.tokens);
        const before = old && (await this.#load(old.key, { ...piece, tokens: old.tokens }));
        if (before) {
          const kv = yield* this.#options.engine.editChunk(prefix.kv, before.kv, piece.tokens, old);
          kvs.set(key, { kv: await this.#keep(key, { piece, kv }, {}) });
          known.set(key, old.head + old.tail);
        }
      }
      edited.add(prefix.key, key, piece.tokens);
    }
  }

  /**
   * @param isLate whether layers above the engine's last cut may come later: from a disk, whose reads go on while a graph
   * is run
   * @returns undefined where no tier has it, what it has cannot be used, or computing it is faster
   */
  async #load(key: string, { tokens }: PlacedPiece, isLate = false): Promise<Loaded | undefined> {
    const ready = this.#ready.get(key);
    if (ready) return { kv: ready };
    const { store, engine } = this.#options;
    const handle = await store.lookup(key);
    if (!handle) return undefined;
    let rest: Promise<void> | undefined;
    try {
      const cost = { tokens: tokens.length, bytes: handle.bytes, speed: store.speed(handle.tier) };
      if (!loadCost({ ...cost, computeTokensPerSecond: this.#tokensPerSecond }).loads) return undefined;
      const reader = await RecordReader.open(handle);
      if (reader.tokens !== tokens.length) throw new RecordError('damaged', 'it is of another chunk');
      const kv = reader.room();
      const { layers } = reader.dims;
      const to = isLate && handle.tier === 'disk' ? engine.cut : layers;
      await reader.readLayers({ from: 0, to }, kv);
      if (to < layers) {
        rest = this.#readRest(key, handle, reader, kv);
        rest.catch(() => undefined); // Whoever needs it is told.
      } else this.#ready.set(key, kv);
      return { kv, rest };
    } catch (error) {
      await this.#refuse(key, error);
      return undefined;
    } finally {
      if (!rest) await handle.close();
    }
  }

  async #readRest(key: string, handle: RecordHandle, reader: RecordReader, kv: ChunkKv): Promise<void> {
    const range = { from: this.#options.engine.cut, to: kv.dims.layers };
    try {
      // Bytes wait here for a graph that is being run: they tell nothing of how fast they came.
      await reader.readLayers(range, kv, false);
      this.#ready.set(key, kv);
    } catch (error) {
      await this.#refuse(key, error);
      throw error;
    } finally {
      await handle.close();
    }
  }

  async #refuse(key: string, error: unknown): Promise<void> {
    if (!(error instanceof RecordError)) throw error;
    await this.#options.store.refuse(key, error.code);
  }

  /**
   * @param kv overwritten
   * @returns keys and values as they will be read again, so that an answer does not depend on whether they were kept
   */
  async #keep(key: string, { piece, kv }: PlacedKv, statistics: ChunkMeta['statistics']): Promise<ChunkKv> {
    const { codec, fingerprints, store } = this.#options;
    const [chunkId, versionId] = key.split('/') as [string, string];
    let record: Uint8Array;
    try {
      record = encodeRecord(
        { chunkId, versionId, fingerprints, tokenIds: piece.tokens, statistics },
        kv,
        codec,
      );
    } catch (error) {
      // Numbers that are none: what comes of them is found where the logits are read.
      if (error instanceof KvCodecError) return kv;
      throw error;
    }
    const reader = await RecordReader.open(memorySource(record));
    const kept = await reader.readAll(kv);
    this.#ready.set(key, kept);
    // Writing to disk is not waited for: what fails is counted there.
    void store.put(key, record, { savedMs: this.#saved(kv.tokens) });
    return kept;
  }

  async #keepInContext(
    piece: PlacedPiece,
    kv: ChunkKv,
    attention: ChunkStatistics,
    id: string,
    madeBehind: readonly string[],
  ): Promise<void> {
    const { identity, store } = this.#options;
    const key = `${id}/${identity.version(id, madeBehind)}`;
    if ((await store.keys(`${id}/`)).length < VERSIONS)
      await this.#keep(key, { piece, kv }, { madeBehind, attention: { ...attention } });
  }

  async #bestVersion(
    piece: PlacedPiece,
    id: string,
    before: readonly string[],
  ): Promise<(CachedChunk & { readonly key: string }) | undefined> {
    const { store, policy } = this.#options;
    let best: (CachedChunk & { readonly key: string }) | undefined;
    let least = Infinity;
    for (const key of await store.keys(`${id}/`)) {
      const meta = await this.#metaOf(key);
      if (!meta) continue;
      const { madeBehind = [], attention } = meta.statistics;
      const chunk = { key, piece, before, madeBehind, statistics: attention };
      const [rows] = policy.select([chunk]);
      const repair = rows === 'whole' ? piece.tokens.length : rows!.length;
      if (repair < least) [best, least] = [chunk, repair];
    }
    return best;
  }

  /** @returns undefined where no tier has the record, or what it has cannot be used */
  async #metaOf(key: string): Promise<ChunkMeta | undefined> {
    const handle = await this.#options.store.lookup(key);
    if (!handle) return undefined;
    try {
      return (await RecordReader.open<ChunkMeta>(handle)).meta;
    } catch (error) {
      await this.#refuse(key, error);
      return undefined;
    } finally {
      await handle.close();
    }
  }

  #count(
    layout: PromptLayout,
    placed: readonly (PlacedKv & { readonly key: string })[],
    anew: ReadonlySet<number>,
    known: Known,
  ): Reuse {
    let [reused, repaired] = [0, 0];
    for (const { key, piece } of placed) {
      const tokens = known.get(key);
      if (tokens === undefined) continue;
      const own = piece.tokens.filter((_, i) => anew.has(piece.start + i)).length;
      reused += tokens - own;
      repaired += own;
      this.#options.store.used(key, this.#saved(tokens - own));
    }
    return { reused, repaired, computed: layout.tokens - reused - repaired };
  }

  get #tokensPerSecond(): number {
    return this.#measuredSpeed ?? FIRST_GUESS;
  }

  #measured(tokens: number, milliseconds: number): void {
    const now = (1000 * tokens) / Math.max(milliseconds, 0.01);
    this.#measuredSpeed = this.#measuredSpeed === undefined ? now : 0.8 * this.#measuredSpeed + 0.2 * now;
  }

  #saved(tokens: number): number {
    return (1000 * tokens) / this.#tokensPerSecond;
  }
}

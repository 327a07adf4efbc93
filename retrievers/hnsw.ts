import { randomUUID } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HierarchicalNSW } from 'hnswlib-node';

type Library = typeof import('hnswlib-node');

/** Links a vector, and candidates looked at when it is linked (Malkov and Yashunin 2018, section 4). */
const M = 16;
const EF_CONSTRUCTION = 200;
/** Candidates looked at in a search, where not more are wanted. */
const EF_SEARCH = 128;
const SEED = 100;

let library: Promise<Library | undefined> | undefined;

/** hnswlib-node is an optional dependency, compiled where it is installed: it may not be there. */
function loadLibrary(): Promise<Library | undefined> {
  library ??= import('hnswlib-node').then(
    // A CommonJS module: its exports are under `default`.
    (module) => ('default' in module ? module.default : module),
    () => undefined,
  );
  return library;
}

/** A graph of vectors in which the nearest are found without looking at all: approximate, and fast for many. */
export class HnswIndex {
  readonly #graph: HierarchicalNSW;
  readonly #indexed = new Set<number>();
  readonly #deleted = new Set<number>();

  private constructor(graph: HierarchicalNSW) {
    this.#graph = graph;
  }

  /** @returns undefined where hnswlib-node cannot be loaded */
  static async create(width: number): Promise<HnswIndex | undefined> {
    const loaded = await loadLibrary();
    if (!loaded) return undefined;
    const graph = new loaded.HierarchicalNSW('ip', width);
    graph.initIndex({ maxElements: 1_024, m: M, efConstruction: EF_CONSTRUCTION, randomSeed: SEED });
    return new HnswIndex(graph);
  }

  /** Number of vectors, removed ones aside. */
  get size(): number {
    return this.#indexed.size - this.#deleted.size;
  }

  /** Adds a vector under a number, or replaces it. */
  set(slot: number, vector: Float32Array): void {
    if (this.#graph.getCurrentCount() === this.#graph.getMaxElements())
      this.#graph.resizeIndex(2 * this.#graph.getMaxElements());
    if (this.#deleted.delete(slot)) this.#graph.unmarkDelete(slot);
    this.#graph.addPoint([...vector], slot);
    this.#indexed.add(slot);
  }

  remove(slot: number): void {
    if (!this.#indexed.has(slot) || this.#deleted.has(slot)) return;
    this.#graph.markDelete(slot);
    this.#deleted.add(slot);
  }

  /** Numbers of the nearest, best first. */
  nearest(query: Float32Array, count: number): number[] {
    this.#graph.setEf(Math.max(EF_SEARCH, 2 * count));
    return this.#graph.searchKnn([...query], Math.min(count, this.size)).neighbors;
  }

  /** The graph as hnswlib writes it. */
  async bytes(): Promise<Buffer> {
    return throughFile(async (path) => {
      await this.#graph.writeIndex(path);
      return readFile(path);
    });
  }

  /** @returns undefined where hnswlib-node cannot be loaded, or does not take the bytes */
  static async from(width: number, bytes: Buffer, deleted: Iterable<number>): Promise<HnswIndex | undefined> {
    const loaded = await loadLibrary();
    if (!loaded) return undefined;
    const graph = new loaded.HierarchicalNSW('ip', width);
    try {
      await throughFile(async (path) => {
        await writeFile(path, bytes);
        await graph.readIndex(path);
      });
    } catch {
      return undefined;
    }
    const index = new HnswIndex(graph);
    for (const slot of graph.getIdsList()) index.#indexed.add(slot);
    for (const slot of deleted) if (index.#indexed.has(slot)) index.#deleted.add(slot);
    return index;
  }
}

/** hnswlib reads and writes files alone. */
async function throughFile<Result>(use: (path: string) => Promise<Result>): Promise<Result> {
  const path = join(tmpdir(), `ragpress-${randomUUID()}.hnsw`);
  try {
    return await use(path);
  } finally {
    await rm(path, { force: true });
  }
}

import { Embedder } from '../../models/encoder/embedder.js';
import type { EmbeddingModel } from '../../models/encoder/embedding-model.js';
import type { ModelRegistry } from '../../models/registry.js';
import type { StageContext } from '../contract.js';

/** Texts that are embedded between two looks at the clock. */
const TEXTS_A_TURN = 4;

/** Part of the time left that embedding must leave for the rest of the pipeline. */
const TIME_SHARE = 0.6;

/** How near blocks are to a query, by an embedder that is opened when first needed. */
export class BlockEmbedding {
  readonly #given: string | EmbeddingModel;
  readonly #registry: ModelRegistry | undefined;
  #opening: Promise<EmbeddingModel> | undefined;

  constructor(embedder: string | EmbeddingModel, registry: ModelRegistry | undefined) {
    this.#given = embedder;
    this.#registry = registry;
  }

  /** @throws ConfigurationError; ModelError where the model cannot be had */
  async open(): Promise<void> {
    await (await this.#embedder()).embed(['']);
  }

  async close(): Promise<void> {
    const opening = this.#opening;
    this.#opening = undefined;
    const embedder = await opening?.catch(() => undefined);
    // What was given is its giver's to close.
    if (embedder instanceof Embedder && typeof this.#given === 'string') await embedder.close();
  }

  /**
   * @param texts the likeliest first: those that the deadline leaves no time for are not read
   * @returns the cosine of each text that was read with the query
   */
  async cosines(query: string, texts: readonly string[], context: StageContext): Promise<number[]> {
    const embedder = await this.#embedder();
    const [asked] = await embedder.embed([query], { signal: context.signal });
    const cosines: number[] = [];
    const began = performance.now();
    for (let at = 0; at < texts.length; at += TEXTS_A_TURN) {
      const now = performance.now();
      const left = TIME_SHARE * (context.deadline - now);
      if (at > 0 && ((now - began) / at) * TEXTS_A_TURN > left) break;
      const vectors = await embedder.embed(texts.slice(at, at + TEXTS_A_TURN), { signal: context.signal });
      for (const vector of vectors) cosines.push(dot(asked!, vector));
    }
    return cosines;
  }

  #embedder(): Promise<EmbeddingModel> {
    if (typeof this.#given !== 'string') return Promise.resolve(this.#given);
    this.#opening ??= Embedder.load({
      model: this.#given,
      ...(this.#registry && { registry: this.#registry }),
    });
    return this.#opening;
  }
}

function dot(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

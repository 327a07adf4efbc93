import { z } from 'zod';
import type { SourceDocument } from '../compressors/contract.js';
import { ConfigurationError } from '../settings/configuration-error.js';
import { validate } from '../settings/validate.js';
import type { Retriever, RetrieveOptions } from './retriever.js';

export interface WeightedRetriever {
  readonly retriever: Retriever;
  /** Default 1. */
  readonly weight?: number;
  /** What a failure is reported under. Default its place in the list, from 0. */
  readonly name?: string;
}

export interface HybridOptions {
  /** In order: of a document that several give, the first one's is taken. */
  readonly retrievers: readonly (Retriever | WeightedRetriever)[];
  /** How little the first places count above those after them. Default 60. */
  readonly k?: number;
  /** How many each retriever is asked for, the limit at least. Default 50. */
  readonly candidates?: number;
  /** Told of each retriever that failed in a call that others answered. */
  readonly onFailure?: (failure: RetrieverFailure) => void;
}

export interface RetrieverFailure {
  readonly retriever: string;
  readonly error: unknown;
}

export interface HybridResult {
  readonly documents: readonly SourceDocument[];
  /** Retrievers that failed; the documents are those of the others. */
  readonly failures: readonly RetrieverFailure[];
}

function isRetriever(value: unknown): value is Retriever {
  return typeof (value as Retriever | null | undefined)?.retrieve === 'function';
}

const optionsSchema = z.strictObject({
  retrievers: z
    .array(
      z.union([
        z.custom<Retriever>(isRetriever, 'give { retrieve }'),
        z.strictObject({
          retriever: z.custom<Retriever>(isRetriever, 'give { retrieve }'),
          weight: z.number().positive().optional(),
          name: z.string().min(1).optional(),
        }),
      ]),
    )
    .min(1),
  k: z.number().positive().default(60),
  candidates: z.int().positive().default(50),
  onFailure: z
    .custom<HybridOptions['onFailure']>((value) => typeof value === 'function', 'give a function')
    .optional(),
});

const LIMIT = 10;

/**
 * Several retrievers as one, by reciprocal-rank fusion (Cormack, Clarke and Büttcher 2009): a document's score is the sum
 * of weight / (k + rank) over the retrievers that give it, rank from 1. What each calls a score need not be comparable.
 *
 * @example
 * const retriever = new HybridRetriever({ retrievers: [bm25, { retriever: dense, weight: 1.5 }] });
 */
export class HybridRetriever implements Retriever {
  readonly #retrievers: readonly Required<WeightedRetriever>[];
  readonly #settings: z.output<typeof optionsSchema>;

  /** @throws ConfigurationError */
  constructor(options: HybridOptions) {
    this.#settings = validate(optionsSchema, options, 'hybrid');
    this.#retrievers = this.#settings.retrievers.map((given, index) => {
      const {
        retriever,
        weight = 1,
        name = String(index),
      } = isRetriever(given) ? { retriever: given } : given;
      return { retriever, weight, name };
    });
  }

  /**
   * @throws ConfigurationError for a limit that is no whole number above 0; AggregateError where every retriever fails;
   * the signal's reason when aborted
   */
  async retrieve(query: string, options: RetrieveOptions = {}): Promise<SourceDocument[]> {
    const { documents, failures } = await this.search(query, options);
    for (const failure of failures) this.#settings.onFailure?.(failure);
    return [...documents];
  }

  /** As `retrieve`, with the failures beside the documents. */
  async search(query: string, { limit = LIMIT, signal }: RetrieveOptions = {}): Promise<HybridResult> {
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw new ConfigurationError('limit', limit, 'give a whole number above 0');
    signal?.throwIfAborted();
    const { k, candidates } = this.#settings;
    const options = { limit: Math.max(limit, candidates), ...(signal && { signal }) };
    const answers = await Promise.allSettled(
      this.#retrievers.map(async ({ retriever }) => retriever.retrieve(query, options)),
    );
    signal?.throwIfAborted();
    const fused = new Map<string, { document: SourceDocument; score: number }>();
    const failures: RetrieverFailure[] = [];
    for (const [index, answer] of answers.entries()) {
      const { name, weight } = this.#retrievers[index]!;
      if (answer.status === 'rejected') {
        failures.push({ retriever: name, error: answer.reason });
        continue;
      }
      const seen = new Set<string>();
      for (const document of answer.value) {
        if (seen.has(document.id)) continue;
        seen.add(document.id);
        const known = fused.get(document.id) ?? { document, score: 0 };
        known.score += weight / (k + seen.size);
        fused.set(document.id, known);
      }
    }
    if (failures.length === answers.length) {
      throw new AggregateError(
        failures.map(({ error }) => error),
        `no retriever answers: ${failures.map(({ retriever, error }) => `${retriever}: ${String(error)}`).join('; ')}`,
      );
    }
    const documents = [...fused.values()]
      .sort((a, b) => b.score - a.score)
      .slice(0, limit)
      .map(({ document, score }) => ({ ...document, score }));
    return { documents, failures };
  }
}

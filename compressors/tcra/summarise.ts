import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { validate } from '../../settings/validate.js';
import type { Compressor } from '../contract.js';
import { decoderSummaries } from './decoder-summaries.js';
import { summariseDocuments } from './summarise-documents.js';
import type { Summary, SummaryGenerator } from './summary-generator.js';

export interface SummariseOptions {
  /** What writes the summaries. Default the embedded decoder, `decoderSummaries()`. */
  readonly generator?: SummaryGenerator;
  /** Share of a document's words that its summary should have at most, above 0 to below 1. Default 0.35. */
  readonly ratio?: number;
  /** Summaries that are remembered, by the question, the text and the length. Default 1,000; 0 remembers none. */
  readonly cacheSize?: number;
}

const optionsSchema = z.strictObject({
  generator: z
    .custom<SummaryGenerator>((value) => {
      const { generate, model, maxWords } = (value ?? {}) as Partial<SummaryGenerator>;
      return typeof generate === 'function' && typeof model === 'string' && Number(maxWords) >= 1;
    }, 'give { model, maxWords, generate }')
    .optional(),
  ratio: z.number().gt(0, 'give a share above 0').lt(1, 'give a share below 1').default(0.35),
  cacheSize: z.int().nonnegative().default(1_000),
});

/** UTF-16 units of all summaries that are remembered. */
const CACHED_LENGTH = 4_000_000;

/**
 * TCRA-LLM's summarisation compression (Liu et al. 2023, arXiv 2310.15556): puts sentences that a generator wrote in the
 * place of a document's own. Such a unit has the origin `generated` and the spans of the sentence that says the same. A
 * guard (summary-guard.ts) compares each with its source, which stands where they differ; what speaks to a model is never
 * given to one. A text is summarised once for each class of queries (query-class.ts).
 * @throws ConfigurationError
 */
export function summarise(options: SummariseOptions = {}): Compressor {
  const { generator = decoderSummaries(), ratio, cacheSize } = validate(optionsSchema, options, 'summarise');
  const cache =
    cacheSize === 0
      ? undefined
      : new LRUCache<string, Summary>({
          max: cacheSize,
          maxSize: CACHED_LENGTH,
          sizeCalculation: ({ text }) => text.length + 100,
        });
  return {
    name: 'summarise',
    async open() {
      await generator.open?.();
    },
    compress: (state, context) =>
      summariseDocuments('summarise', generator, { ratio, cache }, state, context),
    async close() {
      await generator.close?.();
    },
  };
}

import { z } from 'zod';
import type { Compressor } from '../contract.js';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { validate } from '../../settings/validate.js';
import { lexicalScorer } from './lexical-scorer.js';
import { selectSentences } from './select-sentences.js';
import type { SentenceScorer } from './sentence-scorer.js';

export interface SentencesOptions {
  /** Default BM25. */
  readonly scorer?: SentenceScorer;
  /** For BM25: share of the best score below which a sentence is dropped where there is no budget. Default 0.25. */
  readonly threshold?: number;
}

const optionsSchema = z.strictObject({
  scorer: z
    .custom<SentenceScorer>(
      (value) => typeof (value as SentenceScorer | null)?.score === 'function',
      'give { name, score }',
    )
    .optional(),
  threshold: z.number().min(0).max(1).optional(),
});

/**
 * Sentence selection by BM25, or by a scorer of your own: no model.
 * @throws ConfigurationError
 */
export function sentences(options: SentencesOptions = {}): Compressor {
  const { scorer, threshold } = validate(optionsSchema, options, 'sentences');
  if (scorer && threshold !== undefined) {
    throw new ConfigurationError(
      'sentences.threshold',
      threshold,
      'leave it out: a scorer of your own gives its floor',
    );
  }
  const chosen = scorer ?? lexicalScorer(threshold);
  return {
    name: 'sentences',
    compress: (state, context) => selectSentences('sentences', chosen, state, context),
  };
}

import { z } from 'zod';
import { EvidenceEncoder } from '../../models/encoder/evidence-encoder.js';
import { ModelRegistry } from '../../models/registry.js';
import type { Compressor } from '../contract.js';
import { validate } from '../../settings/validate.js';
import { checkFeatures, EvidenceScorer } from './evidence-scorer.js';
import { selectSentences } from './select-sentences.js';

export interface ExitOptions {
  /** A model of kind `evidence`. Default `evidence`, which comes with ragpress. */
  readonly model?: string;
  /** Where models are looked for. */
  readonly registry?: ModelRegistry;
  /** Probability from which a sentence is kept where there is no budget, 0 to 1. Default the model's own. */
  readonly threshold?: number;
  /** Tokens that the encoder reads for one request at most, 512 or more, the likeliest by BM25 first. Default 6,144. */
  readonly maxTokens?: number;
  /**
   * What is kept or dropped as one: `sentences`, or whole `blocks` by their best sentence. Blocks are the same text
   * whatever is asked of them, so a model that keeps what it read (`ragpress/kvreuse`) reads them once. Default
   * `sentences`.
   */
  readonly cut?: 'sentences' | 'blocks';
  /** Threads of one run. Default as many as there are processors, at most 4. */
  readonly threads?: number;
}

const optionsSchema = z.strictObject({
  model: z.string().min(1).optional(),
  registry: z.instanceof(ModelRegistry, { error: 'give a ModelRegistry' }).optional(),
  threshold: z.number().min(0).max(1).optional(),
  maxTokens: z.int().min(512).default(6_144),
  cut: z.enum(['sentences', 'blocks'], 'give sentences or blocks').default('sentences'),
  threads: z.int().min(1).optional(),
});

/**
 * EXIT (Hwang et al. 2024, arXiv 2412.12559): keeps the sentences that help to answer, judged by a small encoder that
 * reads the question and many sentences in one pass, where the paper asks a language model once for each sentence.
 * @throws ConfigurationError
 */
export function exit(options: ExitOptions = {}): Compressor {
  const { threshold, maxTokens, cut, ...encoderOptions } = validate(optionsSchema, options, 'exit');
  let opening: Promise<EvidenceEncoder> | undefined;
  const open = () => (opening ??= openEncoder(encoderOptions));
  return {
    name: 'exit',
    async open() {
      await open();
    },
    async compress(state, context) {
      const scorer = new EvidenceScorer(await open(), { threshold, maxTokens });
      return selectSentences('exit', scorer, state, context, cut);
    },
    async close() {
      const closing = opening;
      opening = undefined;
      await (await closing)?.close();
    },
  };
}

async function openEncoder({
  model,
  registry,
  threads,
}: Pick<z.output<typeof optionsSchema>, 'model' | 'registry' | 'threads'>): Promise<EvidenceEncoder> {
  const encoder = await EvidenceEncoder.load({
    ...(model !== undefined && { model }),
    ...(registry && { registry }),
    ...(threads !== undefined && { threads }),
  });
  checkFeatures(encoder.settings.combination.features);
  await encoder.warm();
  return encoder;
}

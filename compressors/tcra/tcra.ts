import { z } from 'zod';
import { ModelRegistry } from '../../models/registry.js';
import { validate } from '../../settings/validate.js';
import type { Compressor } from '../contract.js';
import { dropWords } from './drop-words.js';
import { WordEncoder } from './word-encoder.js';

export interface TcraOptions {
  /**
   * Share of their tokens that sentences keep, above 0 to 1. Default 0.8. Under a budget into which more fits they keep
   * more; where too few words may go they do, too.
   */
  readonly ratio?: number;
  /**
   * `fast` weighs the words of a sentence by one pass of the encoder; `exact` embeds it without each word in turn, as the
   * paper does, and takes as many passes as there are words that may go. Default `fast`.
   */
  readonly mode?: 'fast' | 'exact';
  /** A model of kind `embedder` that weighs words. Default `minilm`, which comes with ragpress. */
  readonly model?: string;
  /** Where models are looked for. */
  readonly registry?: ModelRegistry;
  /** Tokens of sentences that are weighed for one request at most, 256 or more, the best sentences first. Default 6,144. */
  readonly maxTokens?: number;
  /** Threads of one run. Default as many as there are processors, at most 4. */
  readonly threads?: number;
}

const optionsSchema = z.strictObject({
  ratio: z.number().gt(0, 'give a share above 0').max(1).default(0.8),
  mode: z.enum(['fast', 'exact'], 'give fast or exact').default('fast'),
  model: z.string().min(1).optional(),
  registry: z.instanceof(ModelRegistry, { error: 'give a ModelRegistry' }).optional(),
  maxTokens: z.int().min(256).default(6_144),
  threads: z.int().min(1).optional(),
});

/**
 * TCRA-LLM's semantic compression (Liu et al. 2023, arXiv 2310.15556): drops the words that move a sentence's embedding
 * least. Numbers, units, negations, modals, names, quotations, code, the query's words and those beside them stay, and so
 * do tables, headings and sentences in a script that the encoder does not know. Each word that goes is in the decisions.
 * @throws ConfigurationError
 */
export function tcra(options: TcraOptions = {}): Compressor {
  const { ratio, mode, maxTokens, ...encoderOptions } = validate(optionsSchema, options, 'tcra');
  let opening: Promise<WordEncoder> | undefined;
  const open = () => (opening ??= openEncoder());
  const openEncoder = async () => {
    const encoder = await WordEncoder.load(mode, encoderOptions);
    await encoder.warm();
    return encoder;
  };
  return {
    name: 'tcra',
    async open() {
      await open();
    },
    async compress(state, context) {
      return dropWords('tcra', await open(), { ratio, maxTokens }, state, context);
    },
    async close() {
      const closing = opening;
      opening = undefined;
      await (await closing)?.close();
    },
  };
}

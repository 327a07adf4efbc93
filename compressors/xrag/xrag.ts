import { z } from 'zod';
import {
  DocumentEncoder,
  type DocumentEncoderOptions,
  type EmbeddingReader,
} from '../../models/decoder/document-encoder.js';
import { ModelRegistry } from '../../models/registry.js';
import { validate } from '../../settings/validate.js';
import type { Compressor } from '../contract.js';
import { embedDocuments, handedOn } from './embed-documents.js';

export interface XragOptions extends Omit<DocumentEncoderOptions, 'reader'> {
  /**
   * What reads the result's `embeddings`, such as a `Decoder`. Without one documents stay text, and each one's decisions
   * say so.
   */
  readonly reader?: EmbeddingReader;
  /** Documents that become embeddings at most, the best first. Default 32. */
  readonly documents?: number;
}

const optionsSchema = z.strictObject({
  documents: z.int('give a whole number').min(1, 'give 1 or more').default(32),
  // Checked where the projector is loaded, but for the registry by what it is.
  reader: z.custom<EmbeddingReader>().optional(),
  model: z.string().min(1).optional(),
  folder: z.string().min(1, 'give a path').optional(),
  registry: z.instanceof(ModelRegistry, { error: 'give a ModelRegistry' }).optional(),
  embedder: z.custom<DocumentEncoderOptions['embedder']>().optional(),
});

/**
 * Mixed context after xRAG (Cheng et al. 2024, arXiv 2405.13792), for a model that takes embeddings: under a budget what
 * answers by the stage before it (`exit`, `sentences`) stays text, the next best documents become one embedding each, and
 * the rest goes. The result's `embeddings` belong to its context's markers. A name or a number does not survive an
 * embedding: where nothing answers, or all fits, everything stays text, which is said.
 * @throws ConfigurationError
 */
export function xrag(options: XragOptions = {}): Compressor {
  const { reader, documents, ...encoderOptions } = validate(optionsSchema, options, 'xrag');
  let opening: Promise<DocumentEncoder> | undefined;
  const open = (reader: EmbeddingReader) =>
    (opening ??= DocumentEncoder.load({ reader, ...(encoderOptions as Omit<XragOptions, 'reader'>) }));
  return {
    name: 'xrag',
    embeds: reader !== undefined,
    async open() {
      if (reader !== undefined) await open(reader);
    },
    async compress(state, context) {
      if (reader === undefined) return handedOn('xrag', state, 'no reader said that it takes embeddings');
      return embedDocuments('xrag', await open(reader), documents, state, context);
    },
    async close() {
      const closing = opening;
      opening = undefined;
      await (await closing)?.close();
    },
  };
}

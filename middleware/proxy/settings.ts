import { pino, type Logger } from 'pino';
import { z } from 'zod';
import { Pipeline, type PipelineOptions } from '../../compressors/index.js';
import type { ChunkDecoderOptions } from '../../kvreuse/chunk-decoder.js';
import { validate } from '../../settings/validate.js';
import type { TextGenerator } from '../lazy-decoder.js';

export interface ForwardOptions {
  /**
   * Base URL of the API to forward to, with or without `/v1`, e.g. `https://api.openai.com`. Or `local`: the embedded
   * decoder answers, in this process: `/v1/chat/completions`, `/v1/completions`, `/v1/models`.
   */
  readonly upstream: string | URL;
  /** Which decoder answers with the upstream `local`: one that is loaded, or options for it. Default `smollm2`. */
  readonly decoder?: TextGenerator | ChunkDecoderOptions;
  /**
   * A pipeline, or options for those that are made: one for each preset and tokenizer that requests name. Its budget
   * is a ceiling for the documents of one message. Without a `model` tokens are counted by each request's own.
   */
  readonly pipeline?: Pipeline | PipelineOptions;
  /** Callers have to give this in the header `x-ragpress-key`; their `authorization` is for the upstream. */
  readonly key?: string;
  /** Milliseconds that compression may add to a request; what is not done then goes out as it was. Default 5,000. */
  readonly latencyBudget?: number;
  /**
   * Bytes; the body of a larger request is passed through as it comes, or refused with the upstream `local`. Default
   * 32 MiB.
   */
  readonly bodyLimit?: number;
  /** Milliseconds to connect to the upstream. Default 10,000. */
  readonly connectTimeout?: number;
  /** Milliseconds until the upstream's response begins, and between two pieces of it. Default 600,000. */
  readonly responseTimeout?: number;
  /**
   * Which of the user's questions a context in a system message is compressed for. `first` (the default), the one
   * asked right after it, stays the same as the conversation goes on, and so do providers' prompt caches; `last` suits
   * applications that retrieve anew for each turn and put what they found into the system message.
   */
  readonly systemQuestion?: 'first' | 'last';
  /** Gets a line a request, without texts and keys. */
  readonly logger?: Logger;
}

export type ProxySettings = z.output<typeof settingsSchema>;

const milliseconds = z
  .number('give a number of milliseconds')
  .positive('give a number of milliseconds above 0')
  .max(2 ** 31 - 1);

const settingsSchema = z
  .strictObject({
    upstream: z
      .union(
        [z.string(), z.instanceof(URL)],
        'give the base URL of an API, e.g. https://api.openai.com, or local',
      )
      .refine(
        (upstream) => upstream === 'local' || isHttpUrl(upstream),
        'give an http or https URL, e.g. https://api.openai.com, or local',
      )
      .transform((upstream) => (upstream === 'local' ? upstream : new URL(upstream))),
    decoder: z
      .custom<TextGenerator | ChunkDecoderOptions>(
        (value) => typeof value === 'object' && value !== null,
        'give a decoder or options for one',
      )
      .optional(),
    pipeline: z
      .custom<Pipeline | PipelineOptions>(
        (value) => typeof value === 'object' && value !== null,
        'give a pipeline or options for one',
      )
      .default({}),
    key: z.string('give a text').min(1, 'give a text that is not empty, or leave it out').optional(),
    latencyBudget: milliseconds.default(5_000),
    bodyLimit: z
      .int('give a whole number of bytes')
      .nonnegative('give a number of bytes, 0 or more')
      .default(32 * 1024 * 1024),
    connectTimeout: milliseconds.default(10_000),
    responseTimeout: milliseconds.default(600_000),
    systemQuestion: z.enum(['first', 'last'], 'give first or last').default('first'),
    logger: z.custom<Logger>(isLogger, 'give a pino logger').optional(),
  })
  .refine(({ upstream, decoder }) => upstream === 'local' || decoder === undefined, {
    path: ['decoder'],
    error: 'leave it out: the upstream is not local',
  });

/** @throws ConfigurationError for the first field that cannot be used */
export function readSettings(options: ForwardOptions): ProxySettings {
  return validate(settingsSchema, options);
}

/** Says nothing. */
export const silentLogger: Logger = pino({ level: 'silent' });

function isHttpUrl(value: string | URL): boolean {
  const protocol = value instanceof URL || URL.canParse(value) ? new URL(value).protocol : '';
  return protocol === 'http:' || protocol === 'https:';
}

function isLogger(value: unknown): boolean {
  return typeof (value as Partial<Logger> | null)?.info === 'function';
}

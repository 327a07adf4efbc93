import { join } from 'node:path';
import { z } from 'zod';
import { Decoder, startDecoder, type DecoderOptions } from '../models/decoder/decoder.js';
import type { ChatMessage, Reuse } from '../models/decoder/generation.js';
import { defaultCacheFolder, ModelRegistry } from '../models/registry.js';
import { validate } from '../settings/validate.js';
import type { ChunkQuestion, ChunkReaderSettings } from './chunk-reader.js';
import { CODEC_NAMES } from './codecs/codec-named.js';
import { policySchema, type PolicySettings } from './selection/policy-named.js';
import type { RecordReport, StoreStatistics } from './store/chunk-store.js';
import type { ChunkStoreOptions } from './store/chunk-store-options.js';

export interface ReuseOptions {
  /**
   * Which rows of cached chunks are computed anew in a prompt. Default `{ name: 'cachecraft' }`. By `cacheblend`,
   * `legolink` and `none` an answer does not depend on what was read before.
   */
  readonly policy?: PolicySettings;
  /** How keys and values are stored. Default `int8`. */
  readonly codec?: string;
  /** Megabytes of stored chunks in RAM. Default 192. */
  readonly memoryMegabytes?: number;
  /** Megabytes of chunks that are kept decoded beside them. Default 64. */
  readonly readyMegabytes?: number;
  /**
   * Makes a chunk that was edited from what is kept of it: only changed tokens are computed, those after them do not
   * learn of it. An answer then depends on what was read before. Default false.
   */
  readonly edits?: boolean;
  /** Keeps chunks beyond this process. */
  readonly disk?: ChunkStoreOptions['disk'];
  /** Shares chunks among processes; needs the package `ioredis`. */
  readonly redis?: ChunkStoreOptions['redis'];
}

export interface ChunkDecoderOptions extends DecoderOptions {
  readonly reuse?: ReuseOptions;
}

const reuseSchema = z.strictObject({
  policy: policySchema.optional(),
  codec: z
    .string()
    .refine((name) => CODEC_NAMES.includes(name), `give one of ${CODEC_NAMES.join(', ')}`)
    .default('int8'),
  memoryMegabytes: z.number().nonnegative('give 0 or more').default(192),
  readyMegabytes: z.number().nonnegative('give 0 or more').default(64),
  edits: z.boolean('give true or false').default(false),
  // Checked where the store is opened.
  disk: z.custom<ChunkStoreOptions['disk']>().optional(),
  redis: z.custom<ChunkStoreOptions['redis']>().optional(),
});

/**
 * A decoder that keeps the keys and values of the chunks it reads, and reads them from there wherever they stand in a
 * later prompt. Chunks are the paragraphs or labelled documents of a user's message but for its last paragraph, of 16
 * tokens or more. The default policy keeps them as the first prompt that held them was read, so a first answer is that
 * of a `Decoder`, and one from caches is near it. By the others each is read behind what stands before the first of them,
 * and by itself, the first time too: so an answer is the same whatever was read before.
 */
export class ChunkDecoder extends Decoder {
  /** @throws ConfigurationError; ModelError as `Decoder.load` */
  static override async load({ reuse = {}, ...options }: ChunkDecoderOptions = {}): Promise<ChunkDecoder> {
    const checked = validate(reuseSchema, reuse, 'decoder.reuse');
    // What is no registry is refused where the decoder's options are read.
    const { registry } = options;
    const cacheFolder = registry instanceof ModelRegistry ? registry.cacheFolder : defaultCacheFolder();
    const settings: ChunkReaderSettings = {
      ...checked,
      policy: checked.policy ?? { name: 'cachecraft' },
      gates: join(cacheFolder, 'reuse'),
    };
    return new ChunkDecoder(await startDecoder('kvreuse/chunk-decoder-worker.js', options, settings));
  }

  /**
   * Reads the documents of a prompt ahead of its questions.
   * @throws as `generate`
   */
  async precompute(messages: readonly ChatMessage[], signal?: AbortSignal): Promise<Reuse | undefined> {
    const { result } = this.generate({ messages }, { maxTokens: 1, ...(signal && { signal }) });
    return (await result).reuse;
  }

  /** What is kept in RAM and on disk, a record a chunk and version. */
  async chunks(): Promise<RecordReport[]> {
    const reports = (await this.#ask({ type: 'chunks' })) as (RecordReport | undefined)[];
    return reports.filter((report) => report !== undefined);
  }

  /**
   * Keeps a chunk that would be given up for others, in this process.
   * @param key as `chunks` has it
   * @param ttlMs for how long, in milliseconds. Default until `unpin`
   */
  async pin(key: string, ttlMs?: number): Promise<void> {
    await this.#ask({ type: 'pin', key, ttlMs });
  }

  async unpin(key: string): Promise<void> {
    await this.#ask({ type: 'unpin', key });
  }

  /**
   * Deletes chunks from all tiers.
   * @param prefix of their keys: all versions of one with its id, all there are with `''`
   * @returns how many RAM and disk had
   */
  async forget(prefix: string): Promise<number> {
    return (await this.#ask({ type: 'forget', prefix })) as number;
  }

  async storeStatistics(): Promise<StoreStatistics> {
    return (await this.#ask({ type: 'statistics' })) as StoreStatistics;
  }

  #ask(question: ChunkQuestion): Promise<unknown> {
    return this.ask(question);
  }
}

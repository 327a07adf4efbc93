import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { validate } from '../../settings/validate.js';
import { defaultCacheFolder } from '../registry.js';
import type { EmbeddingModel } from './embedding-model.js';
import type { TransformersResult, TransformersSource, TransformersTask } from './transformers-child.js';
import { transformersError } from './transformers-error.js';
import { TransformersProcess } from './transformers-process.js';

type EmbedderProcess = TransformersProcess<TransformersTask, TransformersResult>;

export interface TransformersEmbedderOptions {
  /** A model of the hub that has ONNX graphs, `OWNER/NAME`, e.g. `Xenova/bge-small-en-v1.5`. */
  readonly model: string;
  /** A branch, tag or commit. Default `main`; a commit where vectors are kept, as a branch may move. */
  readonly revision?: string;
  /** How a vector is made of token states; the model's card says which it was trained with. Default `mean`. */
  readonly pooling?: 'mean' | 'cls';
  /** Whether the int8 graph is run (`onnx/model_quantized.onnx`) or the float32 one (`onnx/model.onnx`). Default true. */
  readonly quantized?: boolean;
  /** What comes after so many tokens of a text is not read. Default what the model takes. */
  readonly maxTokens?: number;
  /**
   * Fetched models are kept under `models/` in it, where those that `ragpress models pull` fetches are found too; those of
   * a revision under `revisions/`. Default that of `ModelRegistry`.
   */
  readonly cacheFolder?: string;
  /** Takes what is in the cache and nothing from the network. Default false. */
  readonly localOnly?: boolean;
  /** Address of the hub. Default `https://huggingface.co`. */
  readonly hub?: string;
  /** Embeddings kept, the least recently used given up first; 0 keeps none. Default 10,000. */
  readonly cacheSize?: number;
}

const optionsSchema = z.strictObject({
  model: z
    .string('give the name of a model of the hub: OWNER/NAME')
    .regex(/^\w[\w.-]*(?:\/\w[\w.-]*)?$/, 'give the name of a model of the hub: OWNER/NAME'),
  revision: z
    .string()
    .regex(/^\w[\w.-]*(?:\/\w[\w.-]*)*$/, 'give a branch, tag or commit')
    .default('main'),
  pooling: z.enum(['mean', 'cls']).default('mean'),
  quantized: z.boolean().default(true),
  maxTokens: z.int().min(3).optional(),
  cacheFolder: z.string().min(1).optional(),
  localOnly: z.boolean().default(false),
  hub: z
    .url({ protocol: /^https?$/ })
    .default('https://huggingface.co')
    .transform((url) => url.replace(/\/*$/, '/')),
  cacheSize: z.int().nonnegative().default(10_000),
});

const TURN_MILLISECONDS = 5;

type Opened = TransformersResult & { type: 'opened' };

/**
 * Embeddings by a model of the hub, run by Transformers.js: the package `@xenova/transformers`, which must be installed
 * and is loaded by `load` alone.
 *
 * @example
 * const embedder = await TransformersEmbedder.load({ model: 'Xenova/bge-small-en-v1.5', pooling: 'cls' });
 * const retriever = new DenseRetriever({ embedder });
 */
export class TransformersEmbedder implements EmbeddingModel {
  /** Name of the model, its revision and how it is run: embeddings of another are not comparable. */
  readonly model: string;
  readonly dimensions: number;
  /** What comes after so many tokens of a text is not read. */
  readonly maxTokens: number;
  readonly #source: TransformersSource;
  readonly #cache: LRUCache<string, Float32Array> | undefined;
  #process: Promise<EmbedderProcess> | undefined;

  private constructor(
    source: TransformersSource,
    process: EmbedderProcess,
    opened: Opened,
    cacheSize: number,
  ) {
    this.model = `${source.model}@${source.revision}, ${source.quantized ? 'int8' : 'float32'}, ${source.pooling}`;
    this.dimensions = opened.dimensions;
    this.maxTokens = opened.maxTokens;
    this.#source = { ...source, maxTokens: opened.maxTokens };
    void this.#keep(Promise.resolve(process));
    this.#cache = cacheSize > 0 ? new LRUCache({ max: cacheSize }) : undefined;
  }

  /**
   * Fetches the model where it is not in the cache, and loads it.
   * @throws ConfigurationError, also where `@xenova/transformers` is not installed; ModelError `missing`, `hub`, `damaged`
   * or `inference`
   */
  static async load(options: TransformersEmbedderOptions): Promise<TransformersEmbedder> {
    const { cacheFolder, cacheSize, ...valid } = validate(optionsSchema, options, 'transformersEmbedder');
    const { revision, maxTokens } = valid;
    const kept = revision === 'main' ? ['models'] : ['revisions', encodeURIComponent(revision)];
    const source = { ...valid, maxTokens, folder: join(cacheFolder ?? defaultCacheFolder(), ...kept) };
    const { process, opened } = await openProcess(source);
    return new TransformersEmbedder(source, process, opened, cacheSize);
  }

  /**
   * One vector of length 1 a text, `dimensions` wide, in the order of the texts. A text's vector depends on that text
   * alone: texts are run one at a time, for int8 activations take their scale from all that is in a run.
   * @throws ConfigurationError for what is no text; ModelError `inference`; the signal's reason when aborted, after the
   * text that is being read: what was embedded by then is in the cache
   */
  async embed(
    texts: readonly string[],
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Float32Array[]> {
    for (const [index, text] of texts.entries())
      if (typeof text !== 'string') throw new ConfigurationError(`texts[${index}]`, text, 'give a string');
    signal?.throwIfAborted();
    const vectors: Float32Array[] = [];
    let process: EmbedderProcess | undefined;
    let turn = performance.now();
    for (const text of texts) {
      const key = createHash('sha256').update(text).digest('base64');
      let vector = this.#cache?.get(key);
      if (!vector) {
        process ??= await (this.#process ?? this.#open());
        vector = await this.#run(process, text);
        this.#cache?.set(key, vector);
      }
      vectors.push(vector.slice());
      if (performance.now() - turn > TURN_MILLISECONDS) {
        await setImmediate();
        turn = performance.now();
      }
      signal?.throwIfAborted();
    }
    return vectors;
  }

  /** Frees the model. Another `embed` loads it again. */
  async close(): Promise<void> {
    const opening = this.#process;
    this.#process = undefined;
    const process = await opening?.catch(() => undefined);
    await process?.close({ type: 'close' });
  }

  #open(): Promise<EmbedderProcess> {
    return this.#keep(openProcess(this.#source).then(({ process }) => process));
  }

  /** For all that is embedded until it is closed, or ends by a fault. */
  #keep(opening: Promise<EmbedderProcess>): Promise<EmbedderProcess> {
    this.#process = opening;
    const forget = () => {
      if (this.#process === opening) this.#process = undefined;
    };
    opening.then(({ ended }) => ended).then(forget, forget);
    return opening;
  }

  async #run(process: EmbedderProcess, text: string): Promise<Float32Array> {
    const result = await send(process, { type: 'run', text }, this.#source);
    const { vector } = result as TransformersResult & { type: 'embedded' };
    // Of a text without a token nothing can be said: it is as near to any other as to the next.
    return vector ?? new Float32Array(this.dimensions).fill(this.dimensions ** -0.5);
  }
}

async function openProcess(
  source: TransformersSource,
): Promise<{ process: EmbedderProcess; opened: Opened }> {
  const process = new TransformersProcess<TransformersTask, TransformersResult>(
    'models/encoder/transformers-child.js',
  );
  try {
    return { process, opened: (await send(process, { type: 'open', source }, source)) as Opened };
  } catch (error) {
    await process.close({ type: 'close' });
    throw error;
  }
}

async function send(
  process: EmbedderProcess,
  task: TransformersTask,
  source: TransformersSource,
): Promise<TransformersResult> {
  let result: TransformersResult;
  try {
    result = await process.run(task);
  } catch (error) {
    // The library failed where nothing catches it, or the embedder was closed meanwhile.
    const why = task.type === 'open' ? 'broken' : 'inference';
    result = { type: 'failed', why, message: (error as Error).message };
  }
  if (result.type === 'failed')
    throw transformersError('transformersEmbedder.model', 'an embedder', result, source);
  return result;
}

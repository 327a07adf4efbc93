import { join } from 'node:path';
import { z } from 'zod';
import { validate } from '../../settings/validate.js';
import { transformersError } from '../encoder/transformers-error.js';
import { TransformersProcess } from '../encoder/transformers-process.js';
import { defaultCacheFolder } from '../registry.js';
import type { Seq2seqInterruption, Seq2seqResult, Seq2seqSource, Seq2seqTask } from './seq2seq-child.js';

export interface TransformersSeq2seqOptions {
  /** A model of the hub that turns text to text and has ONNX graphs, `OWNER/NAME`, e.g. `Xenova/distilbart-cnn-6-6`. */
  readonly model: string;
  /** A branch, tag or commit. Default `main`. */
  readonly revision?: string;
  /** Whether the int8 graphs are run or the float32 ones. Default true. */
  readonly quantized?: boolean;
  /** Where fetched models are kept, as by `TransformersEmbedder`. Default that of `ModelRegistry`. */
  readonly cacheFolder?: string;
  /** Takes what is in the cache and nothing from the network. Default false. */
  readonly localOnly?: boolean;
  /** Address of the hub. Default `https://huggingface.co`. */
  readonly hub?: string;
}

const NAME = 'give the name of a model of the hub: OWNER/NAME';

const optionsSchema = z.strictObject({
  model: z.string(NAME).regex(/^\w[\w.-]*(?:\/\w[\w.-]*)?$/, NAME),
  revision: z
    .string()
    .regex(/^\w[\w.-]*(?:\/\w[\w.-]*)*$/, 'give a branch, tag or commit')
    .default('main'),
  quantized: z.boolean().default(true),
  cacheFolder: z.string().min(1).optional(),
  localOnly: z.boolean().default(false),
  hub: z
    .url({ protocol: /^https?$/ })
    .default('https://huggingface.co')
    .transform((url) => url.replace(/\/*$/, '/')),
});

type Seq2seqProcess = TransformersProcess<Seq2seqTask, Seq2seqResult>;

/**
 * Text to text by a model of the hub (T5, BART, Pegasus), run by Transformers.js: the package `@xenova/transformers`,
 * which must be installed and is loaded when first needed, in a process of its own.
 */
export class TransformersSeq2seq {
  /** Name, revision and how it is run. */
  readonly model: string;
  readonly #source: Seq2seqSource;
  #process: Promise<Seq2seqProcess> | undefined;

  /** @throws ConfigurationError */
  constructor(options: TransformersSeq2seqOptions) {
    const { cacheFolder, ...valid } = validate(optionsSchema, options, 'transformersSeq2seq');
    const kept = valid.revision === 'main' ? ['models'] : ['revisions', encodeURIComponent(valid.revision)];
    this.#source = { ...valid, folder: join(cacheFolder ?? defaultCacheFolder(), ...kept) };
    this.model = `${valid.model}@${valid.revision}, ${valid.quantized ? 'int8' : 'float32'}`;
  }

  /**
   * Fetches the model where it is not in the cache, and loads it.
   * @throws ConfigurationError, also where `@xenova/transformers` is not installed; ModelError `missing`, `hub` or
   * `damaged`
   */
  async open(): Promise<void> {
    await this.#opened();
  }

  /**
   * What the model makes of a text, the likeliest token each time. Texts are run one at a time.
   * @throws as `open`; ModelError `inference`; the signal's reason when aborted, after which the model stops at its next
   * token
   */
  async generate(
    text: string,
    { maxTokens, signal }: { readonly maxTokens: number; readonly signal?: AbortSignal },
  ): Promise<{ readonly text: string; readonly isCut: boolean }> {
    signal?.throwIfAborted();
    const process = await this.#opened();
    const interrupt = () => {
      process.tell({ type: 'interrupt' } satisfies Seq2seqInterruption);
    };
    signal?.addEventListener('abort', interrupt);
    try {
      const result = await this.#send(process, { type: 'run', text, maxTokens });
      signal?.throwIfAborted();
      return result as Seq2seqResult & { type: 'generated' };
    } finally {
      signal?.removeEventListener('abort', interrupt);
    }
  }

  /** Frees the model. Another `generate` loads it again. */
  async close(): Promise<void> {
    const opening = this.#process;
    this.#process = undefined;
    await (await opening?.catch(() => undefined))?.close({ type: 'close' });
  }

  #opened(): Promise<Seq2seqProcess> {
    if (this.#process) return this.#process;
    const opening = this.#open();
    this.#process = opening;
    const forget = () => {
      if (this.#process === opening) this.#process = undefined;
    };
    opening.then(({ ended }) => ended).then(forget, forget);
    return opening;
  }

  async #open(): Promise<Seq2seqProcess> {
    const process: Seq2seqProcess = new TransformersProcess('models/seq2seq/seq2seq-child.js');
    try {
      await this.#send(process, { type: 'open', source: this.#source });
      return process;
    } catch (error) {
      await process.close({ type: 'close' });
      throw error;
    }
  }

  async #send(process: Seq2seqProcess, task: Seq2seqTask): Promise<Seq2seqResult> {
    let result: Seq2seqResult;
    try {
      result = await process.run(task);
    } catch (error) {
      const why = task.type === 'open' ? 'broken' : 'inference';
      result = { type: 'failed', why, message: (error as Error).message };
    }
    if (result.type === 'failed')
      throw transformersError('transformersSeq2seq.model', 'a model of text to text', result, this.#source);
    return result;
  }
}

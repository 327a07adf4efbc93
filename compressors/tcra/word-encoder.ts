import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { LazySession } from '../../models/lazy-session.js';
import { ModelError } from '../../models/model-error.js';
import { ModelRegistry, type ResolvedModel } from '../../models/registry.js';
import type { ModelTensors } from '../../models/session.js';
import { loadTokenizer } from '../../models/load-tokenizer.js';
import type { Tokenizer } from '../../models/tokenizer.js';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { validate } from '../../settings/validate.js';

/** How words are weighed: by one pass over the sentence, or by one embedding for each word left out. */
export type WeighingMode = 'fast' | 'exact';

export interface WordEncoderOptions {
  /** A model of kind `embedder` with graphs that weigh words. Default `minilm`. */
  readonly model?: string | undefined;
  /** Default one with its own defaults. */
  readonly registry?: ModelRegistry | undefined;
  /** Threads of one run. Default as many as there are processors, at most 4. */
  readonly threads?: number | undefined;
}

const settingsSchema = z.object({
  /** Of an input, its first and last token among them. */
  maxTokens: z.int().min(3),
  words: z.object(
    {
      /** Path of the graph whose output `movements` estimates what each token moves. */
      fast: z.string(),
      /** Path of the graph whose output `embedding` does not depend on what else is in a batch. */
      exact: z.string(),
    },
    'the model has no graphs that weigh words; minilm does',
  ),
});

/** A sentence as the encoder reads it. */
export interface WeighedSentence {
  /** Token ids of each word, in order. */
  readonly words: readonly (readonly number[])[];
  /** The words of which it is to be said. */
  readonly wanted: readonly boolean[];
}

/** What weighs the words of sentences; `WordEncoder` is one. */
export interface WordWeigher {
  /** Its name, and its version. */
  readonly model: string;
  /** Tokens of a sentence that are read at once. */
  readonly maxTokens: number;
  /** Token ids of what stands between white space; at most `maxTokens`. */
  tokenIds(word: string): readonly number[];
  /**
   * For each word how far the sentence's embedding moves without it: 1 − cosine. NaN for words that are not wanted. What
   * a sentence gives depends on that sentence alone.
   * @param sentences of at most `maxTokens` tokens each
   */
  weigh(sentences: readonly WeighedSentence[], signal?: AbortSignal): Promise<Float64Array[]>;
}

/** Tokens that are sent to the session's thread at once: an abort takes effect after them. */
const TOKENS_A_TASK = 1_024;

const CACHED_NUMBERS = 1_000_000;
const CACHED_CHUNKS = 50_000;

/** Weighs the words of sentences by how far the sentence's embedding moves without each. */
export class WordEncoder implements WordWeigher {
  readonly model: string;
  readonly maxTokens: number;
  readonly #mode: WeighingMode;
  readonly #tokenizer: Tokenizer;
  readonly #ends: { readonly CLS: number; readonly SEP: number };
  readonly #chunks = new LRUCache<string, readonly number[]>({ max: CACHED_CHUNKS });
  readonly #known = new LRUCache<string, Float64Array>({
    maxSize: CACHED_NUMBERS,
    sizeCalculation: ({ length }) => length + 10,
  });
  readonly #session: LazySession;
  #tokensRead = 0;

  private constructor(
    { manifest, folder }: ResolvedModel,
    { maxTokens, words }: z.output<typeof settingsSchema>,
    tokenizer: Tokenizer,
    mode: WeighingMode,
    threads: number | undefined,
  ) {
    const { CLS, SEP } = tokenizer.special;
    this.model = `${manifest.name}@${manifest.version}`;
    if (CLS === undefined || SEP === undefined)
      throw new ModelError('damaged', this.model, `${folder}/tokenizer.json names no [CLS] and [SEP]`);
    this.#ends = { CLS, SEP };
    this.maxTokens = maxTokens - 2;
    this.#mode = mode;
    this.#tokenizer = tokenizer;
    this.#session = new LazySession(join(folder, words[mode]), threads, () => feedsOf([this.#row([])]));
  }

  /**
   * Finds the model and reads its tokenizer; its weights are loaded when first needed.
   * @throws ConfigurationError; ModelError `missing` or `damaged`
   */
  static async load(
    mode: WeighingMode,
    { model: name = 'minilm', registry = new ModelRegistry(), threads }: WordEncoderOptions = {},
  ): Promise<WordEncoder> {
    const model = await registry.resolve(name);
    if (model.manifest.kind !== 'embedder') {
      throw new ConfigurationError(
        'tcra.model',
        name,
        `it is of the kind ${model.manifest.kind}; give one of the kind embedder`,
      );
    }
    const settings = validate(settingsSchema, model.manifest.settings, `${name}/model.json: settings`);
    return new WordEncoder(model, settings, await loadTokenizer(model.folder), mode, threads);
  }

  /** They are the same in any sentence: the tokenizer never looks past white space. */
  tokenIds(word: string): readonly number[] {
    let ids = this.#chunks.get(word);
    if (!ids) {
      ids = this.#tokenizer.encode(word, { limit: this.maxTokens });
      if (word.length <= 64) this.#chunks.set(word, ids);
    }
    return ids;
  }

  /** Loads the weights, so that the first request does not wait for them. */
  async warm(): Promise<void> {
    await this.#session.opened();
  }

  /** Tokens that went through the graph so far; what was remembered is not counted. */
  get tokensRead(): number {
    return this.#tokensRead;
  }

  /**
   * To the last bit the same whatever else is weighed with a sentence.
   * @throws ModelError `inference`; the signal's reason when aborted, within the run of about a thousand tokens
   */
  async weigh(sentences: readonly WeighedSentence[], signal?: AbortSignal): Promise<Float64Array[]> {
    const keys = sentences.map(keyOf);
    const fresh = [...new Map(keys.map((key, index) => [key, sentences[index]!]))].filter(
      ([key]) => !this.#known.has(key),
    );
    const found = new Map(keys.map((key) => [key, this.#known.get(key)]));
    const movements = await (this.#mode === 'fast'
      ? this.#estimate(
          fresh.map(([, sentence]) => sentence),
          signal,
        )
      : this.#leaveOut(
          fresh.map(([, sentence]) => sentence),
          signal,
        ));
    for (const [index, [key]] of fresh.entries()) {
      found.set(key, movements[index]);
      this.#known.set(key, movements[index]);
    }
    return keys.map((key) => found.get(key)!);
  }

  /** Frees the model where nothing else in the process uses it. Another `weigh` loads it again. */
  async close(): Promise<void> {
    await this.#session.close();
  }

  /** One pass a sentence: int8 activations take their scale from all that is in a run. */
  async #estimate(
    sentences: readonly WeighedSentence[],
    signal: AbortSignal | undefined,
  ): Promise<Float64Array[]> {
    const rows = sentences.map(({ words }) => [this.#row(words)]);
    const movements = await this.#run(rows, 'movements', signal);
    return sentences.map(({ words, wanted }, index) => {
      let at = 1;
      return Float64Array.from(words, (ids, word) => {
        let movement = 0;
        for (const end = at + ids.length; at < end; at++) movement += movements[index]![at]!;
        return wanted[word] ? movement : NaN;
      });
    });
  }

  /** As the paper has it: the sentence, and the sentence without each of its words. */
  async #leaveOut(
    sentences: readonly WeighedSentence[],
    signal: AbortSignal | undefined,
  ): Promise<Float64Array[]> {
    const all: Float64Array[] = [];
    for (const { words, wanted } of sentences) {
      const whole = this.#row(words);
      const [embedding] = await this.#run([[whole]], 'embedding', signal);
      const width = embedding!.length;
      const movement = new Float64Array(words.length).fill(NaN);
      for (const batch of batches(words, wanted, whole.length)) {
        const rows = batch.map((left) => this.#row(words.filter((_, word) => word !== left)));
        const [vectors] = await this.#run([rows], 'embedding', signal);
        for (const [row, word] of batch.entries()) {
          let cosine = 0;
          for (let at = 0; at < width; at++) cosine += embedding![at]! * vectors![row * width + at]!;
          movement[word] = Math.max(0, 1 - cosine);
        }
      }
      all.push(movement);
    }
    return all;
  }

  #row(words: readonly (readonly number[])[]): number[] {
    return [this.#ends.CLS, ...words.flat(), this.#ends.SEP];
  }

  /** @param inputs batches, each of rows of one length */
  async #run(
    inputs: readonly (readonly number[][])[],
    output: string,
    signal: AbortSignal | undefined,
  ): Promise<Float32Array[]> {
    const session = await this.#session.opened();
    const results: Float32Array[] = [];
    for (let from = 0, to; from < inputs.length; from = to) {
      let tokens = 0;
      for (to = from; to < inputs.length && (to === from || tokens < TOKENS_A_TASK); to++)
        tokens += inputs[to]!.length * inputs[to]![0]!.length;
      const task = inputs.slice(from, to).map(feedsOf);
      for (const result of await session.run(task, { outputs: [output], ...(signal && { signal }) })) {
        const { data } = result[output]!;
        if (!(data instanceof Float32Array))
          throw new ModelError('inference', this.model, `${this.#session.path} gives no float32 ${output}`);
        results.push(data);
      }
      this.#tokensRead += tokens;
      signal?.throwIfAborted();
    }
    return results;
  }
}

/** Words with as many tokens go together: their rows are of one length, and nothing is padded or masked. */
function batches(
  words: readonly (readonly number[])[],
  wanted: readonly boolean[],
  length: number,
): number[][] {
  const byTokens = new Map<number, number[][]>();
  for (const [word, { length: tokens }] of words.entries()) {
    if (!wanted[word]) continue;
    let group = byTokens.get(tokens);
    if (!group) byTokens.set(tokens, (group = [[]]));
    if ((group.at(-1)!.length + 1) * length > TOKENS_A_TASK && group.at(-1)!.length > 0) group.push([]);
    group.at(-1)!.push(word);
  }
  return [...byTokens.values()].flat();
}

function keyOf({ words, wanted }: WeighedSentence): string {
  const ids = words.flatMap((word, index) => [wanted[index] ? -1 : -2, ...word]);
  return createHash('sha256').update(Int32Array.from(ids)).digest('base64');
}

function feedsOf(rows: readonly (readonly number[])[]): ModelTensors {
  const dims = [rows.length, rows[0]!.length];
  const ids = rows.flat();
  return {
    input_ids: { data: BigInt64Array.from(ids, BigInt), dims },
    attention_mask: { data: new BigInt64Array(ids.length).fill(1n), dims },
  };
}

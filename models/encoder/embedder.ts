import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { validate } from '../../settings/validate.js';
import { LazySession } from '../lazy-session.js';
import { ModelError } from '../model-error.js';
import { ModelRegistry, type ResolvedModel } from '../registry.js';
import type { ModelTensor, ModelTensors, SessionMemory } from '../session.js';
import { loadTokenizer } from '../load-tokenizer.js';
import type { Tokenizer } from '../tokenizer.js';

export interface EmbedderOptions {
  /** A model of kind `embedder`. Default `minilm`. */
  readonly model?: string;
  /** Default one with its own defaults. */
  readonly registry?: ModelRegistry;
  /** Threads of one run. Default as many as there are processors, at most 4. */
  readonly threads?: number;
  /** Embeddings kept, by hash of their text, the least recently used given up first; 0 keeps none. Default 10,000. */
  readonly cacheSize?: number;
}

const optionsSchema = z.strictObject({
  model: z.string().min(1).default('minilm'),
  registry: z.instanceof(ModelRegistry, { error: 'give a ModelRegistry' }).optional(),
  threads: z.int().min(1).optional(),
  cacheSize: z.int().nonnegative().default(10_000),
});

const settingsSchema = z.object({
  /** Path of the graph. */
  graph: z.string().default('model.onnx'),
  /** Name of the output that is read; default the first. */
  output: z.string().optional(),
  dimensions: z.int().positive(),
  /** Of an input, its first and last token among them. */
  maxTokens: z.int().min(3),
  /** How an embedding is made of token states, where the graph gives these. */
  pooling: z.enum(['mean', 'cls']).default('mean'),
});

/** Tokens that are sent to the session's thread at once: an abort takes effect after them. */
const TOKENS_A_TASK = 512;
const TURN_MILLISECONDS = 5;

/**
 * Embeddings of texts by an encoder that runs here.
 *
 * @example
 * const embedder = await Embedder.load();
 * const [question, answer] = await embedder.embed(['Who runs the ferry?', 'The Harbour Line runs every day.']);
 * await embedder.close();
 */
export class Embedder {
  /** Name of the model, and its version: embeddings of another are not comparable. */
  readonly model: string;
  readonly dimensions: number;
  /** What comes after so many tokens of a text is not read. 256 for `minilm`, the first and last special ones among them. */
  readonly maxTokens: number;
  readonly #settings: z.output<typeof settingsSchema>;
  readonly #tokenizer: Tokenizer;
  readonly #cache: LRUCache<string, Float32Array> | undefined;
  readonly #session: LazySession;

  private constructor(
    { manifest, folder }: ResolvedModel,
    settings: z.output<typeof settingsSchema>,
    tokenizer: Tokenizer,
    { threads, cacheSize }: z.output<typeof optionsSchema>,
  ) {
    this.model = `${manifest.name}@${manifest.version}`;
    this.dimensions = settings.dimensions;
    this.maxTokens = settings.maxTokens;
    this.#settings = settings;
    this.#tokenizer = tokenizer;
    this.#cache = cacheSize > 0 ? new LRUCache({ max: cacheSize }) : undefined;
    this.#session = new LazySession(join(folder, settings.graph), threads, () => feedsOf(this.#input('')));
  }

  /**
   * Finds the model and reads its tokenizer; its weights are loaded when first needed.
   * @throws ConfigurationError; ModelError `missing` or `damaged`
   */
  static async load(options: EmbedderOptions = {}): Promise<Embedder> {
    const valid = validate(optionsSchema, options, 'embedder');
    const model = await (valid.registry ?? new ModelRegistry()).resolve(valid.model);
    if (model.manifest.kind !== 'embedder') {
      throw new ConfigurationError(
        'embedder.model',
        valid.model,
        `it is of the kind ${model.manifest.kind}; give one of the kind embedder`,
      );
    }
    const settings = validate(settingsSchema, model.manifest.settings, `${valid.model}/model.json: settings`);
    return new Embedder(model, settings, await loadTokenizer(model.folder), valid);
  }

  /**
   * One vector of length 1 a text, `dimensions` wide, in the order of the texts. A text's vector depends on that text
   * alone, to the last bit: texts are run one at a time, for int8 activations take their scale from all that is in a run.
   * @throws ConfigurationError for what is no text; ModelError `inference`; the signal's reason when aborted, within the
   * run of a few hundred tokens: what was embedded by then is in the cache
   */
  async embed(
    texts: readonly string[],
    { signal }: { readonly signal?: AbortSignal } = {},
  ): Promise<Float32Array[]> {
    const places = new Map<string, number[]>();
    const vectors = new Array<Float32Array>(texts.length);
    for (const [index, text] of texts.entries()) {
      if (typeof text !== 'string') throw new ConfigurationError(`texts[${index}]`, text, 'give a string');
      const key = createHash('sha256').update(text).digest('base64');
      const known = places.get(key);
      if (known) known.push(index);
      else places.set(key, [index]);
    }
    const store = (key: string, vector: Float32Array) => {
      this.#cache?.set(key, vector);
      for (const index of places.get(key)!) vectors[index] = vector.slice();
    };

    let task: { key: string; ids: number[] }[] = [];
    let tokens = 0;
    const flush = async () => {
      const embedded = await this.#run(
        task.map(({ ids }) => ids),
        signal,
      );
      for (const [index, { key }] of task.entries()) store(key, embedded[index]!);
      task = [];
      tokens = 0;
    };
    let turn = performance.now();
    for (const [key, [first]] of places) {
      signal?.throwIfAborted();
      const cached = this.#cache?.get(key);
      if (cached) {
        store(key, cached);
        continue;
      }
      const ids = this.#input(texts[first!]!);
      if (tokens + ids.length > TOKENS_A_TASK) await flush();
      task.push({ key, ids });
      tokens += ids.length;
      if (performance.now() - turn > TURN_MILLISECONDS) {
        await setImmediate();
        turn = performance.now();
      }
    }
    await flush();
    signal?.throwIfAborted();
    return vectors;
  }

  /** Of the model's session; undefined before the first embedding. */
  async memory(): Promise<SessionMemory | undefined> {
    return this.#session.memory();
  }

  /** Frees the model where nothing else in the process uses it. Another `embed` loads it again. */
  async close(): Promise<void> {
    await this.#session.close();
  }

  #input(text: string): number[] {
    const { CLS, SEP } = this.#tokenizer.special;
    const ids = this.#tokenizer.encode(text, {
      limit: this.maxTokens - (CLS === undefined ? 0 : 1) - (SEP === undefined ? 0 : 1),
    });
    if (CLS !== undefined) ids.unshift(CLS);
    if (SEP !== undefined) ids.push(SEP);
    return ids;
  }

  async #run(inputs: readonly number[][], signal: AbortSignal | undefined): Promise<Float32Array[]> {
    if (inputs.length === 0) return [];
    const session = await this.#session.opened();
    const output = this.#settings.output ?? session.outputs[0]!;
    const results = await session.run(inputs.map(feedsOf), { outputs: [output], ...(signal && { signal }) });
    return results.map((result) => this.#vector(result[output]!));
  }

  /** From one vector [1, dimensions], or from token states [1, tokens, dimensions]. */
  #vector({ data, dims }: ModelTensor): Float32Array {
    const width = this.dimensions;
    if (
      !(data instanceof Float32Array) ||
      dims.at(-1) !== width ||
      data.length === 0 ||
      data.length % width !== 0
    ) {
      throw new ModelError(
        'inference',
        this.model,
        `${this.model} gives [${dims.join(', ')}] where float32 states of width ${width} were expected; see its model.json`,
      );
    }
    const rows = this.#settings.pooling === 'cls' ? 1 : data.length / width;
    const sums = new Float64Array(width);
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < width; column++) sums[column]! += data[row * width + column]!;
    const length = Math.hypot(...sums) || 1;
    return Float32Array.from(sums, (sum) => sum / length);
  }
}

/** One row, all of whose tokens count: without padding there is nothing to mask. */
function feedsOf(ids: readonly number[]): ModelTensors {
  const dims = [1, ids.length];
  return {
    input_ids: { data: BigInt64Array.from(ids, BigInt), dims },
    attention_mask: { data: new BigInt64Array(ids.length).fill(1n), dims },
    token_type_ids: { data: new BigInt64Array(ids.length), dims },
  };
}

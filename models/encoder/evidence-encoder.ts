import { createHash } from 'node:crypto';
import { join } from 'node:path';
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

export interface EvidenceEncoderOptions {
  /** A model of kind `evidence`. Default `evidence`. */
  readonly model?: string;
  /** Default one with its own defaults. */
  readonly registry?: ModelRegistry;
  /** Threads of one run. Default as many as there are processors, at most 4. */
  readonly threads?: number;
}

const optionsSchema = z.strictObject({
  model: z.string().min(1).default('evidence'),
  registry: z.instanceof(ModelRegistry, { error: 'give a ModelRegistry' }).optional(),
  threads: z.int().min(1).optional(),
});

const combinationSchema = z
  .object({
    features: z.array(z.string()),
    mean: z.array(z.number()),
    scale: z.array(z.number()),
    hiddenWeights: z.array(z.array(z.number())),
    hiddenBias: z.array(z.number()),
    outputWeights: z.array(z.number()),
    directWeights: z.array(z.number()),
    bias: z.number(),
    /** The logit of what was not read, and the least that any sentence has. */
    floor: z.number(),
  })
  .refine(
    ({ features, mean, scale, hiddenWeights, directWeights }) =>
      [mean, scale, hiddenWeights, directWeights].every(({ length }) => length === features.length),
    'give a mean, a scale and weights for each feature',
  )
  .refine(
    ({ hiddenWeights, hiddenBias, outputWeights }) =>
      [hiddenBias, ...hiddenWeights].every(({ length }) => length === outputWeights.length),
    'give weights for each hidden unit',
  );

const settingsSchema = z.object({
  graph: z.string().default('model.onnx'),
  /** Names of what comes out: `CHANNELS` numbers a token, and each token's cosine with each of the query's. */
  outputs: z.tuple([z.string(), z.string()]),
  /** What a cosine weighs in a logit beside the numbers, and the cosine that says neither yes nor no. */
  slope: z.number(),
  middle: z.number(),
  /** Weights of a softmax are taken from logits no further out. */
  weightClamp: z.number(),
  /** Tokens of a window, and how many of them the query, a title and a pinned sentence may take. */
  window: z
    .object({ tokens: z.int(), query: z.int().min(1), title: z.int().min(0), pin: z.int().min(1) })
    .refine(
      ({ tokens, query, title, pin }) => tokens - query - pin - 3 >= 3 * (title + 2),
      'query, title and pin leave no room for sentences',
    ),
  tokens: z.object({ cls: z.int(), sep: z.int(), colon: z.int() }),
  kinds: z.object({ plain: z.int(), match: z.int(), query: z.int() }),
  /** Whether the likeliest sections are read again with the best sentence pinned, and how many of them. */
  secondPass: z.boolean(),
  secondDocuments: z.int().min(1),
  /** From a sentence's features to a probability (compressors/exit/combination.ts). */
  combination: combinationSchema,
  /** The probability from which a sentence is kept where there is no budget. */
  tau: z.number().min(0).max(1),
  /** The probability that the best sentence of a request must reach for any to be kept where there is no budget. */
  least: z.number().min(0).max(1),
  /** How much of the logarithm of a sentence's length counts against it under a budget. */
  lengthExponent: z.number(),
});

export type EvidenceSettings = z.output<typeof settingsSchema>;

/** What the encoder reads at once: at most `settings.window.tokens` ids, and the kind of each. */
export interface EncoderInput {
  readonly ids: readonly number[];
  readonly kinds: readonly number[];
  /** How many tokens of the query it begins with, from the second on. */
  readonly query: number;
}

/** What the encoder says of an input. */
export interface EncoderOutput {
  /** `CHANNELS` numbers a token, one after the other. */
  readonly numbers: Float32Array;
  /** A number a token of the query for each token, one after the other. */
  readonly cosines: Float32Array;
}

/** Inputs read before, in bytes of what was read and what came out. */
const CACHE_BYTES = 32 * 1024 * 1024;

/** Words whose tokens are remembered. */
const CHUNKS = 50_000;

/** Numbers that come out for each token: value, weight, relevance. */
export const CHANNELS = 3;

/** The encoder that reads a question and sentences together. */
export class EvidenceEncoder {
  /** Name of the model, and its version. */
  readonly model: string;
  readonly settings: EvidenceSettings;
  readonly #tokenizer: Tokenizer;
  readonly #chunks = new LRUCache<string, readonly number[]>({ max: CHUNKS });
  readonly #read = new LRUCache<string, EncoderOutput>({
    maxSize: CACHE_BYTES,
    sizeCalculation: ({ numbers, cosines }) => numbers.byteLength + cosines.byteLength + 100,
  });
  readonly #session: LazySession;
  #tokensRead = 0;

  private constructor(
    { manifest, folder }: ResolvedModel,
    settings: EvidenceSettings,
    tokenizer: Tokenizer,
    threads: number | undefined,
  ) {
    this.model = `${manifest.name}@${manifest.version}`;
    this.settings = settings;
    this.#tokenizer = tokenizer;
    const { tokens, kinds } = settings;
    this.#session = new LazySession(join(folder, settings.graph), threads, () =>
      feedsOf({ ids: [tokens.cls, tokens.sep], kinds: [kinds.query, kinds.query], query: 0 }),
    );
  }

  /**
   * Finds the model and reads its tokenizer; its weights are loaded when first needed.
   * @throws ConfigurationError; ModelError `missing` or `damaged`
   */
  static async load(options: EvidenceEncoderOptions = {}): Promise<EvidenceEncoder> {
    const {
      model: name,
      registry = new ModelRegistry(),
      threads,
    } = validate(optionsSchema, options, 'evidence');
    const model = await registry.resolve(name);
    if (model.manifest.kind !== 'evidence') {
      throw new ConfigurationError(
        'evidence.model',
        name,
        `it is of the kind ${model.manifest.kind}; give one of the kind evidence`,
      );
    }
    const settings = validate(settingsSchema, model.manifest.settings, `${name}/model.json: settings`);
    return new EvidenceEncoder(model, settings, await loadTokenizer(model.folder), threads);
  }

  /** Token ids of a text between white space, which are the same wherever it stands. */
  chunkIds(chunk: string): readonly number[] {
    let ids = this.#chunks.get(chunk);
    if (!ids) {
      ids = this.#tokenizer.encode(chunk, { limit: this.settings.window.tokens });
      if (chunk.length <= 64) this.#chunks.set(chunk, ids);
    }
    return ids;
  }

  /** Loads the weights, so that the first question does not wait for them. */
  async warm(): Promise<void> {
    await this.#session.opened();
  }

  /** Tokens that went through the graph so far; what was remembered is not counted. */
  get tokensRead(): number {
    return this.#tokensRead;
  }

  /** Whether an input's outputs are remembered. */
  isKnown(input: EncoderInput): boolean {
    return this.#read.has(keyOf(input));
  }

  /**
   * @returns what depends on this input alone, to the last bit
   * @throws ModelError `inference`; the signal's reason when aborted
   */
  async read(input: EncoderInput, signal?: AbortSignal): Promise<EncoderOutput> {
    const key = keyOf(input);
    const known = this.#read.get(key);
    if (known) return known;
    const session = await this.#session.opened();
    const { outputs } = this.settings;
    const [result] = await session.run([feedsOf(input)], { outputs, ...(signal && { signal }) });
    const output = {
      numbers: this.#columns(result![outputs[0]]!, input, CHANNELS),
      cosines: this.#columns(result![outputs[1]]!, input, input.query),
    };
    this.#read.set(key, output);
    this.#tokensRead += input.ids.length;
    return output;
  }

  /** Of the model's session; undefined before the first input. */
  async memory(): Promise<SessionMemory | undefined> {
    return this.#session.memory();
  }

  /** Frees the model where nothing else in the process uses it. Another `read` loads it again. */
  async close(): Promise<void> {
    await this.#session.close();
  }

  /** The first `count` columns of an output [1, tokens, columns]. */
  #columns({ data, dims }: ModelTensor, { ids }: EncoderInput, count: number): Float32Array {
    const width = dims.at(-1)!;
    if (!(data instanceof Float32Array) || width < count || data.length !== width * ids.length) {
      throw new ModelError(
        'inference',
        this.model,
        `${this.model} gives [${dims.join(', ')}] where ${count} numbers for each of ${ids.length} tokens were expected; see its model.json`,
      );
    }
    if (width === count) return data;
    const columns = new Float32Array(ids.length * count);
    for (let token = 0; token < ids.length; token++)
      columns.set(data.subarray(token * width, token * width + count), token * count);
    return columns;
  }
}

function keyOf({ ids, kinds }: EncoderInput): string {
  return createHash('sha256').update(Int32Array.from(ids)).update(Uint8Array.from(kinds)).digest('base64');
}

/** One row, all of whose tokens count. */
function feedsOf({ ids, kinds }: EncoderInput): ModelTensors {
  const dims = [1, ids.length];
  return {
    input_ids: { data: BigInt64Array.from(ids, BigInt), dims },
    attention_mask: { data: new BigInt64Array(ids.length).fill(1n), dims },
    token_kinds: { data: BigInt64Array.from(kinds, BigInt), dims },
  };
}

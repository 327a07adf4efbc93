import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { validate } from '../../settings/validate.js';
import { ModelError } from '../model-error.js';
import { ModelRegistry, type ResolvedModel } from '../registry.js';
import { Session, type SessionMemory, type ModelTensors } from '../session.js';
import { Tokenizer } from '../tokenizer.js';

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

const settingsSchema = z.object({
  graph: z.string().default('model.onnx'),
  output: z.string(),
  window: z.object({ tokens: z.int().min(16), query: z.int().min(1), title: z.int().min(0) }),
  tokens: z.object({ cls: z.int(), sep: z.int(), colon: z.int() }),
  kinds: z.object({ plain: z.int(), match: z.int(), query: z.int() }),
  /** From a sentence's features to a probability (compressors/exit/combination.ts). */
  combination: z.object({
    features: z.array(z.string()),
    mean: z.array(z.number()),
    scale: z.array(z.number()),
    hiddenWeights: z.array(z.array(z.number())),
    hiddenBias: z.array(z.number()),
    outputWeights: z.array(z.number()),
    directWeights: z.array(z.number()),
    bias: z.number(),
    /** The logit of what was not read. */
    floor: z.number(),
  }),
  /** The probability from which a sentence is kept where there is no budget. */
  tau: z.number().min(0).max(1),
  /** How much of the logarithm of a sentence's length counts against it under a budget. */
  lengthExponent: z.number(),
});

export type EvidenceSettings = z.output<typeof settingsSchema>;

/** What the encoder reads at once: at most `settings.window.tokens` ids, and the kind of each. */
export interface EncoderInput {
  readonly ids: readonly number[];
  readonly kinds: readonly number[];
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
  readonly #graph: string;
  readonly #threads: number | undefined;
  readonly #tokenizer: Tokenizer;
  readonly #chunks = new LRUCache<string, readonly number[]>({ max: CHUNKS });
  readonly #read = new LRUCache<string, Float32Array>({
    maxSize: CACHE_BYTES,
    sizeCalculation: (outputs) => outputs.byteLength + 100,
  });
  #session: Promise<Session> | undefined;

  private constructor(
    { manifest, folder }: ResolvedModel,
    settings: EvidenceSettings,
    tokenizer: Tokenizer,
    threads: number | undefined,
  ) {
    this.model = `${manifest.name}@${manifest.version}`;
    this.settings = settings;
    this.#graph = join(folder, settings.graph);
    this.#threads = threads;
    this.#tokenizer = tokenizer;
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
    return new EvidenceEncoder(model, settings, await Tokenizer.load(model.folder), threads);
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
    await this.#opened();
  }

  /** Whether an input's outputs are remembered. */
  isKnown(input: EncoderInput): boolean {
    return this.#read.has(keyOf(input));
  }

  /**
   * @returns `CHANNELS` numbers a token, one after the other. They depend on this input alone.
   * @throws ModelError `inference`; the signal's reason when aborted
   */
  async read(input: EncoderInput, signal?: AbortSignal): Promise<Float32Array> {
    const key = keyOf(input);
    const known = this.#read.get(key);
    if (known) return known;
    const session = await this.#opened();
    const { output } = this.settings;
    const [result] = await session.run([feedsOf(input)], { outputs: [output], ...(signal && { signal }) });
    const { data, dims } = result![output]!;
    if (!(data instanceof Float32Array) || data.length !== CHANNELS * input.ids.length) {
      throw new ModelError(
        'inference',
        this.model,
        `${this.model} gives [${dims.join(', ')}] where ${CHANNELS} numbers a token were expected; see its model.json`,
      );
    }
    this.#read.set(key, data);
    return data;
  }

  /** Of the model's session; undefined before the first input. */
  async memory(): Promise<SessionMemory | undefined> {
    return (await this.#session)?.memory;
  }

  /** Frees the model where nothing else in the process uses it. Another `read` loads it again. */
  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await (await session?.catch(() => undefined))?.close();
  }

  async #opened(): Promise<Session> {
    this.#session ??= Session.open(this.#graph, {
      warmUp: feedsOf({ ids: [this.settings.tokens.cls, this.settings.tokens.sep], kinds: [0, 0] }),
      ...(this.#threads !== undefined && { threads: this.#threads }),
    });
    try {
      return await this.#session;
    } catch (error) {
      this.#session = undefined;
      throw error;
    }
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

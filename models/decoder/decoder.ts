import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { z } from 'zod';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { validate } from '../../settings/validate.js';
import { ModelError } from '../model-error.js';
import { endNativeTurns, nativeTurns } from '../native-turn.js';
import { packageFile } from '../package-file.js';
import { ModelRegistry } from '../registry.js';
import type { Precision } from './decoder-engine.js';
import { decoderFolder } from './decoder-folder.js';
import type { DeviceChoice } from './open-engine.js';
import type {
  DecoderDescription,
  DecoderDevice,
  Fault,
  FromWorker,
  ToWorker,
  WorkerSettings,
} from './serve-decoder.js';
import { generateSettingsSchema } from './generate-settings.js';
import type { DecoderInput, GenerateOptions, Generation, GenerationResult } from './generation.js';

export type {
  ChatMessage,
  DecoderInput,
  GenerateOptions,
  Generation,
  GenerationResult,
  PlacedEmbeddings,
  Reuse,
} from './generation.js';

export interface DecoderOptions {
  /** A model of the kind `decoder`. Default `smollm2`. */
  readonly model?: string;
  /** A folder with a checkpoint of the Llama family, GGUF or safetensors, in place of a model by its name. */
  readonly folder?: string;
  /** Default one with its own defaults. */
  readonly registry?: ModelRegistry;
  /** Threads of one run. Default as many as there are processors, at most 4. */
  readonly threads?: number;
  /** `float32` computes as the checkpoint has it, several times slower, for comparison. Default `int8`. */
  readonly precision?: Precision;
  /**
   * `gpu`: WebGPU, by the packages `webgpu` and `onnxruntime-web`; where it has no adapter, or loses it, the CPU answers,
   * and `Decoder.device` says why. `auto`: the same, and the CPU also where the packages are missing or the adapter is
   * software. Default `cpu`.
   */
  readonly device?: DeviceChoice;
  /**
   * Tokens that a prompt and its answer may have together. Default, and at most, what the model was trained for, but for
   * `window`.
   */
  readonly contextTokens?: number;
  /**
   * Tokens that a token sees back, beside the first four: a prompt and its answer may then be sixteen times as long as
   * what the model was trained for, and what lies further back is as good as not read. Default none: they may not.
   */
  readonly window?: number;
  /**
   * Megabytes that keys and values of all requests under way may take, and of the sequence that ended last: others wait
   * until there is room. One is always let in, and four at most take turns. Default 128.
   */
  readonly cacheMegabytes?: number;
}

const optionsSchema = z
  .strictObject({
    model: z.string('give the name of a model').min(1, 'give the name of a model').optional(),
    folder: z.string('give a path').min(1, 'give a path').optional(),
    registry: z.instanceof(ModelRegistry, { error: 'give a ModelRegistry' }).optional(),
    threads: z
      .int()
      .min(1)
      .max(256)
      .default(() => Math.min(4, availableParallelism())),
    precision: z.enum(['int8', 'float32'], 'give int8 or float32').default('int8'),
    device: z.enum(['auto', 'cpu', 'gpu'], 'give auto, cpu or gpu').default('cpu'),
    contextTokens: z.int('give a whole number').min(2, 'give 2 or more').optional(),
    window: z.int('give a whole number').min(256, 'give 256 or more').optional(),
    cacheMegabytes: z.number().positive('give a number above 0').default(128),
  })
  .refine(({ model, folder }) => model === undefined || folder === undefined, {
    path: ['folder'],
    error: 'give a model or a folder, not both',
  })
  .refine(({ window, device }) => window === undefined || device !== 'gpu', {
    path: ['device'],
    error: 'a window is for the CPU alone; leave one of the two away',
  });

const inputSchema = z.union(
  [
    z.strictObject({
      messages: z
        .array(z.object({ role: z.enum(['system', 'user', 'assistant']), content: z.string() }))
        .min(1),
      embeddings: z
        .strictObject({ marker: z.string().min(1), rows: z.array(z.instanceof(Float32Array)) })
        .optional(),
    }),
    z.strictObject({ prompt: z.string().min(1) }),
    z.strictObject({ tokens: z.array(z.int().nonnegative()).min(1) }),
    z.strictObject({ embeds: z.instanceof(Float32Array).refine(({ length }) => length > 0) }),
  ],
  'give messages, a prompt, tokens or embeds, and not none of them',
);

interface Request {
  readonly onAccepted?: (promptTokens: number) => void;
  readonly onText?: (text: string) => void;
  readonly resolve: (value: never) => void;
  readonly reject: (reason: unknown) => void;
}

/**
 * A small language model of the Llama family on ONNX Runtime, in a thread of its own. Requests take turns at every step;
 * what one is answered does not depend on the others.
 */
export class Decoder {
  /** Name and version; a folder's path. */
  readonly model: string;
  /** Tokens that a prompt and its answer may have together. */
  readonly contextTokens: number;
  /** Numbers a row of `embeds`. */
  readonly width: number;
  readonly #vocabulary: number;
  readonly #worker: Worker;
  readonly #requests = new Map<number, Request>();
  readonly #ended: Promise<void>;
  #norm: Promise<number> | undefined;
  #device: DecoderDevice;
  #next = 0;
  #fault: ModelError | undefined;

  protected constructor({ model, worker, description }: StartedDecoder) {
    const { contextTokens, width, vocabulary, device } = description;
    this.model = model;
    this.#device = device;
    this.contextTokens = contextTokens;
    this.width = width;
    this.#vocabulary = vocabulary;
    this.#worker = worker;
    worker.on('message', (message: FromWorker) => {
      this.#receive(message);
    });
    this.#ended = new Promise((resolve) => {
      worker.once('exit', resolve);
    });
    worker.on('error', (error) => {
      this.#end(
        new ModelError('inference', model, `the thread of ${model} ended: ${error.message}`, {
          cause: error,
        }),
      );
    });
    worker.unref();
  }

  /**
   * Finds the model, reads its weights and builds its graph.
   * @throws ConfigurationError; ModelError `missing`, `damaged`, or `unsupported` for what is not run here
   */
  static async load(options: DecoderOptions = {}): Promise<Decoder> {
    return new Decoder(await startDecoder('models/decoder/decoder-worker.js', options));
  }

  /**
   * Begins at once. Its pieces can be read as they come, its result waited for; both fail alike.
   * @throws ConfigurationError for an option that cannot be used. What comes later fails with ModelError: `context` for
   * a prompt that leaves no room for an answer, `unsupported` for messages without a chat template, `inference`; or with
   * the signal's reason
   */
  generate(input: DecoderInput, { signal, ...options }: GenerateOptions = {}): Generation {
    const settings = validate(generateSettingsSchema, options, 'generate');
    this.#check(input);
    const pieces = new Pieces();
    let id = 0;
    let onAccepted!: (promptTokens: number) => void;
    const accepted = new Promise<number>((resolve) => {
      onAccepted = resolve;
    });
    const result = new Promise<GenerationResult>((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason as Error);
        return;
      }
      const onText = (text: string) => {
        pieces.push(text);
      };
      id = this.#send((id) => ({ type: 'generate', id, input, settings }), {
        onAccepted,
        onText,
        resolve,
        reject,
      });
    });
    const promptTokens = Promise.race([accepted, result.then((ended) => ended.promptTokens)]);
    promptTokens.catch(() => undefined); // The result fails, too.
    const abort = () => {
      this.#abort(id, signal?.reason);
    };
    signal?.addEventListener('abort', abort);
    result
      .then(
        () => {
          pieces.end();
        },
        (error: unknown) => {
          pieces.end(error);
        },
      )
      .finally(() => signal?.removeEventListener('abort', abort));
    return {
      result,
      promptTokens,
      [Symbol.asyncIterator]: () =>
        pieces.read(() => {
          this.#abort(id, new DOMException('nobody reads what is generated', 'AbortError'));
        }),
    };
  }

  /** Where it computes; on the CPU from the moment on that a GPU failed. */
  get device(): DecoderDevice {
    return this.#device;
  }

  /** Token ids of a text, without special tokens. */
  async encode(text: string): Promise<number[]> {
    return this.#answerTo((id) => ({ type: 'encode', id, text }));
  }

  /**
   * Tokens of a prompt as `generate` would read it, those of the chat template among them, whether or not they fit.
   * @throws ConfigurationError; ModelError `unsupported`
   */
  async countTokens(input: DecoderInput): Promise<number> {
    this.#check(input);
    return this.#answerTo((id) => ({ type: 'count', id, input }));
  }

  /**
   * The rows that an input is to the model, [tokens, width]: what another engine is to go on from.
   * @throws ConfigurationError; ModelError `unsupported`
   */
  async embed(input: DecoderInput): Promise<Float32Array> {
    this.#check(input);
    return this.#answerTo((id) => ({ type: 'embed', id, input }));
  }

  /** Mean length of a token's embedding, over the vocabulary. */
  async embeddingNorm(): Promise<number> {
    return (this.#norm ??= this.#answerTo((id) => ({ type: 'norm', id })));
  }

  /** Ends its thread; what is under way fails. A second call does nothing. */
  async close(): Promise<void> {
    if (!this.#fault) {
      this.#end(new ModelError('inference', this.model, `${this.model} was closed and cannot be run`));
      this.#post({ type: 'close' });
    }
    this.#worker.ref();
    await this.#ended;
  }

  /** Asks the reader of prompts in its thread. */
  protected ask(question: unknown): Promise<unknown> {
    return this.#answerTo((id) => ({ type: 'ask', id, question }));
  }

  #check(input: DecoderInput): void {
    validate(inputSchema, input, 'input');
    if ('embeds' in input && input.embeds.length % this.width !== 0)
      throw new ConfigurationError('input.embeds', input.embeds.length, `give rows of ${this.width} numbers`);
    if ('messages' in input && input.embeddings) {
      const { marker, rows } = input.embeddings;
      const narrow = rows.find(({ length }) => length !== this.width);
      if (narrow)
        throw new ConfigurationError(
          'input.embeddings.rows',
          `a row of ${narrow.length} numbers`,
          `give rows of ${this.width}, as wide as ${this.model}`,
        );
      const places = input.messages.reduce((sum, { content }) => sum + content.split(marker).length - 1, 0);
      if (places !== rows.length)
        throw new ConfigurationError(
          'input.embeddings.marker',
          marker,
          `it stands in the messages ${places} times for ${rows.length} embeddings; give one that stands there for each of them and nowhere else`,
        );
    }
    if ('tokens' in input) {
      const strange = input.tokens.find((token) => token >= this.#vocabulary);
      if (strange !== undefined)
        throw new ConfigurationError('input.tokens', strange, `give tokens below ${this.#vocabulary}`);
    }
  }

  #answerTo<Answer>(message: (id: number) => ToWorker): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#send(message, { resolve, reject });
    });
  }

  #send(message: (id: number) => ToWorker, request: Request): number {
    const id = ++this.#next;
    if (this.#fault) {
      request.reject(this.#fault);
      return id;
    }
    this.#requests.set(id, request);
    this.#worker.ref();
    this.#post(message(id));
    return id;
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #receive(message: FromWorker): void {
    if (message.type === 'ready') return;
    if (message.type === 'device') {
      this.#device = message.device;
      return;
    }
    const request = message.id === undefined ? undefined : this.#requests.get(message.id);
    if (!request) return;
    if (message.type === 'accepted') {
      request.onAccepted?.(message.promptTokens);
      return;
    }
    if (message.type === 'text') {
      request.onText?.(message.text);
      return;
    }
    this.#forget(message.id!);
    if (message.type === 'fault') request.reject(toError(this.model, message.fault));
    else request.resolve((message.type === 'end' ? message.result : message.answer) as never);
  }

  #abort(id: number, reason: unknown): void {
    const request = this.#requests.get(id);
    if (!request) return;
    this.#forget(id);
    this.#post({ type: 'abort', id });
    request.reject(reason);
  }

  #forget(id: number): void {
    this.#requests.delete(id);
    // With nothing under way its thread does not keep the process from ending.
    if (this.#requests.size === 0) this.#worker.unref();
  }

  #end(fault: ModelError): void {
    this.#fault ??= fault;
    for (const request of this.#requests.values()) request.reject(fault);
    this.#requests.clear();
  }
}

/** A thread with a decoder in it. */
export interface StartedDecoder {
  readonly model: string;
  readonly worker: Worker;
  readonly description: DecoderDescription;
}

/**
 * @param file of the thread, under dist/
 * @param reading for the thread's reader of prompts
 * @throws as `Decoder.load`
 */
export async function startDecoder(
  file: string,
  options: DecoderOptions,
  reading?: unknown,
): Promise<StartedDecoder> {
  const { model, folder, registry, threads, precision, device, contextTokens, window, cacheMegabytes } =
    validate(optionsSchema, options, 'decoder');
  if (device === 'gpu') checkPackages();
  const found = await decoderFolder({ model, folder, registry });
  const { name, sound } = found;
  const settings: WorkerSettings = {
    folder: found.folder,
    threads,
    precision,
    device: window === undefined ? device : 'cpu',
    contextTokens,
    window,
    cacheBytes: cacheMegabytes * 1e6,
    turns: nativeTurns(),
    reading,
  };
  const worker = new Worker(packageFile(`dist/${file}`), {
    workerData: settings,
    // What the process was started with, such as --input-type, need not suit a thread.
    execArgv: [],
  });
  worker.once('exit', () => {
    endNativeTurns(settings.turns);
  });
  const description = new Promise<DecoderDescription>((resolve, reject) => {
    worker.once('message', (message: FromWorker) => {
      if (message.type === 'ready') resolve(message.description);
      else if (message.type === 'fault') reject(toError(name, message.fault));
    });
    worker.once('error', reject);
  });
  description.catch(() => undefined);
  try {
    // First: what is wrong with a file says more than what became of it in the thread.
    await sound;
  } catch (error) {
    worker.postMessage({ type: 'close' } satisfies ToWorker);
    throw error;
  }
  return { model: name, worker, description: await description };
}

/** @throws ConfigurationError where what a GPU needs is not installed */
function checkPackages(): void {
  const missing = ['webgpu', 'onnxruntime-web/webgpu'].flatMap((name) => {
    try {
      import.meta.resolve(name);
      return [];
    } catch {
      return [name.split('/')[0]!];
    }
  });
  if (missing.length > 0)
    throw new ConfigurationError(
      'decoder.device',
      'gpu',
      `install ${missing.join(' and ')}, or give auto or cpu`,
    );
}

function toError(model: string, { code, message }: Fault): Error {
  return code === undefined ? new Error(message) : new ModelError(code, model, message);
}

/** Text between the one who generates and the one who reads. */
class Pieces {
  readonly #pieces: string[] = [];
  #wake: (() => void) | undefined;
  #state: { readonly error?: unknown } | undefined;

  push(text: string): void {
    this.#pieces.push(text);
    this.#wake?.();
  }

  end(error?: unknown): void {
    this.#state = error === undefined ? {} : { error };
    this.#wake?.();
  }

  /** @param leave called where the reader stops before the end */
  async *read(leave: () => void): AsyncGenerator<string, undefined> {
    try {
      for (;;) {
        while (this.#pieces.length > 0) yield this.#pieces.shift()!;
        if (this.#state) {
          if ('error' in this.#state) throw this.#state.error;
          return undefined;
        }
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      leave();
    }
  }
}

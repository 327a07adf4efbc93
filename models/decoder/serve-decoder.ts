import { parentPort, workerData } from 'node:worker_threads';
import { KernelError } from '../../kernels/kernel-error.js';
import { ModelError, type ModelErrorCode } from '../model-error.js';
import { nativeTurn } from '../native-turn.js';
import { Tokenizer } from '../tokenizer.js';
import { isAsLikely, type AbstentionTokens } from './abstention.js';
import { chatTemplateOf, type ChatTemplate } from './chat-template.js';
import { openCheckpoint, type Checkpoint } from './checkpoint.js';
import { commonPrefix } from './common-prefix.js';
import type { EngineOptions, Precision } from './decoder-engine.js';
import type { Device, Engine } from './engine.js';
import type { GenerateSettings } from './generate-settings.js';
import type { DecoderInput, GenerationResult, Reuse } from './generation.js';
import { bytesAToken, type KvSlots, type Slots } from './kv-slots.js';
import { LambdaWindow } from './lambda-window.js';
import { openEngine, type DeviceChoice } from './open-engine.js';
import { promptLookup } from './prompt-lookup.js';
import { Sampler } from './sampler.js';
import type { DecoderShape } from './shape.js';
import { TextStream } from './text-stream.js';

export interface WorkerSettings {
  readonly folder: string;
  readonly threads: number;
  readonly precision: Precision;
  readonly device: DeviceChoice;
  readonly contextTokens: number | undefined;
  readonly window: number | undefined;
  readonly cacheBytes: number;
  readonly turns: Int32Array<SharedArrayBuffer>;
  /** For the reader of prompts, if there is one. */
  readonly reading?: unknown;
}

/** What a reader of prompts works with. */
export interface ReaderParts {
  readonly folder: string;
  readonly precision: Precision;
  readonly checkpoint: Checkpoint;
  readonly engine: Engine;
  readonly template: () => ChatTemplate;
}

/** Reads prompts in another way than from the first token to the last. */
export interface PromptReader {
  /** @returns undefined for a prompt that is to be read straight */
  read(input: DecoderInput): Reading | undefined;
  /** Answers what its owner in the other thread asks. */
  ask(question: unknown): Promise<unknown>;
  close(): Promise<void>;
}

/** A prompt that is being read: a step of the graph each time it is asked for more. */
export interface Reading {
  readonly tokens: readonly number[];
  /**
   * A sequence that has at least so many of the tokens, from the first on, may be gone on from in place of reading them;
   * Infinity: none.
   */
  readonly resumesFrom: number;
  readonly steps: AsyncGenerator<undefined, PromptRead, undefined>;
}

export interface PromptRead {
  /** All of the prompt's tokens. */
  readonly slots: Slots;
  /** Of the last row. */
  readonly hidden: Float32Array;
  readonly reuse: Reuse;
}

export interface ReaderMaker {
  /** What the engine must be able to do. */
  engine(shape: DecoderShape): Pick<EngineOptions, 'cuts' | 'masses'>;
  make(parts: ReaderParts): Promise<PromptReader>;
}

/** Where a decoder computes. */
export interface DecoderDevice {
  readonly name: Device;
  /** Why not on the GPU that was asked for; undefined where it is, or none was. */
  readonly reason: string | undefined;
}

/** What is known once the weights are loaded. */
export interface DecoderDescription {
  readonly device: DecoderDevice;
  readonly contextTokens: number;
  readonly width: number;
  readonly vocabulary: number;
}

export type ToWorker =
  | {
      readonly type: 'generate';
      readonly id: number;
      readonly input: DecoderInput;
      readonly settings: GenerateSettings;
    }
  | { readonly type: 'encode'; readonly id: number; readonly text: string }
  | { readonly type: 'count'; readonly id: number; readonly input: DecoderInput }
  | { readonly type: 'embed'; readonly id: number; readonly input: DecoderInput }
  | { readonly type: 'norm'; readonly id: number }
  | { readonly type: 'ask'; readonly id: number; readonly question: unknown }
  | { readonly type: 'abort'; readonly id: number }
  | { readonly type: 'close' };

/** An error that is ours with its code, any other without. */
export interface Fault {
  readonly code: ModelErrorCode | undefined;
  readonly message: string;
}

export type FromWorker =
  | { readonly type: 'ready'; readonly description: DecoderDescription }
  | { readonly type: 'device'; readonly device: DecoderDevice }
  | { readonly type: 'accepted'; readonly id: number; readonly promptTokens: number }
  | { readonly type: 'text'; readonly id: number; readonly text: string }
  | { readonly type: 'end'; readonly id: number; readonly result: GenerationResult }
  | { readonly type: 'answer'; readonly id: number; readonly answer: unknown }
  | { readonly type: 'fault'; readonly id: number | undefined; readonly fault: Fault };

/**
 * Rows of a prompt that are computed at once: enough for the matrix products to be at their fastest, few enough that
 * scores stay in the processor's caches, keys that come later are not looked at, and other requests get their turn.
 */
const ROWS = 192;

const USUAL_ANSWER = 48;

/** Tokens of an ended sequence that are worth going on from: a shorter prompt is as soon read, and so the same each time. */
const LEAST_RESUMED = 8;

/** Tokens that are computed beside the last one in case they come next: little dearer than it alone. */
const DRAFT = 4;

/**
 * Requests that take turns: a long prompt does not keep a short one waiting, and of many that come at once the first
 * are not as late as the last.
 */
const TOGETHER = 4;

/** Times the trained context that a sequence may have where tokens see a window alone: memory must end somewhere. */
const WINDOWS = 16;

/** A sequence that has ended, with a token a slot. */
interface Ended {
  readonly tokens: readonly number[];
  readonly slots: Slots;
  /** Whether it was read from the first token to the last. */
  readonly isStraight: boolean;
}

/** A request under way. */
interface Running {
  readonly id: number;
  readonly input: DecoderInput;
  /** From its first step on. */
  slots: Slots | undefined;
  /** As `Reading` has it. */
  readonly resumesFrom: number;
  /** As `Ended` has it. */
  isStraight: boolean;
  readonly window: LambdaWindow | undefined;
  /** Rows that are still to be computed, [rows, width]. */
  rows: Float32Array;
  /** What the last of them are of, where they are not of tokens that were chosen. */
  draft: readonly number[];
  /** Of a prompt that is not read straight, until it is read. */
  reading: Reading['steps'] | undefined;
  reuse: Reuse | undefined;
  readonly promptTokens: number;
  readonly maxTokens: number;
  readonly bytes: number;
  readonly sampler: Sampler;
  /** Looked at once the prompt is read. */
  readonly abstention: AbstentionTokens | undefined;
  readonly stream: TextStream;
  /** Milliseconds that the prompt took to become rows. */
  readonly encoding: number;
  began: number | undefined;
  firstToken: number | undefined;
  /** Of the prompt, where it is of tokens alone, and behind them those that were generated. */
  readonly tokens: number[];
  /** Generated tokens. */
  readonly said: number[];
  /** Of them, those whose rows are still to be computed after the prompt, on another device than the first. */
  again: readonly number[];
  /** While a step of it was under way: it ends with that. */
  isAborted: boolean;
}

/** Rows whose next tokens are asked for: of the last token that was chosen, and of the draft. */
interface Computed {
  /** [rows, width]. */
  readonly hidden: Float32Array;
  /** Tells how many tokens of the draft were right: rows of the others are let go. */
  keep(right: number): void;
}

const port = parentPort!;
const send = (message: FromWorker) => {
  port.postMessage(message);
};
const fail = (id: number | undefined, error: unknown) => {
  const code = error instanceof ModelError ? error.code : undefined;
  send({ type: 'fault', id, fault: { code, message: (error as Error).message } });
};
/** What is known at once, or why it is not. */
const answer = (id: number, of: () => unknown) => {
  try {
    send({ type: 'answer', id, answer: of() });
  } catch (error) {
    fail(id, error);
  }
};

/** A thread's whole work: loads the decoder that its owner wants, and answers its requests until it is closed. */
export async function serveDecoder(reader?: ReaderMaker): Promise<void> {
  try {
    await serve(workerData as WorkerSettings, reader);
  } catch (error) {
    fail(undefined, error);
    port.close();
  }
}

async function serve(
  { folder, threads, precision, device, contextTokens: limit, window, cacheBytes, turns }: WorkerSettings,
  maker: ReaderMaker | undefined,
): Promise<void> {
  const checkpoint = await openCheckpoint(folder);
  const { path, shape, begin, ends } = checkpoint;
  const most = window === undefined ? shape.contextLength : WINDOWS * shape.contextLength;
  const contextTokens = Math.min(limit ?? most, most);
  const tokenizer = readTokenizer(path, checkpoint.tokenizer);
  const options = { threads, precision, ...maker?.engine(shape) };
  const opening = nativeTurn(turns, () => openEngine(checkpoint, device, options));
  const opened = await opening.finally(() => checkpoint.close());
  let { engine } = opened;
  let made: ChatTemplate | undefined;
  const template = () => (made ??= chatTemplateOf(checkpoint, tokenizer));
  let reader = await maker?.make({ folder, precision, checkpoint, engine, template });
  const waiting: Running[] = [];
  const running: Running[] = [];
  /** The last one: a chat's next turn, or the same question again, goes on from it. */
  let ended: Ended | undefined;
  let advancing: Running | undefined;
  let bytes = 0;
  let working = false;

  /** Undefined where it has rows that are of no token. */
  const tokensOf = (input: DecoderInput): readonly number[] | undefined => {
    if ('embeds' in input) return undefined;
    if ('tokens' in input) return input.tokens;
    if ('messages' in input) return input.embeddings ? undefined : template().encode(input.messages);
    const tokens = tokenizer.encode(input.prompt);
    return begin === undefined ? tokens : [begin, ...tokens];
  };

  const embedsOf = (input: DecoderInput, tokens = tokensOf(input)): Float32Array => {
    if (tokens) return engine.embed(tokens);
    if ('embeds' in input) return input.embeds;
    const { messages, embeddings } = input as Extract<DecoderInput, { readonly messages: unknown }>;
    const pieces = template().encodeAround(messages, embeddings!);
    return joined(pieces.flatMap((piece, i) => [engine.embed(piece), ...embeddings!.rows.slice(i, i + 1)]));
  };

  const abstentionOf = ({ abstention }: GenerateSettings): Running['abstention'] =>
    abstention && ends.length > 0
      ? { tokens: tokenizer.encode(abstention.text), probability: abstention.probability }
      : undefined;

  /** Tokens of what there is to read, or its rows where they are of none. */
  const promptOf = (input: DecoderInput) => {
    const reading = reader?.read(input);
    const tokens = reading?.tokens ?? tokensOf(input);
    const embeds = tokens ? undefined : embedsOf(input);
    return { reading, tokens, embeds, promptTokens: tokens?.length ?? embeds!.length / shape.width };
  };

  const accept = (id: number, input: DecoderInput, settings: GenerateSettings): Running => {
    const began = performance.now();
    const { reading, tokens, embeds, promptTokens } = promptOf(input);
    if (promptTokens >= contextTokens) {
      throw new ModelError(
        'context',
        path,
        `the prompt has ${promptTokens} tokens where the model reads at most ${contextTokens}, its answer included; ` +
          'give it a shorter one, e.g. compressed to a lower budget',
      );
    }
    const maxTokens = Math.min(settings.maxTokens ?? 256, contextTokens - promptTokens);
    return {
      id,
      input,
      slots: undefined,
      // Of rows that are of no token nothing tells that they are alike; what a window hides depends on where it began.
      resumesFrom: !tokens || window !== undefined ? Infinity : (reading?.resumesFrom ?? 1),
      window: window === undefined ? undefined : new LambdaWindow(shape, engine.rope, window),
      rows: reading ? new Float32Array(0) : (embeds ?? engine.embed(tokens!)),
      draft: [],
      reading: reading?.steps,
      reuse: undefined,
      promptTokens,
      maxTokens,
      bytes: (promptTokens + maxTokens) * bytesAToken(shape),
      sampler: new Sampler(settings),
      isStraight: !reading,
      abstention: abstentionOf(settings),
      stream: new TextStream(tokenizer, settings.stop),
      encoding: performance.now() - began,
      began: undefined,
      firstToken: undefined,
      tokens: [...(tokens ?? [])],
      said: [],
      again: [],
      isAborted: false,
    };
  };

  /** Everything that is under way begins anew on the CPU, and goes on from what it has said. */
  const leaveGpu = async (reason: KernelError): Promise<void> => {
    const again = await openCheckpoint(folder);
    const opening = openEngine(again, 'cpu', options).finally(() => again.close());
    await reader?.close();
    await engine.close().catch(() => undefined);
    ({ engine } = await opening);
    ended = undefined;
    reader = await maker?.make({ folder, precision, checkpoint, engine, template });
    send({ type: 'device', device: { name: engine.device, reason: reason.message } });
    for (const request of [...running, ...waiting]) {
      request.slots = undefined;
      request.reading = reader?.read(request.input)?.steps;
      request.rows = request.reading ? new Float32Array(0) : embedsOf(request.input);
      request.reuse = undefined;
      request.again = [...request.said];
      request.draft = [];
    }
  };

  /** Takes what the sequence that ended last has of the prompt, and lets go what it has beside that. */
  const resume = (request: Running): void => {
    if (!ended) return;
    const { tokens, slots, isStraight } = ended;
    ended = undefined;
    const alike = Math.min(commonPrefix(tokens, request.tokens), request.promptTokens - 1);
    // What is near a straight reading is not for a prompt that is to be read so.
    if (alike < Math.max(LEAST_RESUMED, request.resumesFrom) || (request.isStraight && !isStraight)) {
      slots.release();
      return;
    }
    slots.truncate(alike);
    request.slots = slots;
    request.isStraight = isStraight;
    request.reading = undefined;
    request.rows = engine.embed(request.tokens.slice(alike));
    request.reuse = { reused: alike, repaired: 0, computed: request.promptTokens - alike };
  };

  /** @returns the last row once the prompt is read */
  const read = async (request: Running, steps: Reading['steps']): Promise<Computed | undefined> => {
    const { done, value } = await steps.next();
    if (!done) return undefined;
    request.reading = undefined;
    request.slots = value.slots;
    request.reuse = value.reuse;
    return sayAgain(request) ? undefined : { hidden: value.hidden, keep: () => undefined };
  };

  /** @returns whether rows of what was said are still to be computed */
  const sayAgain = (request: Running): boolean => {
    const { again } = request;
    request.again = [];
    if (again.length > 0) request.rows = engine.embed(again);
    return again.length > 0;
  };

  /** A window is for the CPU alone. */
  const maskOf = ({ window }: Running, slots: Slots, positions: readonly number[]) =>
    window?.mask(slots as KvSlots, positions);

  /** @returns the last row and those of the draft once there are no more to compute */
  const compute = async (request: Running): Promise<Computed | undefined> => {
    const usual = Math.min(request.maxTokens, USUAL_ANSWER);
    const slots = (request.slots ??= engine.slots(request.promptTokens + usual));
    const count = Math.min(ROWS, request.rows.length / shape.width);
    const rows = request.rows.subarray(0, count * shape.width);
    request.rows = request.rows.subarray(rows.length);
    const positions = Array.from({ length: count }, (_, row) => slots.length + row);
    const mask = maskOf(request, slots, positions);
    const { hidden, kv } = await engine.step({ rows, positions, past: slots, ...(mask && { mask }) });
    // Room for an answer is made with that for the prompt's end, and not again after a few tokens.
    if (request.rows.length === 0 && count > 1) slots.reserve(slots.length + count + usual);
    const put = (rows: number) => {
      slots.put(kv, [{ row: 0, slot: slots.length, count: rows }], count);
    };
    if (request.rows.length > 0 || sayAgain(request)) {
      put(count);
      return undefined;
    }
    const drafted = request.draft.length;
    if (drafted === 0) put(count);
    return {
      hidden: hidden.slice(-(1 + drafted) * shape.width),
      keep: (right) => {
        if (drafted > 0) put(1 + right);
      },
    };
  };

  /** @returns whether the text ends with it */
  const say = (request: Running, token: number): boolean => {
    request.firstToken ??= performance.now();
    const { stream } = request;
    const isEnd = ends.includes(token);
    if (!isEnd) {
      request.said.push(token);
      request.tokens.push(token);
      const text = stream.push(token);
      if (text !== '') send({ type: 'text', id: request.id, text });
    }
    if (!isEnd && !stream.stopped && request.said.length < request.maxTokens) return false;
    const text = stream.end();
    if (text !== '') send({ type: 'text', id: request.id, text });
    send({
      type: 'end',
      id: request.id,
      result: {
        text: stream.text,
        finishReason: isEnd || stream.stopped ? 'stop' : 'length',
        promptTokens: request.promptTokens,
        completionTokens: request.said.length,
        milliseconds: {
          firstToken: request.firstToken - request.began!,
          total: performance.now() - request.began!,
        },
        ...(request.reuse && { reuse: request.reuse }),
      },
    });
    return true;
  };

  /** Takes a request a step further. @returns whether it is done */
  const advance = async (request: Running): Promise<boolean> => {
    if (request.began === undefined) {
      request.began = performance.now() - request.encoding;
      resume(request);
    }
    const computed = request.reading ? await read(request, request.reading) : await compute(request);
    if (!computed) return false;
    const { draft } = request;
    const rowAt = (right: number) => computed.hidden.subarray(right * shape.width, (right + 1) * shape.width);
    let logits = await engine.logits(rowAt(0));
    const { abstention } = request;
    if (abstention && request.said.length === 0) {
      const slots = request.slots!;
      const maskAt = (positions: readonly number[]) => maskOf(request, slots, positions);
      if (await isAsLikely(abstention, logits, engine, slots, maskAt))
        for (const token of [...abstention.tokens, ends[0]!]) if (say(request, token)) return true;
    }
    for (let right = 0; ; right++) {
      if (right > 0) logits = await engine.logits(rowAt(right));
      const token = request.sampler.next(logits);
      if (token === undefined)
        throw new ModelError(
          'inference',
          path,
          `${path} gives no numbers for this input; its weights may be damaged`,
        );
      const isDone = say(request, token);
      if (!isDone && token === draft[right]) continue;
      computed.keep(right);
      if (isDone) return true;
      const most = Math.min(DRAFT, request.maxTokens - request.said.length - 1);
      // The first token of an answer often is the first of a name: it may be the one that it shares.
      request.draft = promptLookup(request.tokens, request.said.length > 1 ? 2 : 1, most);
      request.rows = engine.embed([token, ...request.draft]);
      return false;
    }
  };

  /** Leaves, and keeps what is known for the prompt that comes next, in place of what ended before. */
  const end = (request: Running) => {
    const { slots, tokens, resumesFrom, isStraight } = request;
    const own = (slots?.length ?? 0) * bytesAToken(shape);
    if (slots && resumesFrom < Infinity && bytes - request.bytes + own <= cacheBytes) {
      ended?.slots.release();
      // The last token that was said has no slot.
      ended = { tokens: tokens.slice(0, slots.length), slots, isStraight };
      request.slots = undefined;
    }
    leave(request);
  };

  const leave = (request: Running) => {
    const at = running.indexOf(request);
    if (at < 0) return;
    running.splice(at, 1);
    bytes -= request.bytes;
    request.slots?.release();
    void request.reading?.return(undefined as never);
  };

  /** @returns what is not the GPU's failure, or what fails on the CPU too */
  const fallBack = async (error: unknown): Promise<unknown> => {
    if (!(error instanceof KernelError)) return error;
    if (engine.device === 'cpu') return undefined; // It began before the device changed.
    try {
      await nativeTurn(turns, () => leaveGpu(error));
      return undefined;
    } catch (other) {
      return other;
    }
  };

  /** Requests in turn, a step each, until there are none. */
  const work = async (): Promise<void> => {
    if (working) return;
    working = true;
    while (waiting.length + running.length > 0) {
      while (
        waiting[0] &&
        (running.length === 0 || (running.length < TOGETHER && bytes + waiting[0].bytes <= cacheBytes))
      ) {
        bytes += waiting[0].bytes;
        running.push(waiting.shift()!);
      }
      const request = running[0]!;
      advancing = request;
      try {
        const isDone = await nativeTurn(turns, () => advance(request));
        if (isDone || request.isAborted) end(request);
        else if (running[0] === request) running.push(running.shift()!);
      } catch (error) {
        const failed = await fallBack(error);
        if (failed !== undefined) {
          leave(request);
          fail(request.id, failed);
        }
      }
      advancing = undefined;
      await new Promise((resolve) => setImmediate(resolve));
    }
    working = false;
  };

  port.on('message', (message: ToWorker) => {
    switch (message.type) {
      case 'generate':
        try {
          const request = accept(message.id, message.input, message.settings);
          send({ type: 'accepted', id: message.id, promptTokens: request.promptTokens });
          waiting.push(request);
          void work();
        } catch (error) {
          fail(message.id, error);
        }
        break;
      case 'encode':
        answer(message.id, () => tokenizer.encode(message.text));
        break;
      case 'count':
        answer(message.id, () => promptOf(message.input).promptTokens);
        break;
      case 'embed':
        answer(message.id, () => embedsOf(message.input));
        break;
      case 'norm':
        answer(message.id, () => meanNorm(engine));
        break;
      case 'ask':
        void reader?.ask(message.question).then(
          (answer) => {
            send({ type: 'answer', id: message.id, answer });
          },
          (error: unknown) => {
            fail(message.id, error);
          },
        );
        break;
      case 'abort': {
        const at = waiting.findIndex(({ id }) => id === message.id);
        if (at >= 0) waiting.splice(at, 1);
        const request = running.find(({ id }) => id === message.id);
        if (request && request === advancing) request.isAborted = true;
        else if (request) end(request);
        break;
      }
      case 'close':
        waiting.length = 0;
        running.length = 0;
        void Promise.allSettled([engine.close(), reader?.close()]).then(() => {
          port.close();
        });
    }
  });
  send({
    type: 'ready',
    description: {
      contextTokens,
      width: shape.width,
      vocabulary: shape.vocabulary,
      device: { name: engine.device, reason: opened.reason },
    },
  });
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** Of a token's embedding, over the vocabulary. */
function meanNorm(engine: Engine): number {
  const { vocabulary } = engine.shape;
  let sum = 0;
  for (let token = 0; token < vocabulary; token++) {
    let squares = 0;
    for (const value of engine.embed([token])) squares += value * value;
    sum += Math.sqrt(squares);
  }
  return sum / vocabulary;
}

function readTokenizer(path: string, { json, config }: { json: object; config: object }): Tokenizer {
  try {
    return new Tokenizer(json, config);
  } catch (error) {
    throw new ModelError(
      'damaged',
      path,
      `the tokenizer of ${path} cannot be used: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}

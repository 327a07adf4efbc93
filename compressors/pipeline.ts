import { hash } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { budgetTokens, checkBudget, fitBudget } from './budget.js';
import type {
  Budget,
  CompressionRequest,
  CompressionResult,
  Compressor,
  Decision,
  SourceDocument,
  StageContext,
  StageReport,
  State,
  Unit,
} from './contract.js';
import { ConfigurationError } from '../settings/configuration-error.js';
import { FORMATS } from './extract.js';
import { PageCache, type Reading, WORKER_LENGTH } from './page-cache.js';
import { DEFAULT_PRESET, presetStages, resolveStages } from './presets.js';
import { compressedDocuments, type Output } from './render.js';
import { blockCount, blockUnits } from './unit.js';
import { validate } from '../settings/validate.js';
import { Workers } from './workers.js';
import { loadTokenCounter, type TokenCounter } from '../models/token-counter.js';

export interface PipelineOptions {
  /**
   * Which stages run. Default `balanced`: HtmlRAG, ZIP-FIT and EXIT by the encoder that comes with ragpress. `fast` selects
   * sentences by BM25: no model. `max` shares the budget out and drops words as well, where that is measured to lose less.
   */
  readonly preset?: string;
  /** Stages in place of a preset's: names, or stages of your own. */
  readonly stages?: readonly (string | Compressor)[];
  /** Ceiling for every request that names none. Without one each stage keeps what its threshold keeps. */
  readonly budget?: Budget;
  /** The model that reads the context, for its tokenizer. Without one tokens are estimated from above. */
  readonly model?: string;
  /** Milliseconds for a request, past which what has been reached goes out. Default 5,000; Infinity for none. */
  readonly deadline?: number;
  /** Default `markdown`. */
  readonly output?: Output;
  /** Whether results are remembered. Default true. */
  readonly cache?: boolean;
}

const optionsSchema = z.strictObject({
  preset: z.string().optional(),
  stages: z.array(z.unknown()).optional(),
  budget: z.unknown().optional(),
  model: z.string().min(1, 'give the name of a model, or none').optional(),
  deadline: z
    .union(
      [z.number().positive('give a number of milliseconds above 0'), z.literal(Infinity)],
      'give a number of milliseconds above 0',
    )
    .default(5_000),
  output: z.enum(['markdown', 'text', 'html'], 'give markdown, text or html').default('markdown'),
  cache: z.boolean().default(true),
});

/** How many blocks become units between two turns of the event loop. */
const BLOCKS_A_TURN = 1_000;

const RESULT_CACHE = { max: 500, maxSize: 32 * 1024 * 1024 };

/**
 * Makes a pipeline ready to run. Close it to let its worker threads go.
 * @throws ConfigurationError naming the field that cannot be used
 */
export async function createPipeline(options: PipelineOptions = {}): Promise<Pipeline> {
  const { settings, stages } = checkPipelineOptions(options);
  const counter = await loadTokenCounter(settings.model);
  await Promise.all(stages.map(async (stage) => stage.open?.()));
  return new Pipeline(stages, counter, {
    budget: options.budget,
    deadline: settings.deadline,
    output: settings.output,
    cache: settings.cache,
  });
}

/**
 * Checks options at once, for those who make the pipeline later.
 * @throws ConfigurationError naming the field that cannot be used
 */
export function checkPipelineOptions(options: PipelineOptions): {
  settings: z.output<typeof optionsSchema>;
  stages: Compressor[];
} {
  const settings = validate(optionsSchema, options);
  checkBudget(options.budget);
  if (options.stages && options.preset !== undefined) {
    throw new ConfigurationError('stages', options.stages.map(nameOf), 'give either a preset or stages');
  }
  const stages = options.stages
    ? resolveStages(options.stages)
    : presetStages(settings.preset ?? DEFAULT_PRESET);
  return { settings, stages };
}

interface Settings {
  readonly budget: Budget | undefined;
  readonly deadline: number;
  readonly output: Output;
  readonly cache: boolean;
}

/** Documents in, a context under a token budget out. A pipeline is a stage as well: it runs its own in order. */
export class Pipeline implements Compressor {
  readonly name = 'pipeline';
  readonly #stages: readonly Compressor[];
  /** What tokens are counted by. */
  readonly counter: TokenCounter;
  readonly #settings: Settings;
  readonly #workers = new Workers();
  readonly #pages = new PageCache(this.#workers);
  readonly #results = new LRUCache<string, CompressionResult>({
    ...RESULT_CACHE,
    sizeCalculation: ({ context, decisions, embeddings }) =>
      2 * context.length +
      200 * decisions.length +
      4 * (embeddings?.rows ?? []).reduce((size, { length }) => size + length, 0) +
      100,
  });

  /** Use `createPipeline`, which checks its options. */
  constructor(stages: readonly Compressor[], counter: TokenCounter, settings: Settings) {
    this.#stages = stages;
    this.counter = counter;
    this.#settings = settings;
  }

  get embeds(): boolean {
    return this.#stages.some(({ embeds }) => embeds === true);
  }

  /**
   * Compresses documents to what answers the query. A stage or document that fails is passed through with its reason.
   * @throws ConfigurationError for a request that has no query or documents; the signal's reason when aborted
   */
  compress(request: CompressionRequest): Promise<CompressionResult>;
  compress(state: State, context: StageContext): Promise<State>;
  async compress(
    input: CompressionRequest | State,
    context?: StageContext,
  ): Promise<CompressionResult | State> {
    if (context) {
      const reports: StageReport[] = [];
      return this.#runStages(input as State, context, reports);
    }
    return this.#compressRequest(input);
  }

  /** Lets the worker threads go. Requests under way fail open. */
  async close(): Promise<void> {
    this.#results.clear();
    await Promise.all([this.#workers.close(), ...this.#stages.map(async (stage) => stage.close?.())]);
  }

  async #compressRequest(request: CompressionRequest): Promise<CompressionResult> {
    checkRequest(request);
    request.signal?.throwIfAborted();
    const { documents, invalid } = readableDocuments(request.documents);
    const budget = request.budget ?? this.#settings.budget;
    const resultKey = this.#settings.cache
      ? requestKey(
          request.query,
          documents,
          documents.map((document) => this.#pages.keyOf(document)),
          invalid,
          budget,
        )
      : undefined;
    const known = resultKey === undefined ? undefined : this.#results.get(resultKey);
    if (known) return known;

    const limit = timeLimit(this.#settings.deadline, request.signal);
    try {
      const { result, isHurried } = await this.#run(request.query, documents, invalid, budget, limit);
      request.signal?.throwIfAborted();
      // What a deadline or a failure left undone is not the answer for the next time.
      const isWhole = !isHurried && result.stages.every((stage) => stage.error === undefined);
      if (resultKey !== undefined && isWhole) this.#results.set(resultKey, result);
      return result;
    } finally {
      limit.clear();
    }
  }

  async #run(
    query: string,
    documents: readonly SourceDocument[],
    invalid: readonly Decision[],
    budget: Budget | undefined,
    { signal, deadline }: TimeLimit,
  ): Promise<{ result: CompressionResult; isHurried: boolean }> {
    const counting: StageContext = { counter: this.counter, signal, deadline, breathe: breathing(signal) };
    const { state: read, before, report } = await this.#read(query, documents, invalid, counting);
    const tokensBefore = sum(before);
    const ceiling = budgetTokens(budget, tokensBefore);
    const context: StageContext = {
      ...counting,
      ...(ceiling !== undefined && { budget: ceiling }),
      tokens: unitTokens(read.units),
    };
    const reports: StageReport[] = [report];
    const state = await this.#runStages(read, context, reports);

    const started = performance.now();
    const fitting = fitBudget(state, ceiling, this.#settings.output, this.counter);
    reports.push({
      name: 'budget',
      tokensBefore: unitTokens(state.units),
      tokensAfter: fitting.rendering.tokens,
      milliseconds: performance.now() - started,
    });
    const result = {
      context: fitting.rendering.context,
      ...(fitting.rendering.embeddings && { embeddings: fitting.rendering.embeddings }),
      documents: compressedDocuments(state, fitting.rendering, before, this.counter),
      tokens: {
        before: tokensBefore,
        after: fitting.rendering.tokens,
        budget: ceiling,
        counter: this.counter.name,
      },
      decisions: [...state.decisions, ...fitting.decisions],
      stages: reports,
    };
    return { result, isHurried: state.isHurried === true };
  }

  /** Documents to pages to blocks. A document that cannot be read is one block, as it stands. */
  async #read(
    query: string,
    documents: readonly SourceDocument[],
    invalid: readonly Decision[],
    context: StageContext,
  ): Promise<{ state: State; before: number[]; report: StageReport }> {
    const started = performance.now();
    // Those that a worker reads are under way while the others are read here, one at a time.
    const readings: Promise<Reading>[] = [];
    const before: number[] = [];
    let error: string | undefined;
    for (const long of [true, false]) {
      for (const [index, document] of documents.entries()) {
        if (document.content.length > WORKER_LENGTH !== long) continue;
        readings[index] = this.#pages.read(document, context).catch((reason: unknown) => {
          if (stoppedByCaller(context.signal)) throw reason;
          error = messageOf(reason);
          return { page: undefined, reason: error };
        });
        if (!long) await readings[index];
        await context.breathe().catch(() => undefined);
      }
    }
    const units: Unit[] = [];
    const decisions = [...invalid];
    const pages = [];
    for (const [index, document] of documents.entries()) {
      const { page, reason } = (await readings[index])!;
      pages.push(page);
      before.push(await this.#pages.count(document, { ...context, breathe: unhurried(context) }));
      if (page) {
        for (let block = 0; block < blockCount(page); block += BLOCKS_A_TURN) {
          units.push(
            ...blockUnits(
              page,
              index,
              context.counter,
              block,
              Math.min(blockCount(page), block + BLOCKS_A_TURN),
            ),
          );
          await context.breathe().catch(() => undefined);
        }
        for (const omission of page.omissions) {
          decisions.push({
            document: document.id,
            action: 'dropped',
            stage: 'extract',
            spans: pairs(omission.spans),
            reason: omission.reason,
          });
        }
      } else if (document.content !== '') {
        const whole = { start: 0, end: document.content.length };
        units.push({
          document: index,
          block: 0,
          kind: 'block',
          layout: { type: 'paragraph' },
          text: document.content,
          spans: [{ ...whole, at: 0, length: whole.end }],
          tokens: before[index]!,
          terms: new Uint32Array(),
          needs: [],
        });
        decisions.push({
          document: document.id,
          action: 'kept',
          stage: 'extract',
          spans: [whole],
          reason: `passed through: ${reason}`,
        });
      }
    }
    const state: State = { query, documents, pages, units, decisions };
    const report = {
      name: 'extract',
      tokensBefore: sum(before),
      tokensAfter: unitTokens(units),
      milliseconds: performance.now() - started,
      ...(error !== undefined && { error }),
    };
    return { state, before, report };
  }

  async #runStages(state: State, context: StageContext, reports: StageReport[]): Promise<State> {
    for (const stage of this.#stages) {
      const started = performance.now();
      const tokensBefore = unitTokens(state.units);
      let error: string | undefined;
      if (state.query.trim() === '') {
        error = 'the query is empty: nothing to select by';
      } else {
        try {
          const next = await settledBefore(context.signal, () => stage.compress(state, context));
          checkState(next);
          state = next;
        } catch (reason) {
          if (stoppedByCaller(context.signal)) throw reason;
          error = messageOf(reason);
        }
      }
      reports.push({
        name: stage.name,
        tokensBefore,
        tokensAfter: unitTokens(state.units),
        milliseconds: performance.now() - started,
        ...(error !== undefined && { error }),
      });
    }
    return state;
  }
}

/** Runs `task` unless the signal is aborted, and rejects with the signal's reason as soon as it is. */
function settledBefore<Value>(signal: AbortSignal, task: () => Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) {
      abort();
      return;
    }
    signal.addEventListener('abort', abort, { once: true });
    Promise.resolve()
      .then(task)
      .then(resolve, reject)
      .finally(() => {
        signal.removeEventListener('abort', abort);
      });
  });
}

/** Ends the stages of a request, not the request: what has been reached goes out. */
class DeadlinePassed extends Error {
  constructor(milliseconds: number) {
    super(`deadline of ${milliseconds} ms passed`);
  }
}

function stoppedByCaller(signal: AbortSignal): boolean {
  return signal.aborted && !(signal.reason instanceof DeadlinePassed);
}

interface TimeLimit {
  readonly signal: AbortSignal;
  readonly deadline: number;
  clear(): void;
}

function timeLimit(milliseconds: number, signal: AbortSignal | undefined): TimeLimit {
  const controller = new AbortController();
  // Each long document that a worker reads listens to it.
  setMaxListeners(0, controller.signal);
  const abort = () => {
    controller.abort(signal!.reason);
  };
  signal?.addEventListener('abort', abort, { once: true });
  const timer = Number.isFinite(milliseconds)
    ? setTimeout(() => {
        controller.abort(new DeadlinePassed(milliseconds));
      }, milliseconds)
    : undefined;
  return {
    signal: controller.signal,
    deadline: performance.now() + milliseconds,
    clear: () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
    },
  };
}

/** Gives the event loop a turn where it has been held for longer than this. */
const TURN_MILLISECONDS = 5;

function breathing(signal: AbortSignal): () => Promise<void> {
  let last = performance.now();
  return async () => {
    signal.throwIfAborted();
    if (performance.now() - last < TURN_MILLISECONDS) return;
    await setImmediate();
    last = performance.now();
    signal.throwIfAborted();
  };
}

/** The same turns, past the deadline too: a count is needed whatever happens. */
function unhurried(context: StageContext): () => Promise<void> {
  return () => context.breathe().catch(() => setImmediate());
}

function checkRequest(request: CompressionRequest): void {
  if (typeof (request as unknown) !== 'object' || (request as unknown) === null) {
    throw new ConfigurationError('request', request, 'give { query, documents }');
  }
  if (typeof (request.query as unknown) !== 'string')
    throw new ConfigurationError('query', request.query, 'give a string');
  if (!Array.isArray(request.documents)) {
    throw new ConfigurationError('documents', request.documents, 'give an array of { id, content }');
  }
  for (const [index, document] of request.documents.entries()) {
    const format = (document as Partial<SourceDocument> | null | undefined)?.format;
    if (format !== undefined && !FORMATS.includes(format)) {
      throw new ConfigurationError(
        `documents[${index}].format`,
        format,
        `give one of ${FORMATS.join(', ')}, or none`,
      );
    }
  }
  checkBudget(request.budget);
}

/** Documents whose content is text; one without is recorded, and the others go on. */
function readableDocuments(given: readonly SourceDocument[]): {
  documents: SourceDocument[];
  invalid: Decision[];
} {
  const documents: SourceDocument[] = [];
  const invalid: Decision[] = [];
  for (const [index, document] of given.entries()) {
    const candidate = document as Partial<SourceDocument> | null | undefined;
    const id = typeof candidate?.id === 'string' ? candidate.id : String(index);
    if (typeof candidate?.content === 'string') {
      documents.push(candidate.id === id ? document : { ...document, id });
    } else {
      const content: unknown = candidate?.content;
      const kind = content === null ? 'null' : typeof content;
      invalid.push({
        document: id,
        action: 'dropped',
        stage: 'extract',
        spans: [],
        reason: `content is ${kind}, not a string`,
      });
    }
  }
  return { documents, invalid };
}

function requestKey(
  query: string,
  documents: readonly SourceDocument[],
  keys: readonly string[],
  invalid: readonly Decision[],
  budget: Budget | undefined,
): string {
  const described = documents.map(({ id, title, url, score }, index) => [id, title, url, score, keys[index]]);
  const given = JSON.stringify([query, described, invalid.map(({ document }) => document), budget]);
  return hash('sha256', given, 'base64');
}

function checkState(state: State): void {
  if (!Array.isArray((state as Partial<State> | undefined)?.units))
    throw new TypeError('the stage returned no units');
}

function messageOf(reason: unknown): string {
  return reason instanceof Error ? reason.message : String(reason);
}

function nameOf(stage: unknown): unknown {
  return typeof stage === 'string' ? stage : (stage as Partial<Compressor> | null)?.name;
}

function pairs(spans: Int32Array): { start: number; end: number }[] {
  return Array.from({ length: spans.length / 2 }, (_, index) => ({
    start: spans[2 * index]!,
    end: spans[2 * index + 1]!,
  }));
}

function unitTokens(units: readonly Unit[]): number {
  return units.reduce((tokens, unit) => tokens + unit.tokens, 0);
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

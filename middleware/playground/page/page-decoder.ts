import * as ort from 'onnxruntime-web/webgpu';
import { findAdapter, findGpu } from '../../../kernels/find-gpu.js';
import { chatLayout } from '../../../kvreuse/chat-layout.js';
import { ChunkEngine } from '../../../kvreuse/chunk-engine.js';
import { chatTemplateOf, type ChatTemplate } from '../../../models/decoder/chat-template.js';
import type { Engine } from '../../../models/decoder/engine.js';
import type { ChatMessage } from '../../../models/decoder/generation.js';
import { GpuEngine, type GpuModel } from '../../../models/decoder/gpu-engine.js';
import { pickRows } from '../../../models/decoder/pick-rows.js';
import { rowsOf } from '../../../models/decoder/quantise.js';
import { Sampler } from '../../../models/decoder/sampler.js';
import type { DecoderShape } from '../../../models/decoder/shape.js';
import { TextStream } from '../../../models/decoder/text-stream.js';
import { Tokenizer } from '../../../models/tokenizer.js';
import type { PageFile, PageModel } from '../page-model.js';
import { KeptChunks, type PieceReuse } from './kept-chunks.js';

export interface PageAnswer {
  readonly text: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly milliseconds: { readonly firstToken: number; readonly total: number };
  /** In the order of the prompt. */
  readonly pieces: readonly PieceReuse[];
}

export interface AnswerOptions {
  /** Reads the prompt from its first token to its last, and keeps nothing of it. Default false. */
  readonly whole?: boolean;
  /** Default 64. */
  readonly maxTokens?: number;
  readonly onText?: (text: string) => void;
}

/** Takes how many bytes of weights have come. */
export type OnProgress = (bytes: number) => void;

/** The server's decoder on the browser's own GPU: its weights come over HTTP once, and stay in the browser's cache. */
export class PageDecoder {
  readonly name: string;
  /** Of the GPU. */
  readonly gpu: string;
  readonly #engine: Engine;
  readonly #kept: KeptChunks;
  readonly #template: ChatTemplate;
  readonly #tokenizer: Tokenizer;
  readonly #ends: readonly number[];

  private constructor(
    engine: GpuEngine,
    { name, tokenizer: { json, config }, chatTemplate, ends }: PageModel,
  ) {
    this.name = name;
    this.gpu = engine.gpu.name;
    this.#engine = engine;
    this.#kept = new KeptChunks(new ChunkEngine(engine));
    this.#tokenizer = new Tokenizer(json, config);
    this.#template = chatTemplateOf({ path: name, chatTemplate, tokenizer: { config } }, this.#tokenizer);
    this.#ends = ends;
  }

  /**
   * @param from where `model.json` is
   * @throws KernelError where there is no GPU, or it is not enough; ModelError where the model has no chat template
   */
  static async load(from: URL, onProgress: OnProgress = () => undefined): Promise<PageDecoder> {
    const { info } = await findAdapter(await findGpu());
    const model = (await (await load(new URL('model.json', from).href)).json()) as PageModel;
    const files = await loadFiles(from, model, onProgress);
    const engine = await GpuEngine.open(ort, gpuModel(model, files), { info });
    return new PageDecoder(engine, model);
  }

  /** Forgets what it has read. */
  forget(): void {
    this.#kept.clear();
  }

  /**
   * Takes the likeliest token each time.
   * @throws KernelError where the GPU fails; RangeError where the prompt leaves no room for an answer
   */
  async answer(
    messages: readonly ChatMessage[],
    { whole = false, maxTokens = 64, onText = () => undefined }: AnswerOptions = {},
  ): Promise<PageAnswer> {
    const engine = this.#engine;
    const began = performance.now();
    const layout = chatLayout(this.#template, messages);
    const { contextLength } = engine.shape;
    if (layout.tokens >= contextLength)
      throw new RangeError(
        `the prompt has ${layout.tokens} tokens where ${this.name} reads at most ${contextLength}, its answer included`,
      );
    const steps = whole ? this.#kept.readWhole(layout) : this.#kept.read(layout);
    let step = await steps.next();
    while (!step.done) {
      await drawn();
      step = await steps.next();
    }
    const { slots, pieces } = step.value;
    let { hidden } = step.value;
    const sampler = new Sampler(LIKELIEST);
    const stream = new TextStream(this.#tokenizer, []);
    const most = Math.min(maxTokens, contextLength - layout.tokens);
    let said = 0;
    let firstToken = 0;
    try {
      while (said < most) {
        const token = sampler.next(await engine.logits(hidden));
        firstToken ||= performance.now() - began;
        if (token === undefined) throw new Error(`${this.name} gives no numbers for this prompt`);
        if (this.#ends.includes(token)) break;
        said++;
        onText(stream.push(token));
        if (said === most) break;
        const positions = [layout.tokens + said - 1];
        const next = await engine.step({ rows: engine.embed([token]), positions, past: slots });
        slots.append(next.kv, 1);
        ({ hidden } = next);
      }
    } finally {
      slots.release();
    }
    onText(stream.end());
    return {
      text: stream.text,
      promptTokens: layout.tokens,
      completionTokens: said,
      milliseconds: { firstToken, total: performance.now() - began },
      pieces,
    };
  }
}

const LIKELIEST = { temperature: 0, topP: 1, seed: 0, frequencyPenalty: 0, presencePenalty: 0 };

/** Weights by file. */
type Files = ReadonlyMap<PageFile, ArrayBuffer>;

function gpuModel({ shape: plain, ropeDivisors, parts }: PageModel, files: Files): GpuModel {
  const shape: DecoderShape = ropeDivisors
    ? { ...plain, rope: { ...plain.rope, divisors: Float32Array.from(ropeDivisors) } }
    : plain;
  return {
    shape,
    masses: true,
    embed: embedder(shape, files.get('embedding')!),
    head: () => new Uint8Array(files.get('head')!),
    parts: parts.map((range, i) => ({ ...range, graph: () => new Uint8Array(files.get(`part.${i}`)!) })),
  };
}

function embedder({ vocabulary, width }: DecoderShape, bytes: ArrayBuffer): GpuModel['embed'] {
  const numbers = vocabulary * width;
  if (bytes.byteLength === 4 * numbers) {
    const rows = new Float32Array(bytes);
    return (tokens) => pickRows(rows, width, tokens);
  }
  const levels = new Uint8Array(bytes, 0, numbers);
  const scales = new Float32Array(bytes, numbers);
  return (tokens) => rowsOf({ inputs: width, outputs: vocabulary, levels, scales }, tokens);
}

/** Files of a model, each asked of the server once a version. */
async function loadFiles(from: URL, { version, parts }: PageModel, onProgress: OnProgress): Promise<Files> {
  const cache = await caches.open('ragpress');
  const names: PageFile[] = ['embedding', 'head', ...parts.map((_, i): PageFile => `part.${i}`)];
  const urls = names.map((name) => new URL(`model/${name}?${version}`, from).href);
  for (const { url } of await cache.keys()) if (!urls.includes(url)) await cache.delete(url);
  const files = new Map<PageFile, ArrayBuffer>();
  let bytes = 0;
  for (const [i, name] of names.entries()) {
    const url = urls[i]!;
    let response = await cache.match(url);
    if (!response) {
      response = await load(url);
      await cache.put(url, response.clone()).catch(() => undefined); // Where there is no room it comes again.
    }
    const file = await response.arrayBuffer();
    onProgress((bytes += file.byteLength));
    files.set(name, file);
  }
  return files;
}

/** @throws Error for what is no success */
async function load(url: string): Promise<Response> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
  return response;
}

/** Lets the browser draw what has come so far. */
function drawn(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve);
  });
}

import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '../models/decoder/checkpoint.js';
import { chatTemplateOf } from '../models/decoder/chat-template.js';
import { Decoder } from '../models/decoder/decoder.js';
import { DecoderEngine, type Precision } from '../models/decoder/decoder-engine.js';
import type { KvSlots } from '../models/decoder/kv-slots.js';
import { ModelRegistry } from '../models/registry.js';
import { Tokenizer } from '../models/tokenizer.js';
import { chatLayout } from '../kvreuse/chat-layout.js';
import { cutOf } from '../kvreuse/chunk-reader.js';
import { checkReuse, GATE_FILE, type GateReport } from '../kvreuse/correctness-gate.js';
import { GATE_PROMPTS } from '../kvreuse/gate-prompts.js';
import { ChunkDecoder, type ChunkDecoderOptions } from '../kvreuse/chunk-decoder.js';
import { ChunkEngine, type PlacedKv, type Prefilled } from '../kvreuse/chunk-engine.js';
import { encodeRecord, memorySource, RecordReader } from '../kvreuse/chunk-record.js';
import { CODEC_NAMES, codecNamed } from '../kvreuse/codecs/codec-named.js';
import { divergence, logSoftmax } from '../kvreuse/divergence.js';
import { computeAlone, prefillBy, type KnownChunk } from '../kvreuse/prefill-by.js';
import { finish } from '../kvreuse/steps.js';
import type { PlacedPiece, PromptLayout } from '../kvreuse/prompt-layout.js';
import { cacheBlend } from '../kvreuse/selection/cache-blend.js';
import { cacheCraft } from '../kvreuse/selection/cache-craft.js';
import { full } from '../kvreuse/selection/full.js';
import { legoLink } from '../kvreuse/selection/lego-link.js';
import { none } from '../kvreuse/selection/none.js';
import type { SelectionPolicy } from '../kvreuse/selection/selection-policy.js';

import { kvQuestions, type KvQuestion, type KvSplit } from './kv-questions.js';
import { openLlama } from './open-llama.js';
import { holdsAnswer } from './reader.js';
import { sharedData } from '../test/shared-data.js';
import { median, printTable } from './table.js';

const THREADS = Math.min(2, availableParallelism());
/** As the local server does. */
const ANSWER_TOKENS = 24;

/** Everything that measuring takes, on one model. */
export interface KvLab {
  readonly decoder: DecoderEngine;
  readonly engine: ChunkEngine;
  readonly tokenizer: Tokenizer;
  readonly ends: readonly number[];
  readonly folder: string;
  questions(count: number, split?: KvSplit): KvQuestion[];
  gateLayouts(): PromptLayout[];
}

export interface PolicyFigures {
  readonly policy: string;
  /** Share of all tokens of the prompt that were computed anew, those between chunks and after them included. */
  readonly computed: number;
  /** Share of the chunks' tokens. */
  readonly recomputed: number;
  /** Times sooner than the same prompt read whole, to the first token. */
  readonly ttftVsFull: number;
  /** Nats, of the first token, mean. */
  readonly kl: number;
  readonly top1: number;
  /** Share of answers that hold the right one; undefined where none were generated. */
  readonly answers: number | undefined;
  readonly answersFull: number | undefined;
  readonly questions: number;
}

export async function openLab(folder: string | undefined, precision: Precision = 'int8'): Promise<KvLab> {
  const path = folder ?? (await new ModelRegistry().resolve('smollm2')).folder;
  const checkpoint = await openCheckpoint(path);
  const tokenizer = new Tokenizer(checkpoint.tokenizer.json, checkpoint.tokenizer.config);
  const template = chatTemplateOf(checkpoint, tokenizer);
  const { layers } = checkpoint.shape;
  const cuts = [cacheBlend(), cacheCraft({ focus: true })].flatMap((policy) => cutOf(policy, layers));
  const options = { threads: THREADS, precision, cuts, masses: true };
  const decoder = await DecoderEngine.open(checkpoint, options);
  await checkpoint.close();
  return {
    decoder,
    engine: new ChunkEngine(decoder),
    tokenizer,
    ends: checkpoint.ends,
    folder: path,
    questions: (count, split) => kvQuestions(template, count, split),
    gateLayouts: () => GATE_PROMPTS.map((messages) => chatLayout(template, messages)),
  };
}

/** Writes what the correctness gate finds beside the weights, so that it need not be run at every start. */
export async function recordGate(lab: KvLab, chosen: readonly SelectionPolicy[]): Promise<void> {
  const reports: Record<string, GateReport> = {};
  for (const policy of chosen)
    reports[policy.name] = await checkReuse(lab.folder, lab.decoder, lab.engine, policy, lab.gateLayouts());
  await writeFile(join(lab.folder, GATE_FILE), `${JSON.stringify(reports, null, 2)}\n`);
}

export const POLICY_SETS = ['all', 'headline', 'default'] as const;

/**
 * Policies by what is measured of them: `all` for one picture over the recomputed share, `default` for what a
 * `ChunkDecoder` does unless it is told, beside no repair.
 */
export function policies(which: (typeof POLICY_SETS)[number]): SelectionPolicy[] {
  if (which === 'default') return [none(), cacheCraft()];
  const headline = [
    none(),
    legoLink(16),
    cacheBlend(0.15),
    cacheCraft({ carry: 0 }),
    cacheCraft(),
    cacheCraft({ focus: true }),
  ];
  if (which === 'headline') return headline;
  return [
    none(),
    ...[4, 16, 32, 64].map((tokens) => legoLink(tokens)),
    ...[0.05, 0.15, 0.3, 0.5].map((share) => cacheBlend(share)),
    ...[0, 0.5].flatMap((carry) =>
      [0.1, 0.27, 0.5, 1].map((alpha) => cacheCraft({ alpha, whole: 1, carry })),
    ),
    ...[0.27, 0.5, 1].map((alpha) => cacheCraft({ alpha, whole: 1, focus: true })),
    full(),
  ];
}

/**
 * Six known chunks in a new order, by each policy, beside the same prompts read whole.
 * @param teacher what first tokens are compared with, reading whole: default the same model
 */
export async function measurePolicies(
  lab: KvLab,
  questions: readonly KvQuestion[],
  chosen: readonly SelectionPolicy[],
  withAnswers: (policy: SelectionPolicy) => boolean,
  teacher = lab,
): Promise<PolicyFigures[]> {
  const { engine } = lab;
  const sums = new Map(chosen.map((policy) => [policy, newSums()]));
  const isAnswered = chosen.some(withAnswers);
  for (const { layout, earlier, answers } of questions) {
    const start = performance.now();
    const whole = await finish(engine.prefill(layout, [], new Set()));
    const own = await engine.logits(whole.hidden);
    const fullMs = performance.now() - start;
    const expected = logSoftmax(teacher === lab ? own : await firstLogits(teacher.engine, layout));
    const told = isAnswered ? await answer(lab, whole, layout.tokens) : '';
    const alone = await finish(computeAlone(engine, layout));
    const prefix = alone.prefix!;
    const inContext = chosen.some(({ versions }) => versions === 'in-context')
      ? await inContextOf(engine, layout, earlier)
      : [];
    for (const policy of chosen) {
      const cached = policy.versions === 'in-context' ? inContext : alone.chunks;
      const began = performance.now();
      const prompt = await finish(prefillBy(engine, policy, layout, prefix, cached));
      const logits = logSoftmax(await engine.logits(prompt.hidden));
      const milliseconds = performance.now() - began;
      const of = sums.get(policy)!;
      const tokens = cached.reduce((sum, { kv }) => sum + kv.tokens, 0);
      of.kl += divergence(expected, logits);
      of.top1 += Number(best(expected) === best(logits));
      of.computed += prompt.computed / layout.tokens;
      of.recomputed += prompt.anew.size / tokens;
      of.full += fullMs;
      of.own += milliseconds;
      if (!withAnswers(policy)) continue;
      of.right += Number(holdsAnswer(await answer(lab, prompt, layout.tokens), answers));
      of.rightFull += Number(holdsAnswer(told, answers));
    }
  }
  const mean = (sum: number) => sum / questions.length;
  return chosen.map((policy) => {
    const of = sums.get(policy)!;
    const isTold = withAnswers(policy);
    return {
      policy: policy.name,
      computed: mean(of.computed),
      recomputed: mean(of.recomputed),
      ttftVsFull: of.full / of.own,
      kl: mean(of.kl),
      top1: mean(of.top1),
      answers: isTold ? mean(of.right) : undefined,
      answersFull: isTold ? mean(of.rightFull) : undefined,
      questions: questions.length,
    };
  });
}

export interface CodecFigures {
  readonly name: string;
  /** Times smaller than float32, the record's header included. */
  readonly ratio: number;
  /** What the first token's KL to the whole prompt grows by, mean. */
  readonly klAdded: number;
}

export interface SameOrderFigures {
  /** What the decoder computes with. */
  readonly precision: Precision;
  readonly policy: string;
  readonly codec: string;
  /** Share of the chunks' tokens that was computed anew. */
  readonly recomputed: number;
  /** Of the first token's logits from those of the prompt read whole: the largest, of all questions. */
  readonly logits: number;
}

/** Chunks as the same prompt left them, in the same order: nothing has changed but that they were stored. */
export async function measureSameOrder(folder: string, count: number): Promise<SameOrderFigures[]> {
  const figures: SameOrderFigures[] = [];
  for (const precision of ['float32', 'int8'] as const) {
    const lab = await openLab(folder, precision);
    const { engine } = lab;
    const questions = lab.questions(count);
    const cases = ['float32', 'int8'].flatMap((codec) =>
      [cacheCraft(), full()].map((policy) => ({ codec, policy, anew: 0, tokens: 0, logits: 0 })),
    );
    for (const { layout } of questions) {
      const { chunks } = layout;
      const pieces = layout.pieces.filter(({ kind }) => kind !== 'link');
      const whole = await finish(engine.prefillWithStatistics(layout, [], new Set(), pieces));
      const expected = await engine.logits(whole.hidden);
      whole.slots.release();
      const ids = chunks.map(idOf);
      for (const of of cases) {
        const placed: PlacedKv[] = [];
        for (const { piece, kv } of whole.made) placed.push({ piece, kv: await stored(piece, kv, of.codec) });
        const known = chunks.map((piece, i) => ({
          ...placed.find((each) => each.piece === piece)!,
          before: ids.slice(0, i),
          madeBehind: ids.slice(0, i),
          statistics: whole.made.find((each) => each.piece === piece)!.statistics,
        }));
        const prefix = placed.find(({ piece }) => piece.kind === 'prefix');
        const prompt = await finish(prefillBy(engine, of.policy, layout, prefix, known));
        const logits = await engine.logits(prompt.hidden);
        prompt.slots.release();
        of.anew += prompt.anew.size;
        of.tokens += chunks.reduce((sum, { tokens }) => sum + tokens.length, 0);
        of.logits = logits.reduce(
          (most, logit, i) => Math.max(most, Math.abs(logit - expected[i]!)),
          of.logits,
        );
      }
    }
    await lab.decoder.close();
    for (const { codec, policy, anew, tokens, logits } of cases)
      figures.push({ precision, policy: policy.name, codec, recomputed: anew / tokens, logits });
  }
  return figures;
}

/** As it comes back from a record. */
async function stored(piece: PlacedPiece, kv: PlacedKv['kv'], codec: string): Promise<PlacedKv['kv']> {
  return (await RecordReader.open(memorySource(recordOf(piece, kv, codec)))).readAll();
}

function recordOf({ tokens }: PlacedPiece, kv: PlacedKv['kv'], codec: string): Uint8Array {
  const meta = { chunkId: '', versionId: '', fingerprints: {}, tokenIds: tokens, statistics: {} };
  return encodeRecord(meta, kv, codecNamed(codec));
}

/** Each codec under the policy that repairs nothing. */
export async function measureCodecs(lab: KvLab, questions: readonly KvQuestion[]): Promise<CodecFigures[]> {
  const { engine } = lab;
  const sums = new Map(CODEC_NAMES.map((name) => [name, { bytes: 0, plain: 0, kl: 0 }]));
  let exact = 0;
  for (const { layout } of questions) {
    const whole = await finish(engine.prefill(layout, [], new Set()));
    const expected = logSoftmax(await engine.logits(whole.hidden));
    const { prefix, chunks } = await finish(computeAlone(engine, layout));
    const klOf = async (placed: readonly PlacedKv[]) => {
      const { hidden } = await finish(engine.prefill(layout, placed, new Set()));
      return divergence(expected, logSoftmax(await engine.logits(hidden)));
    };
    exact += await klOf([prefix!, ...chunks]);
    for (const [name, of] of sums) {
      const placed: PlacedKv[] = [];
      for (const { piece, kv } of [prefix!, ...chunks]) {
        const record = recordOf(piece, kv, name);
        of.bytes += record.length;
        of.plain += kv.keys.byteLength + kv.values.byteLength;
        placed.push({ piece, kv: await (await RecordReader.open(memorySource(record))).readAll() });
      }
      of.kl += await klOf(placed);
    }
  }
  return [...sums].map(([name, { bytes, plain, kl }]) => ({
    name,
    ratio: plain / bytes,
    klAdded: (kl - exact) / questions.length,
  }));
}

/** Of one prompt after another, through what applications call. */
interface FirstTokens {
  readonly reuse: number;
  readonly full: number;
  readonly llama: number | undefined;
}

/** A prompt, and one with the same chunks in another order that is read before it. */
export type MovedPrompt = Pick<KvQuestion, 'messages' | 'earlierMessages'> &
  Partial<Pick<KvQuestion, 'layout'>>;

/**
 * Milliseconds to the first token of prompts whose chunks were read before in another order; medians.
 * @param llama reads prompts that have a layout
 * @throws Error where the decoder is not on the device that is asked for
 */
export async function measureFirstTokens(
  { device = 'cpu', reuse, ...options }: ChunkDecoderOptions,
  prompts: readonly MovedPrompt[],
  llama?: Awaited<ReturnType<typeof openLlama>>,
): Promise<FirstTokens> {
  const plain = await Decoder.load({ ...options, threads: THREADS, device });
  const keeping = await ChunkDecoder.load({ ...options, ...(reuse && { reuse }), threads: THREADS, device });
  for (const { device: found } of [plain, keeping])
    if (found.name !== device) throw new Error(`it computes on the ${found.name}: ${found.reason}`);
  const times: { reuse: number[]; full: number[]; llama: number[] } = { reuse: [], full: [], llama: [] };
  for (const { layout, messages, earlierMessages } of prompts) {
    await keeping.generate({ messages: earlierMessages }, { maxTokens: 1 }).result;
    const known = await keeping.generate({ messages }, { maxTokens: 1 }).result;
    const whole = await plain.generate({ messages }, { maxTokens: 1 }).result;
    times.reuse.push(known.milliseconds.firstToken);
    times.full.push(whole.milliseconds.firstToken);
    if (llama && layout) times.llama.push((await llama.measure(layout.ids)).prefill);
  }
  await plain.close();
  await keeping.close();
  return {
    reuse: median(times.reuse),
    full: median(times.full),
    llama: times.llama.length > 0 ? median(times.llama) : undefined,
  };
}

/** Policies whose answers are measured too; the first is the ChunkDecoder's own. */
const ANSWERED = [cacheCraft(), cacheBlend(0.15)].map(({ name }) => name);
const QUESTIONS = { answers: 200, codecs: 24, times: 16, sameOrder: 4 };

/** Six known chunks in a new order: quality by policy, times, codecs, memory. */
export async function benchKvreuse(): Promise<unknown> {
  if (sharedData === undefined) {
    console.log('kvreuse: shared/data is not here; nothing is measured');
    return undefined;
  }
  const { folder } = await new ModelRegistry().resolve('smollm2');
  const lab = await openLab(folder);
  const questions = lab.questions(QUESTIONS.answers);
  const reuse = await measurePolicies(lab, questions, policies('headline'), ({ name }) =>
    ANSWERED.includes(name),
  );
  printPolicies(reuse); // Each table when it is there: all of them take an hour and more.
  const codecs = await measureCodecs(lab, questions.slice(0, QUESTIONS.codecs));
  await lab.decoder.close();
  printTable(
    `how chunks are stored, ${QUESTIONS.codecs} questions, nothing repaired`,
    ['codec', 'times smaller than float32', 'KL added'],
    codecs.map(({ name, ratio, klAdded }) => [name, ratio.toFixed(2), klAdded.toFixed(4)]),
  );
  const sameOrder = await measureSameOrder(folder, QUESTIONS.sameOrder);
  printSameOrder(sameOrder, QUESTIONS.sameOrder);
  const llama = await openLlama(folder, THREADS, 1);
  const times = await measureFirstTokens({}, questions.slice(-QUESTIONS.times), llama);
  llama?.close();
  const ttftVsLlama = times.llama === undefined ? undefined : times.llama / times.reuse;
  printTable(
    `first token of six known chunks in a new order, ChunkDecoder as it comes, medians of ${QUESTIONS.times}, ${THREADS} threads each`,
    ['', 'ms', 'times as long'],
    [
      ['from caches', times.reuse.toFixed(0), '1'],
      ['read whole', times.full.toFixed(0), (times.full / times.reuse).toFixed(2)],
      ['read whole by llama.cpp, Q4_1', times.llama?.toFixed(0) ?? '-', ttftVsLlama?.toFixed(2) ?? '-'],
    ],
  );
  const memory = await measureMemory();
  printTable(
    'memory of a process with the decoder and a store of 256 MB',
    ['requests', 'RSS, MB'],
    memory.map(({ requests, rssMb }) => [String(requests), rssMb.toFixed(0)]),
  );
  return {
    reuse: reuse.map((figures) => ({
      ...figures,
      // What is called through the package is measured by itself.
      ...(figures.policy === ANSWERED[0] && { ttftVsFull: times.full / times.reuse, ttftVsLlama }),
    })),
    codecs,
    sameOrder,
    memory: { rssMb: Math.max(...memory.map(({ rssMb }) => rssMb)), overRequests: memory },
    cpu: cpus()[0]?.model ?? 'unknown',
  };
}

export function printSameOrder(figures: readonly SameOrderFigures[], questions: number): void {
  printTable(
    `the same prompt again, ${questions} questions: the largest difference of the first token's logits from those read whole`,
    ['computed in', 'stored as', 'policy', 'recomputed', 'logits'],
    figures.map(({ precision, codec, policy, recomputed, logits }) => [
      precision,
      codec,
      policy,
      `${(100 * recomputed).toFixed(1)}%`,
      logits.toExponential(1),
    ]),
  );
}

export function printPolicies(figures: readonly PolicyFigures[], split: KvSplit = 'dev'): void {
  printTable(
    `six chunks of 100 to 400 tokens in a new order, ${figures[0]?.questions ?? 0} ${split} questions, beside the same prompts read whole`,
    ['policy', 'recomputed', 'computed', 'first token', 'KL', 'top-1', 'answers', 'answers read whole'],
    figures.map(({ policy, recomputed, computed, ttftVsFull, kl, top1, answers, answersFull }) => [
      policy,
      `${(100 * recomputed).toFixed(1)}%`,
      `${(100 * computed).toFixed(1)}%`,
      `${ttftVsFull.toFixed(2)} x`,
      kl.toFixed(4),
      top1.toFixed(3),
      answers?.toFixed(3) ?? '-',
      answersFull?.toFixed(3) ?? '-',
    ]),
  );
}

interface Memory {
  readonly requests: number;
  readonly rssMb: number;
}

async function measureMemory(): Promise<Memory[]> {
  const child = spawn(process.execPath, [fileURLToPath(new URL('kv-memory.js', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const memory: Memory[] = [];
  for await (const line of createInterface({ input: child.stdout })) memory.push(JSON.parse(line) as Memory);
  return memory;
}

/** As an earlier prompt left them. */
async function inContextOf(
  engine: ChunkEngine,
  layout: PromptLayout,
  earlier: PromptLayout,
): Promise<KnownChunk[]> {
  const { made: chunks } = await finish(engine.prefillWithStatistics(earlier, [], new Set(), earlier.chunks));
  return layout.chunks.map((piece, i) => {
    const at = chunks.findIndex((chunk) => idOf(chunk.piece) === idOf(piece));
    const { kv, statistics } = chunks[at]!;
    const madeBehind = chunks.slice(0, at).map((chunk) => idOf(chunk.piece));
    return { piece, kv, before: layout.chunks.slice(0, i).map(idOf), madeBehind, statistics };
  });
}

function idOf({ tokens }: PlacedPiece): string {
  return tokens.join();
}

async function firstLogits(engine: ChunkEngine, layout: PromptLayout): Promise<Float32Array> {
  return engine.logits((await finish(engine.prefill(layout, [], new Set()))).hidden);
}

/** What is said after a prompt, the likeliest token each time. */
async function answer(lab: KvLab, { slots, hidden }: Prefilled, tokens: number): Promise<string> {
  const { decoder, tokenizer, ends } = lab;
  const said: number[] = [];
  let row = hidden;
  // The prompt's own slots are left as they are: nothing reads them again.
  const past = slots as KvSlots;
  while (said.length < ANSWER_TOKENS) {
    const token = best(await decoder.logits(row));
    if (ends.includes(token)) break;
    said.push(token);
    const { hidden: next, kv } = await decoder.step({
      rows: decoder.embed([token]),
      positions: [tokens + said.length - 1],
      past,
    });
    past.append(kv, 1);
    row = next;
  }
  return tokenizer.decode(said);
}

function newSums() {
  return { computed: 0, recomputed: 0, full: 0, own: 0, kl: 0, top1: 0, right: 0, rightFull: 0 };
}

function best(numbers: Float32Array | Float64Array): number {
  let at = 0;
  for (let i = 1; i < numbers.length; i++) if (numbers[i]! > numbers[at]!) at = i;
  return at;
}

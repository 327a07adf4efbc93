import { spawn } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { openCheckpoint } from '../models/decoder/checkpoint.js';
import { chatTemplateOf } from '../models/decoder/chat-template.js';
import { DecoderEngine } from '../models/decoder/decoder-engine.js';
import { Decoder } from '../models/decoder/decoder.js';
import { KvSlots } from '../models/decoder/kv-slots.js';
import { readerMessages } from '../models/decoder/reader-prompt.js';
import { ModelRegistry } from '../models/registry.js';
import { Tokenizer } from '../models/tokenizer.js';
import { sharedData } from '../test/shared-data.js';
import { divergence as divergenceOf, logSoftmax } from '../kvreuse/divergence.js';
import { openLlama, type LlamaSpeed } from './open-llama.js';
import { goldContext, readerQuestions } from './reader.js';
import { median, printTable } from './table.js';

const THREADS = Math.min(2, availableParallelism());
const PROMPT_TOKENS = 700;
const GENERATED = 32;
const NEXT_TURN = 40;
const ROUNDS = 5;
const COLD_STARTS = 3;
const KL_PROMPTS = 50;

/**
 * The embedded decoder beside llama.cpp on the same weights, rounded to its Q4_1; what 8 bits cost; how long it takes to
 * start. The peer is installed under `out/` for this bench alone.
 */
export async function benchDecoder(): Promise<unknown> {
  const { folder } = await new ModelRegistry().resolve('smollm2');
  // No two rounds begin alike: what is known is not read again.
  const promptOf = (round: number, length = PROMPT_TOKENS) =>
    Array.from({ length }, (_, i) => 1000 + (((i + 100 * (round + 1)) * 37) % 20_000));
  const ours: LlamaSpeed[] = [];
  const theirs: LlamaSpeed[] = [];
  const nextTurns: number[] = [];
  const decoder = await Decoder.load({ threads: THREADS });
  const peer = await openLlama(folder, THREADS, GENERATED);
  for (let round = -1; round < ROUNDS; round++) {
    const tokens = promptOf(round);
    const { milliseconds, completionTokens } = await decoder.generate(
      { tokens },
      { maxTokens: GENERATED + 1, stop: [], frequencyPenalty: 0.1 },
    ).result;
    const speed = {
      prefill: milliseconds.firstToken,
      decode: (milliseconds.total - milliseconds.firstToken) / (completionTokens - 1),
    };
    const turn = await decoder.generate(
      { tokens: promptOf(round, PROMPT_TOKENS + NEXT_TURN) },
      { maxTokens: 1 },
    ).result;
    const other = await peer?.measure(tokens);
    if (round < 0) continue; // buffers are made
    ours.push(speed);
    nextTurns.push(speed.prefill / turn.milliseconds.firstToken);
    if (other) theirs.push(other);
  }
  await decoder.close();
  peer?.close();

  const coldStarts: number[] = [];
  const rss: number[] = [];
  for (let i = 0; i < COLD_STARTS; i++) {
    const start = await coldStart();
    coldStarts.push(start.seconds);
    rss.push(start.rss / 1e6);
  }
  const kl = await divergence(folder);
  const of = (speeds: readonly LlamaSpeed[], what: keyof LlamaSpeed) =>
    speeds.length === 0 ? undefined : median(speeds.map((speed) => speed[what]));
  const ratio = (what: keyof LlamaSpeed) =>
    theirs.length === 0 ? undefined : round(of(theirs, what)! / of(ours, what)!, 2);
  const figures = {
    prefillVsLlama: ratio('prefill'),
    decodeVsLlama: ratio('decode'),
    nextTurnVsPrefill: round(median(nextTurns), 1),
    klVsFloat32: kl === undefined ? undefined : round(kl.mean, 4),
    coldStartSeconds: round(median(coldStarts), 2),
    rssMb: Math.round(Math.max(...rss)),
    cpu: cpus()[0]?.model ?? 'unknown',
    prefillMs: { ours: of(ours, 'prefill'), llama: of(theirs, 'prefill') },
    decodeMs: { ours: of(ours, 'decode'), llama: of(theirs, 'decode') },
  };
  const shown = (value: number | undefined, digits: number) => value?.toFixed(digits) ?? '-';
  printTable(
    `smollm2, ${PROMPT_TOKENS} tokens of prompt, ${THREADS} threads each, medians of ${ROUNDS} rounds by turns`,
    ['', 'ragpress', 'llama.cpp, Q4_1', 'ratio'],
    [
      [
        'prefill, ms',
        shown(figures.prefillMs.ours, 0),
        shown(figures.prefillMs.llama, 0),
        shown(figures.prefillVsLlama, 2),
      ],
      [
        'decode, ms a token',
        shown(figures.decodeMs.ours, 1),
        shown(figures.decodeMs.llama, 1),
        shown(figures.decodeVsLlama, 2),
      ],
      [
        `first token of a next turn of ${NEXT_TURN} tokens: prefill is so many times that`,
        shown(figures.nextTurnVsPrefill, 1),
        '-',
        '-',
      ],
      ['process start to first token, s', shown(figures.coldStartSeconds, 2), '-', '-'],
      ['RSS after a long prompt, MB', String(figures.rssMb), '-', '-'],
      [`KL of 8 bits to float32, ${kl?.prompts ?? 0} dev prompts`, shown(figures.klVsFloat32, 4), '-', '-'],
    ],
  );
  return figures;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

async function coldStart(): Promise<{ seconds: number; rss: number }> {
  const began = performance.now();
  const child = spawn(process.execPath, [fileURLToPath(new URL('decoder-cold-start.js', import.meta.url))], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let seconds = NaN;
  for await (const line of createInterface({ input: child.stdout })) {
    const { rss } = JSON.parse(line) as { rss?: number };
    if (rss === undefined) seconds = (performance.now() - began) / 1000;
    else return { seconds, rss };
  }
  throw new Error('the decoder did not start');
}

/** KL of the first token of an answer, from float32 to 8 bits. */
async function divergence(folder: string): Promise<{ mean: number; prompts: number } | undefined> {
  if (sharedData === undefined) {
    console.log('decoder: shared/data is not here; the divergence is not measured');
    return undefined;
  }
  const checkpoint = await openCheckpoint(folder);
  const tokenizer = new Tokenizer(checkpoint.tokenizer.json, checkpoint.tokenizer.config);
  const template = chatTemplateOf(checkpoint, tokenizer);
  const rows = [...readerQuestions('nq', KL_PROMPTS / 2), ...readerQuestions('hotpot', KL_PROMPTS / 2)];
  const prompts = rows.map((row) => template.encode(readerMessages(row.question, goldContext(row))));
  const logs: Float64Array[][] = [];
  for (const precision of ['float32', 'int8'] as const) {
    const engine = await DecoderEngine.open(checkpoint, { threads: THREADS, precision });
    const of: Float64Array[] = [];
    for (const tokens of prompts) {
      const past = new KvSlots(engine.shape);
      const positions = tokens.map((_, i) => i);
      const { hidden } = await engine.step({ rows: engine.embed(tokens), positions, past });
      of.push(logSoftmax(await engine.logits(hidden.slice(-engine.shape.width))));
    }
    logs.push(of);
    await engine.close();
  }
  await checkpoint.close();
  const kls = logs[0]!.map((exact, i) => divergenceOf(exact, logs[1]![i]!));
  return { mean: kls.reduce((sum, kl) => sum + kl, 0) / kls.length, prompts: kls.length };
}

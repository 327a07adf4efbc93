import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { gguf, serializeGgufMetadata, type GGUFTypedMetadata } from '@huggingface/gguf';
import { openCheckpoint } from '../models/decoder/checkpoint.js';
import { ChatTemplate } from '../models/decoder/chat-template.js';
import { DecoderEngine } from '../models/decoder/decoder-engine.js';
import { Decoder } from '../models/decoder/decoder.js';
import { GGML_TYPES } from '../models/decoder/ggml-types.js';
import { KvSlots } from '../models/decoder/kv-slots.js';
import { readerMessages } from '../models/decoder/reader-prompt.js';
import { ModelRegistry } from '../models/registry.js';
import { Tokenizer } from '../models/tokenizer.js';
import { sharedData } from '../test/shared-data.js';
import { goldContext, readerQuestions } from './reader.js';
import { median, printTable } from './table.js';

const PEER = 'node-llama-cpp@3.22.0';
const THREADS = Math.min(2, availableParallelism());
const PROMPT_TOKENS = 700;
const GENERATED = 32;
const ROUNDS = 5;
const COLD_STARTS = 3;
const KL_PROMPTS = 50;

interface Speed {
  /** Milliseconds until the first token of a prompt of PROMPT_TOKENS. */
  readonly prefill: number;
  /** Milliseconds a token. */
  readonly decode: number;
}

/**
 * The embedded decoder beside llama.cpp on the same weights, rounded to its Q4_1; what 8 bits cost; how long it takes to
 * start. The peer is installed under `out/` for this bench alone.
 */
export async function benchDecoder(): Promise<unknown> {
  const { folder } = await new ModelRegistry().resolve('smollm2');
  const tokens = Array.from({ length: PROMPT_TOKENS }, (_, i) => 1000 + ((i * 37) % 20_000));
  const ours: Speed[] = [];
  const theirs: Speed[] = [];
  const decoder = await Decoder.load({ threads: THREADS });
  const peer = await openPeer(folder);
  for (let round = -1; round < ROUNDS; round++) {
    const { milliseconds, completionTokens } = await decoder.generate(
      { tokens },
      { maxTokens: GENERATED + 1, stop: [], frequencyPenalty: 0.1 },
    ).result;
    const speed = {
      prefill: milliseconds.firstToken,
      decode: (milliseconds.total - milliseconds.firstToken) / (completionTokens - 1),
    };
    const other = await peer?.measure(tokens);
    if (round < 0) continue; // buffers are made
    ours.push(speed);
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
  const of = (speeds: readonly Speed[], what: keyof Speed) =>
    speeds.length === 0 ? undefined : median(speeds.map((speed) => speed[what]));
  const ratio = (what: keyof Speed) =>
    theirs.length === 0 ? undefined : round(of(theirs, what)! / of(ours, what)!, 2);
  const figures = {
    prefillVsLlama: ratio('prefill'),
    decodeVsLlama: ratio('decode'),
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
  const tokenizer = Tokenizer.of(checkpoint.tokenizer.json, checkpoint.tokenizer.config);
  const template = new ChatTemplate(folder, checkpoint.chatTemplate, tokenizer, {});
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
  const kls = logs[0]!.map((exact, i) =>
    exact.reduce((sum, log, token) => sum + Math.exp(log) * (log - logs[1]![i]![token]!), 0),
  );
  return { mean: kls.reduce((sum, kl) => sum + kl, 0) / kls.length, prompts: kls.length };
}

function logSoftmax(logits: Float32Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return Float64Array.from(logits, (logit) => logit - largest - Math.log(sum));
}

interface Peer {
  measure(tokens: readonly number[]): Promise<Speed>;
  close(): void;
}

/** llama.cpp with the model at Q4_1; undefined where it cannot be installed or started. */
async function openPeer(folder: string): Promise<Peer | undefined> {
  const peers = fileURLToPath(new URL('../out/peers', import.meta.url));
  try {
    mkdirSync(peers, { recursive: true });
    if (!existsSync(join(peers, 'node_modules', 'node-llama-cpp'))) {
      console.log(`decoder: installing ${PEER} in out/peers, once`);
      writeFileSync(join(peers, 'package.json'), '{ "private": true }\n');
      execFileSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', PEER], {
        cwd: peers,
        stdio: 'ignore',
      });
    }
    const model = join(peers, 'smollm2-q4_1.gguf');
    await writeQ4(folder, model);
    const script = fileURLToPath(new URL('peer-llama.ts', import.meta.url));
    const child: ChildProcess = spawn(
      process.execPath,
      ['--import', 'tsx', script, peers, model, String(THREADS)],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    return {
      async measure(tokens) {
        child.stdin!.write(`${JSON.stringify({ tokens, generate: GENERATED })}\n`);
        const line = await lines.next();
        if (line.done === true) throw new Error('llama.cpp ended');
        return JSON.parse(line.value) as Speed;
      },
      close() {
        child.kill();
      },
    };
  } catch (error) {
    console.log(`decoder: no llama.cpp to compare with: ${(error as Error).message}`);
    return undefined;
  }
}

const Q4_1 = 3;

/** The model in one file, its matrices rounded to Q4_1 as llama.cpp rounds them. */
async function writeQ4(folder: string, target: string): Promise<void> {
  const parts = readdirSync(folder)
    .filter((name) => name.endsWith('.gguf'))
    .sort()
    .map((name) => join(folder, name));
  const headers = await Promise.all(
    parts.map((path) => gguf(path, { allowLocalFile: true, typedMetadata: true })),
  );
  const metadata = Object.fromEntries(
    Object.entries(headers[0]!.typedMetadata).filter(([key]) => !key.startsWith('split.')),
  ) as GGUFTypedMetadata;
  const tensors = headers.flatMap(({ tensorInfos, tensorDataOffset }, part) =>
    tensorInfos.map((info) => ({ ...info, from: Number(tensorDataOffset) + Number(info.offset), part })),
  );
  metadata.tensor_count.value = BigInt(tensors.length);
  const file = openSync(target, 'w');
  const data = tensors.map(({ name, shape, dtype, from, part }) => {
    const { numbers, bytes, read } = GGML_TYPES[dtype]!;
    const count = shape.map(Number).reduce((product, size) => product * size, 1);
    const raw = Buffer.alloc((count / numbers) * bytes);
    const source = openSync(parts[part]!, 'r');
    readSync(source, raw, 0, raw.length, from);
    closeSync(source);
    if (shape.length < 2 || name === 'token_embd.weight' || (dtype as number) === Q4_1)
      return { name, shape, type: dtype, raw };
    const values = new Float32Array(count);
    for (let at = 0, to = 0; to < count; at += bytes, to += numbers) read(raw, at, values, to);
    return { name, shape, type: Q4_1, raw: inQ4(values) };
  });
  // The alignment of a GGUF is 32 where it does not say otherwise (ggml/docs/gguf.md).
  const padded = (length: number) => Math.ceil(length / 32) * 32;
  const head = Buffer.from(serializeGgufMetadata(metadata, { alignment: 1 }));
  const infos: Buffer[] = [];
  let offset = 0;
  for (const { name, shape, type, raw } of data) {
    const info = Buffer.alloc(8 + name.length + 4 + 8 * shape.length + 4 + 8);
    let at = info.writeBigUInt64LE(BigInt(name.length), 0);
    at += info.write(name, at);
    at = info.writeUInt32LE(shape.length, at);
    for (const size of shape) at = info.writeBigUInt64LE(size, at);
    at = info.writeUInt32LE(type, at);
    info.writeBigUInt64LE(BigInt(offset), at);
    infos.push(info);
    offset += padded(raw.length);
  }
  const header = Buffer.concat([head, ...infos]);
  writeSync(file, header);
  writeSync(file, Buffer.alloc(padded(header.length) - header.length));
  for (const { raw } of data) {
    writeSync(file, raw);
    writeSync(file, Buffer.alloc(padded(raw.length) - raw.length));
  }
  closeSync(file);
}

function inQ4(values: Float32Array): Buffer {
  const raw = Buffer.alloc((values.length / 32) * 20);
  for (let block = 0; block < values.length / 32; block++) {
    const part = values.subarray(block * 32, block * 32 + 32);
    const low = Math.min(...part);
    const step = (Math.max(...part) - low) / 15;
    raw.writeUInt16LE(toHalf(step), block * 20);
    raw.writeUInt16LE(toHalf(low), block * 20 + 2);
    const level = (i: number) => (step === 0 ? 0 : Math.min(15, Math.round((part[i]! - low) / step)));
    for (let i = 0; i < 16; i++) raw[block * 20 + 4 + i] = level(i) | (level(i + 16) << 4);
  }
  return raw;
}

/** Half precision, rounded towards zero; numbers below its smallest normal one become 0. */
function toHalf(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0]!;
  const exponent = ((bits >>> 23) & 255) - 112;
  if (exponent <= 0) return 0;
  return ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 1023);
}

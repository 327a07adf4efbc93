import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { ChunkKv } from '../kvreuse/chunk-kv.js';
import { CODEC_NAMES, codecNamed } from '../kvreuse/codecs/codec-named.js';
import type { KvCodec, LayerKv } from '../kvreuse/codecs/kv-codec.js';
import { openCheckpoint } from '../models/decoder/checkpoint.js';
import { DecoderEngine } from '../models/decoder/decoder-engine.js';
import { KvSlots, type RowsKv } from '../models/decoder/kv-slots.js';
import { ModelRegistry } from '../models/registry.js';
import { Tokenizer } from '../models/tokenizer.js';
import { sharedData } from '../test/shared-data.js';
import { printTable } from './table.js';

const CHUNKS = 6;
const SIZES = [100, 400];
/** Tokens of text behind a chunk, of which every second is asked what comes next. */
const NEXT = 32;
const ROUNDS = 7;
const PROMPT = '<|im_start|>system\nAnswer the question from the documents.<|im_end|>\n<|im_start|>user\n';

/** A chunk as the decoder has it behind a prompt, and text that goes on from it. */
interface Sample {
  /** Rows of the prompt, and how many. */
  readonly prompt: readonly RowsKv[];
  readonly before: number;
  readonly chunk: ChunkKv;
  /** [layers, tokens]: attention that each token gets from those of the chunk that see it, a mean (ZipCache). */
  readonly salience: Float32Array;
  readonly next: readonly number[];
}

interface Figures {
  /** Relative root mean squares. Rotation changes no length, so that of keys is the same before and after it. */
  keys: number;
  values: number;
  /** From float32, of the token that comes next. */
  kl: number;
  ratio: number;
  /** Seconds of each round; the least is what it takes where nothing else runs. */
  encode: number[];
  decode: number[];
}

/**
 * The codecs on keys and values of the embedded decoder, in float32: the 8 bits of its products would hide what those of
 * a cache cost.
 */
export async function benchKvCodecs(): Promise<unknown> {
  if (sharedData === undefined) {
    console.log('kv-codecs: shared/data is not here; there is no text to measure with');
    return undefined;
  }
  const { folder } = await new ModelRegistry().resolve('smollm2');
  const checkpoint = await openCheckpoint(folder);
  const threads = Math.min(2, availableParallelism());
  const engine = await DecoderEngine.open(checkpoint, { threads, precision: 'float32', masses: true });
  const tokenizer = new Tokenizer(checkpoint.tokenizer.json, checkpoint.tokenizer.config);
  await checkpoint.close();
  const texts = passages(join(sharedData, 'passages.jsonl.gz'));
  const figures: Record<string, unknown> = {};
  for (const tokens of SIZES) {
    const rows = new Map<string, Figures>();
    for (let i = 0; i < CHUNKS; i++) {
      const sample = await sampleOf(engine, tokenizer, texts, tokens);
      const exact = await nextTokens(engine, sample, sample.chunk);
      for (const name of CODEC_NAMES) {
        const codec = codecNamed(name);
        await measure(engine, sample, exact, codec, rowOf(rows, name));
        if (name === 'int4-mixed')
          await measure(engine, sample, exact, codec, rowOf(rows, `${name}, attention`), sample.salience);
      }
    }
    const percent = (share: number) => `${((100 * share) / CHUNKS).toFixed(2)}%`;
    printTable(
      `smollm2, ${CHUNKS} chunks of ${tokens} tokens behind a prompt; errors relative, one thread`,
      ['codec', 'smaller', 'keys', 'values', 'KL of the next token', 'encode, tokens/s', 'decode, tokens/s'],
      [...rows].map(([name, row]) => [
        name,
        `${row.ratio.toFixed(2)}x`,
        percent(row.keys),
        percent(row.values),
        (row.kl / CHUNKS).toFixed(5),
        Math.round(tokens / Math.min(...row.encode)).toLocaleString('en'),
        Math.round(tokens / Math.min(...row.decode)).toLocaleString('en'),
      ]),
    );
    figures[tokens] = Object.fromEntries(
      [...rows].map(([name, row]) => [
        name,
        {
          ratio: row.ratio,
          keys: row.keys / CHUNKS,
          values: row.values / CHUNKS,
          kl: row.kl / CHUNKS,
          encodeTokensPerSecond: tokens / Math.min(...row.encode),
          decodeTokensPerSecond: tokens / Math.min(...row.decode),
        },
      ]),
    );
  }
  await engine.close();
  return figures;
}

function rowOf(rows: Map<string, Figures>, name: string): Figures {
  const row = rows.get(name) ?? { keys: 0, values: 0, kl: 0, ratio: 0, encode: [], decode: [] };
  rows.set(name, row);
  return row;
}

function* passages(path: string): Generator<string, never> {
  const lines = gunzipSync(readFileSync(path)).toString().trimEnd().split('\n');
  for (let i = 0; ; i++) {
    const { title, text } = JSON.parse(lines[i % lines.length]!) as { title: string; text: string };
    yield `${title}\n${text}\n\n`;
  }
}

async function sampleOf(
  engine: DecoderEngine,
  tokenizer: Tokenizer,
  texts: Generator<string, never>,
  tokens: number,
): Promise<Sample> {
  const before = tokenizer.encode(PROMPT);
  const text: number[] = [];
  while (text.length < tokens + NEXT) text.push(...tokenizer.encode(texts.next().value));
  const ids = text.slice(0, tokens);
  const { layers, kvHeads, headSize } = engine.shape;
  const past = new KvSlots(engine.shape);
  const { kv: prompt } = await engine.step({
    rows: engine.embed(before),
    positions: before.map((_, i) => i),
    past,
  });
  past.append(prompt, before.length);
  // Each token is a group of its own: what it gets of attention is its mass.
  const groups = new Float32Array((past.capacity + tokens) * tokens);
  for (let token = 0; token < tokens; token++) groups[(past.capacity + token) * tokens + token] = 1;
  const positions = ids.map((_, i) => before.length + i);
  const { kv, masses } = await engine.step({ rows: engine.embed(ids), positions, past, groups });
  const salience = new Float32Array(layers * tokens);
  for (let row = 0; row < layers * tokens; row++)
    for (let token = 0; token <= row % tokens; token++)
      salience[Math.floor(row / tokens) * tokens + token]! +=
        masses[0]![row * tokens + token]! / (tokens - token);
  const { keys, values } = kv[0]!;
  const dims = { layers, kvHeads, headSize };
  return {
    prompt,
    before: before.length,
    chunk: { dims, tokens, keys: engine.rope.turned(keys, positions, true), values },
    salience,
    next: text.slice(tokens, tokens + NEXT),
  };
}

async function measure(
  engine: DecoderEngine,
  sample: Sample,
  exact: readonly Float64Array[],
  codec: KvCodec,
  into: Figures,
  salience?: Float32Array,
): Promise<void> {
  const { chunk } = sample;
  const { layers } = chunk.dims;
  const decoded = {
    ...chunk,
    keys: new Float32Array(chunk.keys.length),
    values: new Float32Array(chunk.keys.length),
  };
  const stored: Uint8Array[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const began = performance.now();
    for (let layer = 0; layer < layers; layer++)
      stored[layer] = codec.encodeLayer(
        layerOf(chunk, layer),
        salience?.subarray(layer * chunk.tokens, (layer + 1) * chunk.tokens),
      );
    const between = performance.now();
    for (let layer = 0; layer < layers; layer++) codec.decodeLayer(stored[layer]!, layerOf(decoded, layer));
    into.encode.push((between - began) / 1000);
    into.decode.push((performance.now() - between) / 1000);
  }
  into.ratio = (2 * chunk.keys.byteLength) / stored.reduce((sum, { length }) => sum + length, 0);
  into.keys += relativeError(chunk.keys, decoded.keys);
  into.values += relativeError(chunk.values, decoded.values);
  const logs = await nextTokens(engine, sample, decoded);
  into.kl += exact.reduce((sum, expected, i) => sum + divergence(expected, logs[i]!), 0) / exact.length;
}

function layerOf({ dims: { kvHeads, headSize }, tokens, keys, values }: ChunkKv, layer: number): LayerKv {
  const numbers = kvHeads * tokens * headSize;
  const [start, end] = [layer * numbers, (layer + 1) * numbers];
  return { kvHeads, tokens, headSize, keys: keys.subarray(start, end), values: values.subarray(start, end) };
}

/** What the decoder expects behind the prompt, the chunk and tokens of the text that follows: logarithms. */
async function nextTokens(
  engine: DecoderEngine,
  { prompt, before, next }: Sample,
  chunk: ChunkKv,
): Promise<Float64Array[]> {
  const past = new KvSlots(engine.shape);
  past.append(prompt, before);
  const positions = Int32Array.from({ length: chunk.tokens }, (_, i) => before + i);
  past.append(
    [{ from: 0, keys: engine.rope.turned(chunk.keys, positions), values: chunk.values }],
    chunk.tokens,
  );
  const { hidden } = await engine.step({
    rows: engine.embed(next),
    positions: next.map((_, i) => before + chunk.tokens + i),
    past,
  });
  const { width } = engine.shape;
  const logs: Float64Array[] = [];
  for (let row = 1; row < next.length; row += 2)
    logs.push(logSoftmax(await engine.logits(hidden.slice(row * width, (row + 1) * width))));
  return logs;
}

function relativeError(exact: Float32Array, got: Float32Array): number {
  let lost = 0;
  let all = 0;
  for (let at = 0; at < exact.length; at++) {
    lost += (exact[at]! - got[at]!) ** 2;
    all += exact[at]! ** 2;
  }
  return Math.sqrt(lost / all);
}

function divergence(expected: Float64Array, got: Float64Array): number {
  return expected.reduce((sum, log, token) => sum + Math.exp(log) * (log - got[token]!), 0);
}

function logSoftmax(logits: Float32Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return Float64Array.from(logits, (logit) => logit - largest - Math.log(sum));
}

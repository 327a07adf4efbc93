import { fileURLToPath } from 'node:url';
import { Gpu } from '../kernels/gpu.js';
import type { GpuArray } from '../kernels/gpu.js';
import type { Commands } from '../kernels/commands.js';
import { encodeDequantiseInt8, int8Bytes } from '../kernels/dequantise-int8.js';
import { encodeGatherRows } from '../kernels/gather-rows.js';
import { KernelError } from '../kernels/kernel-error.js';
import { encodeRotateKeys } from '../kernels/rotate-keys.js';
import { encodeRowDeviation } from '../kernels/row-deviation.js';
import { encodeScatterRows } from '../kernels/scatter-rows.js';
import { chatTemplateOf } from '../models/decoder/chat-template.js';
import { readerMessages } from '../models/decoder/reader-prompt.js';
import { openCheckpoint } from '../models/decoder/checkpoint.js';
import { ModelRegistry } from '../models/registry.js';
import { Tokenizer } from '../models/tokenizer.js';
import { sharedData } from '../test/shared-data.js';
import { kvQuestions } from './kv-questions.js';
import { measureFirstTokens, type MovedPrompt } from './kvreuse.js';
import { median, printTable } from './table.js';

/** Of the embedded decoder: a layer's heads of keys, numbers of a head. */
const HEADS = 3;
const HEAD_SIZE = 64;
/** Rows: many for a GPU that is one, few for software. */
const ROWS = { hardware: 65_536, software: 2_048 };
const ROUNDS = 9;
/** Prompts whose first tokens are timed. */
const QUESTIONS = 16;
/** In place of the embedded decoder where the GPU is software, which would take minutes. */
const TINY = {
  folder: fileURLToPath(new URL('../test/fixtures/models/decoder/llama', import.meta.url)),
  precision: 'float32',
} as const;
const DOCUMENTS = ['[1] Fares\nSingle 2.40, return 4.10.', '[2] Hours\nThe office opens at seven.'];
const TINY_PROMPT: MovedPrompt = {
  messages: readerMessages('When?', DOCUMENTS.join('\n\n')),
  earlierMessages: readerMessages('What?', DOCUMENTS.toReversed().join('\n\n')),
};

/**
 * The routines that move bytes and compute little, by the bytes they read and write, beside a copy of the same adapter.
 * Times are of the queue, from submission to its end, in this process.
 */
export async function benchKernels(): Promise<unknown> {
  let gpu: Gpu;
  try {
    gpu = await Gpu.open();
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    console.log(`kernels: ${error.message}; there is nothing to measure`);
    return undefined;
  }
  const rows = gpu.isSoftware ? ROWS.software : ROWS.hardware;
  console.log(
    `\nkernels: ${gpu.name}${gpu.isSoftware ? ', which is software: its figures say nothing of a GPU' : ''}`,
  );
  const sizes = { heads: HEADS, rows, headSize: HEAD_SIZE, capacity: rows };
  const bytes = 4 * HEADS * rows * HEAD_SIZE;
  const stored = { kvHeads: HEADS, tokens: rows, headSize: HEAD_SIZE };
  const [a, b, c, d] = Array.from({ length: 4 }, () => gpu.array(bytes)) as [
    GpuArray,
    GpuArray,
    GpuArray,
    GpuArray,
  ];
  const angles = { cos: gpu.array((4 * rows * HEAD_SIZE) / 2), sin: gpu.array((4 * rows * HEAD_SIZE) / 2) };
  const slots = gpu.array(4 * rows);
  const packed = gpu.array(int8Bytes(stored));
  const out = gpu.array(4 * rows);
  const fill = gpu.begin();
  fill.write(
    slots,
    Uint32Array.from({ length: rows }, (_, row) => (row * 7) % rows),
  );
  await fill.finish();

  const speed = async (moved: number, encode: (commands: Commands) => void): Promise<number> => {
    const seconds: number[] = [];
    for (let round = 0; round <= ROUNDS; round++) {
      const commands = gpu.begin();
      encode(commands);
      const began = performance.now();
      await commands.finish();
      await gpu.device.queue.onSubmittedWorkDone();
      // The first compiles.
      if (round > 0) seconds.push((performance.now() - began) / 1000);
    }
    return moved / median(seconds) / 1e9;
  };
  const copy = await speed(2 * bytes, (commands) => {
    commands.copy(a, b, bytes);
  });
  const speeds = {
    'rotate-keys': await speed(2 * bytes + 2 * angles.cos.bytes, (commands) => {
      encodeRotateKeys(commands, { keys: a, ...angles }, sizes);
    }),
    'gather-rows': await speed(2 * bytes, (commands) => {
      encodeGatherRows(commands, { slotsOf: a, rowsOf: b, slots }, sizes);
    }),
    'scatter-rows': await speed(2 * bytes, (commands) => {
      encodeScatterRows(commands, { rowsOf: a, slotsOf: b, slots }, sizes);
    }),
    'dequantise-int8': await speed(packed.bytes + 2 * bytes, (commands) => {
      encodeDequantiseInt8(commands, { stored: packed, keys: a, values: b }, stored);
    }),
    'row-deviation': await speed(4 * bytes, (commands) => {
      const arrays = { cachedKeys: a, cachedValues: b, keys: c, values: d, out };
      encodeRowDeviation(gpu, commands, arrays, sizes);
    }),
  };
  printTable(
    `${rows} rows of ${HEADS} heads of ${HEAD_SIZE}; a copy moves ${copy.toFixed(2)} GB/s`,
    ['routine', 'GB/s', 'of the copy'],
    Object.entries(speeds).map(([name, each]) => [
      name,
      each.toFixed(2),
      `${((100 * each) / copy).toFixed(0)}%`,
    ]),
  );
  const adapter = gpu.name;
  gpu.close();
  return { adapter, isSoftware: gpu.isSoftware, rows, copy, speeds, firstToken: await benchFirstToken(gpu) };
}

/** Known chunks in a new order, beside the same prompts read whole on the same adapter. */
async function benchFirstToken({ name, isSoftware }: Gpu): Promise<unknown> {
  if (!isSoftware && sharedData === undefined) {
    console.log('first token: shared/data is not here; nothing is measured');
    return undefined;
  }
  const prompts = isSoftware ? [TINY_PROMPT] : await sixChunks();
  const { reuse, full } = await measureFirstTokens({ device: 'gpu', ...(isSoftware && TINY) }, prompts);
  printTable(
    `first token of known chunks in a new order, ChunkDecoder on ${name}, ` +
      (isSoftware ? 'a random model of two layers, one prompt' : `six chunks, medians of ${prompts.length}`),
    ['', 'ms', 'times as long'],
    [
      ['from caches', reuse.toFixed(0), '1'],
      ['read whole', full.toFixed(0), (full / reuse).toFixed(2)],
    ],
  );
  return { reuse, full, ratio: full / reuse, prompts: prompts.length };
}

async function sixChunks(): Promise<readonly MovedPrompt[]> {
  const { folder } = await new ModelRegistry().resolve('smollm2');
  const checkpoint = await openCheckpoint(folder);
  await checkpoint.close();
  const { json, config } = checkpoint.tokenizer;
  return kvQuestions(chatTemplateOf(checkpoint, new Tokenizer(json, config)), QUESTIONS);
}

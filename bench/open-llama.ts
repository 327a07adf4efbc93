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
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { gguf, serializeGgufMetadata, type GGUFTypedMetadata } from '@huggingface/gguf';
import { GGML_TYPES } from '../models/decoder/ggml-types.js';

const PEER = 'node-llama-cpp@3.22.0';

export interface LlamaSpeed {
  /** Milliseconds until the first token of a prompt. */
  readonly prefill: number;
  /** Milliseconds a token. */
  readonly decode: number;
}

export interface LlamaPeer {
  measure(tokens: readonly number[]): Promise<LlamaSpeed>;
  close(): void;
}

/**
 * llama.cpp with the model at Q4_1; undefined where it cannot be installed or started. It is
 * installed under `out/`, for benches alone.
 * @param generated tokens that decode is measured on
 */
export async function openLlama(
  folder: string,
  threads: number,
  generated: number,
): Promise<LlamaPeer | undefined> {
  const peers = fileURLToPath(new URL('../out/peers', import.meta.url));
  try {
    mkdirSync(peers, { recursive: true });
    if (!existsSync(join(peers, 'node_modules', 'node-llama-cpp'))) {
      console.log(`llama.cpp: installing ${PEER} in out/peers, once`);
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
      ['--import', 'tsx', script, peers, model, String(threads)],
      {
        stdio: ['pipe', 'pipe', 'inherit'],
      },
    );
    const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
    return {
      async measure(tokens) {
        child.stdin!.write(`${JSON.stringify({ tokens, generate: generated })}\n`);
        const line = await lines.next();
        if (line.done === true) throw new Error('llama.cpp ended');
        return JSON.parse(line.value) as LlamaSpeed;
      },
      close() {
        child.kill();
      },
    };
  } catch (error) {
    console.log(`llama.cpp: no llama.cpp to compare with: ${(error as Error).message}`);
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

import { cpSync, mkdtempSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openCheckpoint } from '../../../models/decoder/checkpoint.js';
import { HIDDEN } from '../../../models/decoder/attention-mask.js';
import { DecoderEngine, type Precision } from '../../../models/decoder/decoder-engine.js';
import { GGML_TYPES } from '../../../models/decoder/ggml-types.js';
import { KvSlots } from '../../../models/decoder/kv-slots.js';
import { checkpointFolder } from './checkpoint-folder.js';

const { ids, logits } = JSON.parse(readFileSync(checkpointFolder('cases.json'), 'utf8')) as {
  ids: number[];
  logits: Record<string, number[][]>;
};

async function open(name: string, precision: Precision): Promise<DecoderEngine> {
  const checkpoint = await openCheckpoint(checkpointFolder(name));
  const engine = await DecoderEngine.open(checkpoint, { threads: 1, precision });
  await checkpoint.close();
  onTestFinished(() => engine.close());
  return engine;
}

/** Logits of the last three of the tokens, read in pieces of so many. */
async function lastLogits(engine: DecoderEngine, tokens: number[], piece: number): Promise<number[][]> {
  const past = new KvSlots(engine.shape);
  const { width } = engine.shape;
  const rows: Float32Array[] = [];
  for (let at = 0; at < tokens.length; at += piece) {
    const part = tokens.slice(at, at + piece);
    const positions = part.map((_, i) => at + i);
    const { hidden, kv } = await engine.step({ rows: engine.embed(part), positions, past });
    past.append(kv, part.length);
    for (let row = 0; row < part.length; row++) rows.push(hidden.slice(row * width, (row + 1) * width));
  }
  return Promise.all(rows.slice(-3).map(async (row) => [...(await engine.logits(row))]));
}

function largestDifference(a: number[][], b: number[][]): number {
  return Math.max(...a.flatMap((row, i) => row.map((value, j) => Math.abs(value - b[i]![j]!))));
}

describe('checkpoints of the Llama family', () => {
  test.each(Object.keys(logits))('%s: float32 logits are those of Transformers', async (name) => {
    const engine = await open(name, 'float32');
    expect(largestDifference(await lastLogits(engine, ids, 100), logits[name]!)).toBeLessThan(1e-3);
  });

  test.each(['llama', 'gguf'])('%s: int8 is near float32, whatever pieces are read', async (name) => {
    const engine = await open(name, 'int8');
    const whole = await lastLogits(engine, ids, 100);
    expect(largestDifference(whole, logits[name]!)).toBeLessThan(0.6);
    for (const piece of [1, 7, 63])
      expect(largestDifference(await lastLogits(engine, ids, piece), whole)).toBeLessThan(1e-3);
  });
});

describe('the graph', () => {
  test.each(['int8', 'float32'] as const)(
    'knows of order by mask and positions alone: %s',
    async (precision) => {
      const engine = await open('llama', precision);
      const { width } = engine.shape;
      const step = async (tokens: number[], positions: number[], past: KvSlots, mask?: Float32Array) => {
        const input = { rows: engine.embed(tokens), positions, past, ...(mask && { mask }) };
        const { hidden, kv } = await engine.step(input);
        return { hidden: [...hidden], kv };
      };
      const [one, two] = [ids.slice(0, 5), ids.slice(20, 27)];
      const places = (of: number[], from = 0) => of.map((_, i) => from + i);
      const apart = [
        (await step(one, places(one), new KvSlots(engine.shape))).hidden,
        (await step(two, places(two), new KvSlots(engine.shape))).hidden,
      ];
      // Two sequences in one run, none of whose rows sees the other's (prepacking).
      const rows = one.length + two.length;
      const mask = Float32Array.from({ length: rows * rows }, (_, at) => {
        const [row, column] = [Math.floor(at / rows), at % rows];
        return column <= row && row < one.length === column < one.length ? 0 : HIDDEN;
      });
      const packed = await step(
        [...one, ...two],
        [...places(one), ...places(two)],
        new KvSlots(engine.shape),
        mask,
      );
      expect(largestDifference([packed.hidden], [apart.flat()])).toBeLessThan(1e-4);

      // Keys in other slots than their order says.
      const before = await step(one, places(one), new KvSlots(engine.shape));
      const straight = new KvSlots(engine.shape);
      straight.append(before.kv, one.length);
      const turned = new KvSlots(engine.shape);
      const reversed = one.map((_, row) => ({ row, slot: one.length - 1 - row, count: 1 }));
      turned.put(before.kv, reversed, one.length);
      const at = places(two, one.length);
      const [a, b] = [await step(two, at, straight), await step(two, at, turned)];
      expect(a.hidden).toHaveLength(two.length * width);
      expect(largestDifference([b.hidden], [a.hidden])).toBeLessThan(1e-4);
    },
  );
});

describe('types of ggml', () => {
  const blocks = JSON.parse(readFileSync(checkpointFolder('ggml-types.json'), 'utf8')) as {
    type: number;
    name: string;
    bytes: string;
    numbers: number[];
  }[];

  test.each(blocks)('$name reads as the gguf package reads it', ({ type, name, bytes, numbers }) => {
    const kind = GGML_TYPES[type]!;
    expect(kind.name).toBe(name);
    const raw = Buffer.from(bytes, 'base64');
    const out = new Float32Array(numbers.length);
    for (let from = 0, to = 0; from < raw.length; from += kind.bytes, to += kind.numbers)
      kind.read(raw, from, out, to);
    out.forEach((value, i) => {
      expect(Math.abs(value - numbers[i]!)).toBeLessThan(1e-6 * Math.max(1, Math.abs(value)));
    });
  });
});

describe('what cannot be run', () => {
  function copyOf(name: string): string {
    const folder = mkdtempSync(join(tmpdir(), 'ragpress-'));
    cpSync(checkpointFolder(name), folder, { recursive: true });
    return folder;
  }

  function withConfig(change: Record<string, unknown>): string {
    const folder = copyOf('llama');
    const path = join(folder, 'config.json');
    writeFileSync(path, JSON.stringify({ ...(JSON.parse(readFileSync(path, 'utf8')) as object), ...change }));
    return folder;
  }

  test.each([
    ['an empty folder', mkdtempSync(join(tmpdir(), 'ragpress-')), 'missing', /no checkpoint.*\.gguf/],
    ['no folder', join(tmpdir(), 'ragpress-none'), 'missing', /cannot be read/],
    [
      'an architecture',
      withConfig({ architectures: ['GPT2LMHeadModel'] }),
      'unsupported',
      /GPT2LMHeadModel.*Llama/,
    ],
    [
      'a stretching of positions',
      withConfig({ rope_scaling: { rope_type: 'longrope' } }),
      'unsupported',
      /longrope.*yarn/,
    ],
    ['settings that are wrong', withConfig({ hidden_size: 'wide' }), 'damaged', /config\.json.*hidden_size/],
    ['sizes that do not fit', withConfig({ intermediate_size: 96 }), 'damaged', /\[64, 32\].*\[96, 32\]/],
  ])('%s is named', async (_, folder, code, message) => {
    const opened = openCheckpoint(folder).then(async (checkpoint) => {
      await DecoderEngine.open(checkpoint, { threads: 1, precision: 'int8' }).finally(() =>
        checkpoint.close(),
      );
    });
    await expect(opened).rejects.toMatchObject({
      name: 'ModelError',
      code,
      message: expect.stringMatching(message) as string,
    });
  });

  test.each(['gguf', 'llama'])('weights of %s that were cut short', async (name) => {
    const folder = copyOf(name);
    truncateSync(join(folder, name === 'gguf' ? 'model.gguf' : 'model.safetensors'), 20_000);
    await expect(openCheckpoint(folder)).rejects.toMatchObject({
      code: 'damaged',
      message: expect.stringMatching(/cut short/) as string,
    });
  });

  test.each(['gguf', 'llama'])('a file of %s that is something else', async (name) => {
    const folder = copyOf(name);
    writeFileSync(join(folder, name === 'gguf' ? 'model.gguf' : 'model.safetensors'), 'not a model at all');
    await expect(openCheckpoint(folder)).rejects.toMatchObject({ code: 'damaged' });
  });
});

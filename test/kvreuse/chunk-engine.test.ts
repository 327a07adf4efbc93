import { describe, expect, onTestFinished, test } from 'vitest';
import { ChunkEngine, type PlacedKv, type Prefilled } from '../../kvreuse/chunk-engine.js';
import { PromptLayout, type PromptPiece } from '../../kvreuse/prompt-layout.js';
import { finish } from '../../kvreuse/steps.js';
import { openCheckpoint } from '../../models/decoder/checkpoint.js';
import { DecoderEngine, type EngineOptions } from '../../models/decoder/decoder-engine.js';
import { KvSlots, type CarryShares } from '../../models/decoder/kv-slots.js';
import { checkpointFolder } from '../models/decoder/checkpoint-folder.js';

async function open(name: string, options: Partial<EngineOptions> = {}) {
  const checkpoint = await openCheckpoint(checkpointFolder(name));
  const decoder = await DecoderEngine.open(checkpoint, { threads: 1, precision: 'float32', ...options });
  await checkpoint.close();
  onTestFinished(() => decoder.close());
  return { decoder, engine: new ChunkEngine(decoder) };
}

const tokens = (seed: number, length: number) =>
  Array.from({ length }, (_, i) => 3 + ((seed * 31 + i * 7 + i * i) % 90));
const piece = (kind: PromptPiece['kind'], seed: number, length: number): PromptPiece => ({
  kind,
  tokens: tokens(seed, length),
});

/** Hidden numbers of the last row, all tokens read from the first to the last. */
async function straight(decoder: DecoderEngine, ids: readonly number[]): Promise<Float32Array> {
  const past = new KvSlots(decoder.shape);
  const { hidden } = await decoder.step({ rows: decoder.embed(ids), positions: ids.map((_, i) => i), past });
  return hidden.slice(-decoder.shape.width);
}

const largest = (a: Float32Array, b: Float32Array) =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
const inKeys = (a: PlacedKv['kv'], b: PlacedKv['kv']) =>
  Math.max(largest(a.keys, b.keys), largest(a.values, b.values));

const LAYOUT = new PromptLayout([
  piece('prefix', 1, 9),
  piece('chunk', 2, 12),
  piece('link', 3, 2),
  piece('chunk', 4, 7),
  piece('link', 5, 1),
  piece('chunk', 6, 15),
  piece('link', 7, 6),
]);

const WHOLLY: CarryShares = { keys: 1, values: 1 };

/** Of which each number of a head is off by the same in all rows. */
const offAlike = ({ piece, kv }: PlacedKv): PlacedKv => ({
  piece,
  kv: {
    ...kv,
    keys: kv.keys.map((key, i) => key + 0.3 * Math.sin(i % 4)),
    values: kv.values.map((v) => v + 0.1),
  },
});

async function cachesOf(engine: ChunkEngine, layout: PromptLayout): Promise<PlacedKv[]> {
  const [prefix] = await finish(engine.computeChunks(undefined, [layout.pieces[0]!.tokens]));
  const made = await finish(
    engine.computeChunks(
      prefix,
      layout.chunks.map(({ tokens }) => tokens),
    ),
  );
  return [
    { piece: layout.pieces[0]!, kv: prefix! },
    ...layout.chunks.map((piece, i) => ({ piece, kv: made[i]! })),
  ];
}

describe.each(['llama', 'yarn', 'qwen2'])('a chunk engine on %s', (name) => {
  test('computes all anew as a prompt that is read straight', async () => {
    const { decoder, engine } = await open(name, { cuts: [1] });
    const caches = await cachesOf(engine, LAYOUT);
    const wanted = await straight(decoder, LAYOUT.ids);
    const all = new Set(LAYOUT.ids.keys());
    for (const results of [
      await finish(engine.prefill(LAYOUT, [], new Set())),
      await finish(engine.prefill(LAYOUT, caches, all)),
      await finish(engine.prefill(LAYOUT, caches, all, { carry: WHOLLY })),
      await finish(engine.prefill(LAYOUT, caches, new Set(), { narrow: () => all })),
    ] satisfies Prefilled[]) {
      expect(largest(results.hidden, wanted)).toBeLessThan(1e-4);
      expect(results.computed).toBe(LAYOUT.tokens);
      expect(results.slots.length).toBe(LAYOUT.tokens);
    }
  });

  test('is exact where the caches are of what stands before them again', async () => {
    const { decoder, engine } = await open(name, { masses: true });
    const { made } = await finish(engine.prefillWithStatistics(LAYOUT, [], new Set(), LAYOUT.chunks));
    const results = await finish(engine.prefill(LAYOUT, made, new Set()));
    expect(largest(results.hidden, await straight(decoder, LAYOUT.ids))).toBeLessThan(1e-4);
    expect(results.computed).toBe(LAYOUT.tokens - made.reduce((sum, { kv }) => sum + kv.tokens, 0));
    // What is repaired has not changed, so there is nothing to carry over.
    const some = new Set(made.flatMap(({ piece: { start } }) => [start + 1, start + 4]));
    const repaired = await finish(engine.prefill(LAYOUT, made, some, { carry: WHOLLY }));
    expect(largest(repaired.hidden, results.hidden)).toBeLessThan(1e-4);
    expect(repaired.computed).toBe(results.computed + some.size);
  });

  test('carries over to the rows of a chunk what those that are repaired have changed by', async () => {
    const { decoder, engine } = await open(name, { masses: true });
    const { made } = await finish(engine.prefillWithStatistics(LAYOUT, [], new Set(), LAYOUT.chunks));
    const off = made.map(offAlike);
    const anew = new Set(made.flatMap(({ piece: { start } }) => [start + 2, start + 3, start + 5]));
    const said: Float32Array[] = [];
    for (const carry of [{ keys: 0, values: 0 }, { keys: 0.5, values: 0.25 }, WHOLLY]) {
      const results = await finish(engine.prefill(LAYOUT, off, anew, { carry }));
      const again = await finish(engine.prefillWithStatistics(LAYOUT, off, anew, [], carry));
      expect(again.hidden).toEqual(results.hidden);
      said.push(results.hidden);
      for (const { piece, kv } of made) {
        const now = await results.slots.read(piece.start, kv.tokens, piece.start);
        // The first layer is of the tokens alone: repaired rows are exact there, and all were off by the same.
        const size = decoder.shape.kvHeads * kv.tokens * decoder.shape.headSize;
        const difference = largest(now.values.subarray(0, size), kv.values.subarray(0, size));
        expect(difference).toBeCloseTo(0.1 * (1 - carry.values), 4);
        if (carry === WHOLLY)
          expect(largest(now.keys.subarray(0, size), kv.keys.subarray(0, size))).toBeLessThan(1e-4);
      }
    }
    // The rows after the chunks see what was carried over.
    for (const carried of said.slice(1)) expect(largest(carried, said[0]!)).toBeGreaterThan(1e-3);
  });

  test.each([{}, { cuts: [1] }])(
    'repairs a chunk behind what was carried over before it, %o',
    async (options) => {
      const { decoder, engine } = await open(name, { masses: true, ...options });
      const layout = new PromptLayout([
        piece('prefix', 1, 9),
        piece('chunk', 2, 120),
        piece('link', 3, 2),
        piece('chunk', 4, 110),
        piece('chunk', 5, 20),
        piece('link', 6, 6),
      ]);
      const { made } = await finish(engine.prefillWithStatistics(layout, [], new Set(), layout.chunks));
      const off = made.map(offAlike);
      // They see no row of their own chunk but these, so they are exact where what stands before the chunk is.
      const anew = new Set(
        [100, 97, 2].flatMap((rows, chunk) =>
          Array.from({ length: rows }, (_, row) => layout.chunks[chunk]!.start + row),
        ),
      );
      const { hidden, computed } = await finish(engine.prefill(layout, off, anew, { carry: WHOLLY }));
      expect(largest(hidden, await straight(decoder, layout.ids))).toBeLessThan(1e-3);
      expect(computed).toBe(9 + 2 + 6 + anew.size);
    },
  );

  test('repairs above the cut those chunks alone that it is told, by the attention of what stands behind them', async () => {
    const { decoder, engine } = await open(name, { cuts: [1], masses: true });
    const { layers, kvHeads, headSize } = decoder.shape;
    const caches = await cachesOf(engine, LAYOUT);
    const anew = new Set(LAYOUT.chunks.flatMap(({ start }) => [start, start + 3, start + 4]));
    const told: (readonly (readonly number[])[])[] = [];
    const focused = (chunks: readonly number[], carry: CarryShares | undefined) => {
      const focus = (masses: readonly (readonly number[])[]) => {
        told.push(masses);
        return chunks;
      };
      return finish(engine.prefill(LAYOUT, caches, anew, { carry, focus }));
    };
    for (const carry of [undefined, WHOLLY]) {
      const all = await finish(engine.prefill(LAYOUT, caches, anew, { carry }));
      const every = await focused([0, 1, 2], carry);
      expect(largest(every.hidden, all.hidden)).toBeLessThan(1e-5);
      expect(every.computed).toBe(all.computed);

      const one = await focused([1], carry);
      expect(one.computed).toBe(all.computed - 6);
      for (const [i, { piece, kv }] of caches.slice(1).entries()) {
        const [now, repaired] = [
          await one.slots.read(piece.start, kv.tokens, piece.start),
          await all.slots.read(piece.start, kv.tokens, piece.start),
        ];
        const below = kvHeads * kv.tokens * headSize;
        const above = (values: Float32Array) => values.subarray(below, layers * below);
        expect(largest(now.values.subarray(0, below), repaired.values.subarray(0, below))).toBeLessThan(1e-5);
        const isAsBefore = largest(above(now.values), above(kv.values)) < 1e-6;
        expect(isAsBefore).toBe(i !== 1);
      }
    }
    for (const layer of told.flat()) {
      expect(layer).toHaveLength(3);
      for (const mass of layer) expect(mass).toBeGreaterThan(0);
      // The last link has six rows, which also look at the prefix and at each other.
      expect(layer.reduce((sum, mass) => sum + mass, 0)).toBeLessThan(6);
    }
  });

  test('takes layers above the cut that come while those below are computed', async () => {
    const { decoder, engine } = await open(name, { cuts: [1], masses: true });
    const { kvHeads, headSize } = decoder.shape;
    const caches = await cachesOf(engine, LAYOUT);
    const anew = new Set(LAYOUT.chunks.flatMap(({ start }) => [start, start + 3]));
    const late = (fails?: Error): PlacedKv[] =>
      caches.map(({ piece, kv }) => {
        const below = kvHeads * kv.tokens * headSize;
        const only = (numbers: Float32Array) => numbers.map((number, i) => (i < below ? number : NaN));
        const coming = { ...kv, keys: only(kv.keys), values: only(kv.values) };
        const rest = new Promise<void>((resolve, reject) =>
          setTimeout(() => {
            coming.keys.set(kv.keys);
            coming.values.set(kv.values);
            if (fails) reject(fails);
            else resolve();
          }, 20),
        );
        rest.catch(() => undefined);
        return { piece, kv: coming, rest };
      });
    const ways = [
      {},
      { carry: { keys: 0.5, values: 0.5 } },
      { narrow: () => anew },
      { carry: WHOLLY, focus: () => [2] },
    ];
    for (const way of ways) {
      const wanted = await finish(engine.prefill(LAYOUT, caches, anew, way));
      expect((await finish(engine.prefill(LAYOUT, late(), anew, way))).hidden).toEqual(wanted.hidden);
      const failure = new Error('gone');
      await expect(finish(engine.prefill(LAYOUT, late(failure), anew, way))).rejects.toBe(failure);
    }
    const [, piece] = LAYOUT.chunks;
    const known = (placed: PlacedKv[]) => placed.filter((cache) => cache.piece !== piece);
    const wanted = await finish(engine.prefillWithStatistics(LAYOUT, known(caches), anew, [piece!]));
    const given = await finish(engine.prefillWithStatistics(LAYOUT, known(late()), anew, [piece!]));
    expect(given.made).toEqual(wanted.made);
    expect(given.hidden).toEqual(wanted.hidden);
  });

  test('computes a chunk among others from caches as in the whole prompt, with what attention told', async () => {
    const { engine } = await open(name, { masses: true });
    const all = await finish(engine.prefillWithStatistics(LAYOUT, [], new Set(), LAYOUT.chunks));
    for (const missing of LAYOUT.chunks.keys()) {
      const caches = all.made.filter((_, i) => i !== missing);
      const piece = LAYOUT.chunks[missing]!;
      const { made } = await finish(engine.prefillWithStatistics(LAYOUT, caches, new Set(), [piece]));
      const wanted = all.made[missing]!;
      expect(inKeys(made[0]!.kv, wanted.kv)).toBeLessThan(1e-4);
      const numbers = ({ inter, lengths, intra, tokenInter }: NonNullable<typeof wanted.statistics>) =>
        new Float32Array([...inter, ...lengths, intra, ...tokenInter]);
      expect(largest(numbers(made[0]!.statistics!), numbers(wanted.statistics!))).toBeLessThan(1e-4);
    }
  });

  test('a chunk is the same wherever it was computed, and whatever beside', async () => {
    const { engine } = await open(name);
    const { chunks } = LAYOUT;
    const alone = await Promise.all(
      chunks.map(async ({ tokens }) => (await finish(engine.computeChunks(undefined, [tokens])))[0]!),
    );
    const packed = await finish(
      engine.computeChunks(
        undefined,
        chunks.map(({ tokens }) => tokens),
      ),
    );
    packed.forEach((chunk, i) => {
      expect(inKeys(chunk, alone[i]!)).toBeLessThan(1e-4);
    });
    // Rotation is all that a place changes.
    const { decoder } = await open(name);
    const ids = [...chunks[0]!.tokens];
    const positions = ids.map((_, i) => 1_000 + i);
    const far = await decoder.step({ rows: decoder.embed(ids), positions, past: new KvSlots(decoder.shape) });
    expect(largest(decoder.rope.turned(alone[0]!.keys, positions), far.kv[0]!.keys)).toBeLessThan(1e-4);
    expect(largest(alone[0]!.values, far.kv[0]!.values)).toBeLessThan(1e-4);
  });

  test('an edited chunk keeps what stayed, and computes what changed as it stands there', async () => {
    const { engine } = await open(name);
    const [prefix] = await finish(engine.computeChunks(undefined, [LAYOUT.pieces[0]!.tokens]));
    const old = [...LAYOUT.chunks[2]!.tokens];
    const [oldKv] = await finish(engine.computeChunks(prefix, [old]));
    const edits = [
      { tokens: [...old.slice(0, 5), 90, 91, 92, ...old.slice(7)], head: 5, tail: old.length - 7 },
      { tokens: [...old.slice(0, 4), ...old.slice(9)], head: 4, tail: old.length - 9 },
      { tokens: [...old, 88, 89], head: old.length, tail: 0 },
    ];
    for (const { tokens, head, tail } of edits) {
      const edited = await finish(engine.editChunk(prefix, oldKv!, tokens, { head, tail }));
      const [exact] = await finish(engine.computeChunks(prefix, [tokens]));
      const row = (kv: typeof edited, i: number, heads: number) =>
        kv.values.subarray(
          (heads * kv.tokens + i) * kv.dims.headSize,
          (heads * kv.tokens + i + 1) * kv.dims.headSize,
        );
      for (let head_ = 0; head_ < edited.dims.layers * edited.dims.kvHeads; head_++) {
        // Up to the end of what changed all is as if it had been computed.
        for (let i = 0; i < tokens.length - tail; i++)
          expect(largest(row(edited, i, head_), row(exact!, i, head_))).toBeLessThan(1e-4);
        for (let i = 1; i <= tail; i++)
          expect(largest(row(edited, tokens.length - i, head_), row(oldKv!, old.length - i, head_))).toBe(0);
      }
    }
  });
});

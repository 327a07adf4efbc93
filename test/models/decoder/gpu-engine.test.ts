import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ChunkEngine, type PlacedKv } from '../../../kvreuse/chunk-engine.js';
import { PromptLayout, type PromptPiece } from '../../../kvreuse/prompt-layout.js';
import { finish } from '../../../kvreuse/steps.js';
import { openCheckpoint } from '../../../models/decoder/checkpoint.js';
import type { Engine } from '../../../models/decoder/engine.js';
import { openEngine } from '../../../models/decoder/open-engine.js';
import { hasGpu, NO_GPU } from '../../kernels/find-adapter.js';
import { checkpointFolder } from './checkpoint-folder.js';

/** SwiftShader compiles a matrix product for seconds, on a busy machine for many. */
const PATIENCE = 240_000;

const tokens = (seed: number, length: number) =>
  Array.from({ length }, (_, i) => 3 + ((seed * 31 + i * 7 + i * i) % 90));
const piece = (kind: PromptPiece['kind'], seed: number, length: number): PromptPiece => ({
  kind,
  tokens: tokens(seed, length),
});
const LAYOUT = new PromptLayout([
  piece('prefix', 1, 9),
  piece('chunk', 2, 12),
  piece('link', 3, 2),
  piece('chunk', 4, 7),
  piece('link', 5, 6),
]);

const largest = (a: Float32Array, b: Float32Array) =>
  Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));

async function open(device: 'cpu' | 'gpu'): Promise<Engine> {
  const checkpoint = await openCheckpoint(checkpointFolder('llama'));
  const opened = await openEngine(checkpoint, device, {
    threads: 1,
    precision: 'float32',
    cuts: [1],
    masses: true,
  });
  await checkpoint.close();
  expect(opened).toMatchObject({ engine: { device }, reason: undefined });
  return opened.engine;
}

/** A prompt from the chunks that an engine made; `anew` of the first cut's rows are repaired. */
async function prompt(engine: Engine, anew: ReadonlySet<number>) {
  const chunks = new ChunkEngine(engine);
  const [prefix] = await finish(chunks.computeChunks(undefined, [LAYOUT.pieces[0]!.tokens]));
  const made = await finish(
    chunks.computeChunks(
      prefix,
      LAYOUT.chunks.map((each) => each.tokens),
    ),
  );
  const caches: PlacedKv[] = [
    { piece: LAYOUT.pieces[0]!, kv: prefix! },
    // The layer below the cut looks at no other row: what deviates there is what is made to.
    ...LAYOUT.chunks.map((each, i) => ({
      piece: each,
      kv: i === 0 ? made[i]! : { ...made[i]!, values: made[i]!.values.map((value) => value + 0.1) },
    })),
  ];
  let deviations = new Float32Array(0);
  const { slots, hidden } = await finish(
    chunks.prefill(LAYOUT, caches, new Set(), {
      narrow({ rows }) {
        deviations = Float32Array.from(rows);
        return anew;
      },
    }),
  );
  const kept = await slots.read(0, LAYOUT.tokens, 0);
  slots.release();
  return { made, deviations, hidden, kept, logits: await engine.logits(hidden) };
}

describe.skipIf(!hasGpu)(`a decoder on a GPU${NO_GPU}`, () => {
  let gpu: Engine;
  let cpu: Engine;
  beforeAll(async () => {
    [gpu, cpu] = [await open('gpu'), await open('cpu')];
  }, PATIENCE);
  afterAll(async () => {
    await cpu.close();
    await gpu.close();
  });

  // Two layers of sums of 64 products in float32: 1e-5 of numbers of about 1, and what follows from there.
  test(
    'puts a prompt together from chunks as the CPU does, and repairs the same rows',
    async () => {
      const anew = new Set([12, 13, 25]);
      const [given, wanted] = [await prompt(gpu, anew), await prompt(cpu, anew)];
      given.made.forEach((chunk, i) => {
        expect(largest(chunk.keys, wanted.made[i]!.keys)).toBeLessThan(1e-4);
        expect(largest(chunk.values, wanted.made[i]!.values)).toBeLessThan(1e-4);
      });
      expect(Math.max(...wanted.deviations)).toBeGreaterThan(0.01);
      expect(largest(given.deviations, wanted.deviations)).toBeLessThan(1e-3);
      expect(largest(given.kept.keys, wanted.kept.keys)).toBeLessThan(1e-4);
      expect(largest(given.hidden, wanted.hidden)).toBeLessThan(1e-4);
      expect(largest(given.logits, wanted.logits)).toBeLessThan(1e-4);
    },
    PATIENCE,
  );

  test(
    'says what a prompt’s chunks attend to',
    async () => {
      const [given, wanted] = [
        await finish(new ChunkEngine(gpu).prefillWithStatistics(LAYOUT, [], new Set(), LAYOUT.chunks)),
        await finish(new ChunkEngine(cpu).prefillWithStatistics(LAYOUT, [], new Set(), LAYOUT.chunks)),
      ];
      given.made.forEach(({ statistics }, i) => {
        const { intra, inter } = wanted.made[i]!.statistics!;
        expect(statistics!.intra).toBeCloseTo(intra, 3);
        inter.forEach((mass, j) => {
          expect(statistics!.inter[j]!).toBeCloseTo(mass, 3);
        });
      });
    },
    PATIENCE,
  );

  test(
    'carries a repair over to the rows beside it',
    async () => {
      const tokens = LAYOUT.chunks[0]!.tokens.length;
      const isAnew = Array.from({ length: tokens }, (_, row) => row % 3 === 1);
      const carried = async (engine: Engine) => {
        const { layers, kvHeads, headSize } = engine.shape;
        const size = layers * kvHeads * tokens * headSize;
        const kvOf = (seed: number) => ({
          tokens,
          keys: Float32Array.from({ length: size }, (_, i) => Math.sin(seed + i * 0.7)),
          values: Float32Array.from({ length: size }, (_, i) => Math.cos(seed + i * 0.3)),
        });
        const slots = engine.slots();
        slots.place(kvOf(2), 5);
        await slots.carry(kvOf(1), 5, isAnew, { keys: 0.75, values: 0.5 }, { from: 0, to: 1 });
        slots.place(kvOf(3), 200);
        slots.truncate(5 + tokens);
        expect(slots.capacity).toBeLessThanOrEqual(64);
        const read = await slots.read(5, tokens, 5);
        slots.release();
        return read;
      };
      const [given, wanted] = [await carried(gpu), await carried(cpu)];
      expect(largest(given.keys, wanted.keys)).toBeLessThan(1e-5);
      expect(largest(given.values, wanted.values)).toBeLessThan(1e-5);
    },
    PATIENCE,
  );
});

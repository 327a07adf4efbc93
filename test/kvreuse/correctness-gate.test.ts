import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ChunkEngine } from '../../kvreuse/chunk-engine.js';
import { checkReuse, recordedGate } from '../../kvreuse/correctness-gate.js';
import { PromptLayout, type PromptPiece } from '../../kvreuse/prompt-layout.js';
import { cacheBlend } from '../../kvreuse/selection/cache-blend.js';
import { full } from '../../kvreuse/selection/full.js';
import { none } from '../../kvreuse/selection/none.js';
import { openCheckpoint } from '../../models/decoder/checkpoint.js';
import { DecoderEngine } from '../../models/decoder/decoder-engine.js';
import { ModelError } from '../../models/model-error.js';
import { checkpointFolder } from '../models/decoder/checkpoint-folder.js';

const piece = (kind: PromptPiece['kind'], seed: number, length: number): PromptPiece => ({
  kind,
  tokens: Array.from({ length }, (_, i) => 3 + ((seed * 31 + i * 7 + i * i) % 90)),
});
const layouts = [1, 2].map(
  (seed) =>
    new PromptLayout([
      piece('prefix', seed, 8),
      piece('chunk', seed + 2, 20),
      piece('link', seed + 4, 2),
      piece('chunk', seed + 6, 17),
      piece('link', seed + 8, 6),
    ]),
);

async function open(name: string) {
  const checkpoint = await openCheckpoint(checkpointFolder(name));
  const decoder = await DecoderEngine.open(checkpoint, { threads: 1, precision: 'int8', cuts: [1] });
  await checkpoint.close();
  onTestFinished(() => decoder.close());
  return { decoder, engine: new ChunkEngine(decoder) };
}

describe('the correctness gate', () => {
  test.each(['llama', 'llama3', 'yarn', 'linear', 'qwen2'])(
    'lets %s through, and tells what a policy costs',
    async (name) => {
      const { decoder, engine } = await open(name);
      const everything = await checkReuse(name, decoder, engine, full(), layouts);
      expect(everything.exact).toBeLessThan(0.001);
      expect(everything.moved).toBeLessThan(0.05);
      expect(everything.kl).toBeLessThan(0.001);
      expect(everything.top1).toBe(1);
      const [nothing, half] = [
        await checkReuse(name, decoder, engine, none(), layouts),
        await checkReuse(name, decoder, engine, cacheBlend(0.5), layouts),
      ];
      expect(nothing.kl).toBeGreaterThan(everything.kl);
      expect(half.kl).toBeGreaterThan(everything.kl);
    },
  );

  test('refuses a model whose keys are not rotated as they are taken to be', async () => {
    const { decoder, engine } = await open('llama');
    const turned = decoder.rope.turned.bind(decoder.rope);
    // As if pairs were neighbours and not halves.
    decoder.rope.turned = (keys, positions, back) => turned(keys.toReversed(), positions, back);
    const checking = checkReuse('some/model', decoder, engine, none(), layouts);
    await expect(checking).rejects.toThrow(ModelError);
    await expect(checking).rejects.toThrow(/some\/model cannot be reused by policy none/);
  });

  test('knows what was measured before, and nothing of a file that cannot be read', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ragpress-gate-'));
    onTestFinished(() => {
      rmSync(folder, { recursive: true });
    });
    expect(await recordedGate(folder, 'none')).toBeUndefined();
    const report = { exact: 0.01, moved: 0.001, kl: 0.04, top1: 0.95 };
    writeFileSync(join(folder, 'reuse.json'), JSON.stringify({ none: report }));
    expect(await recordedGate(folder, 'none')).toEqual(report);
    expect(await recordedGate(folder, 'full')).toBeUndefined();
    writeFileSync(join(folder, 'reuse.json'), '{"none": {"kl": "small"}}');
    expect(await recordedGate(folder, 'none')).toBeUndefined();
  });
});

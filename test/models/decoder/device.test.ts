import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ConfigurationError } from 'ragpress';
import { ChunkDecoder } from 'ragpress/kvreuse';
import { Decoder, ModelRegistry } from 'ragpress/models';
import { generateSettingsSchema } from '../../../models/decoder/generate-settings.js';
import type { FromWorker, ToWorker, WorkerSettings } from '../../../models/decoder/serve-decoder.js';
import { nativeTurns } from '../../../models/native-turn.js';
import { hasGpu, NO_GPU } from '../../kernels/find-adapter.js';
import { checkpointFolder } from './checkpoint-folder.js';

const folder = checkpointFolder('llama');
const tokens = [3, 7, 11, 20, 33];
const maxTokens = 8;
/** SwiftShader compiles a matrix product for seconds, on a busy machine for many. */
const PATIENCE = 240_000;

async function answered(options: object) {
  const decoder = await Decoder.load({ folder, ...options });
  onTestFinished(() => decoder.close());
  const { text } = await decoder.generate({ tokens }, { maxTokens }).result;
  return { text, device: decoder.device };
}

test('a decoder is on the CPU unless it is asked', async () => {
  expect((await answered({})).device).toEqual({ name: 'cpu', reason: undefined });
});

test('auto answers on the CPU where there is no GPU but software, and says so', async () => {
  const { text, device } = await answered({ device: 'auto' });
  // A machine with a GPU has nothing to say.
  if (device.name === 'cpu') {
    expect(device.reason).toMatch(/software|finds no GPU/);
    expect(text).toBe((await answered({})).text);
  }
});

test('a device that is none, and one that has no window, are refused by name', async () => {
  for (const options of [{ device: 'tpu' as 'gpu' }, { device: 'gpu' as const, window: 256 }]) {
    const refused = Decoder.load({ folder, ...options });
    await expect(refused).rejects.toBeInstanceOf(ConfigurationError);
    await expect(refused).rejects.toMatchObject({ field: 'decoder.device' });
  }
});

describe.skipIf(!hasGpu)(`on a GPU${NO_GPU}`, () => {
  test(
    'says what it says on the CPU',
    async () => {
      const { text, device } = await answered({ device: 'gpu', precision: 'float32' });
      expect(device).toEqual({ name: 'gpu', reason: undefined });
      expect(text).toBe((await answered({ precision: 'float32' })).text);
    },
    PATIENCE,
  );

  // Which rows a policy repairs can hang on a last place; what is computed for them is compared in gpu-engine.test.ts.
  test(
    'puts prompts together from chunks and answers as on the CPU',
    async () => {
      const told = async (device: 'cpu' | 'gpu') => {
        const reuse = { policy: { name: 'none' } } as const;
        const cacheFolder = mkdtempSync(join(tmpdir(), 'ragpress-cache-'));
        onTestFinished(() => {
          rmSync(cacheFolder, { recursive: true });
        });
        const registry = new ModelRegistry({ cacheFolder });
        const options = { folder, registry, threads: 1, precision: 'float32', device, reuse } as const;
        const decoder = await ChunkDecoder.load(options);
        onTestFinished(() => decoder.close());
        const documents = ['Fares\nSingle 2.40, return 4.10.', 'Hours\nThe office opens at seven.'];
        const answers = [];
        for (const order of [documents, documents.toReversed()]) {
          const listed = order.map((document, i) => `[${i + 1}] ${document}`).join('\n\n');
          const messages = [{ role: 'user' as const, content: `${listed}\n\nwhat does it cost?` }];
          const { text, reuse } = await decoder.generate({ messages }, { maxTokens }).result;
          answers.push({ text, reuse });
        }
        return { device: decoder.device, answers };
      };
      const [given, wanted] = [await told('gpu'), await told('cpu')];
      expect(given.device).toEqual({ name: 'gpu', reason: undefined });
      expect(given.answers).toEqual(wanted.answers);
      expect(given.answers[1]!.reuse!.reused).toBeGreaterThan(0);
    },
    PATIENCE,
  );

  test.each([
    ['before it is asked', 12, false],
    ['in the midst of an answer', 40, true],
  ])(
    'goes on on the CPU where the device is lost %s',
    async (_, submissions, isAnswering) => {
      const settings: WorkerSettings = {
        folder,
        threads: 1,
        precision: 'float32',
        device: 'gpu',
        contextTokens: undefined,
        window: undefined,
        cacheBytes: 1e8,
        turns: nativeTurns(),
      };
      const file = fileURLToPath(new URL('../../fixtures/lose-gpu.mjs', import.meta.url));
      const thread = new Worker(file, {
        workerData: settings,
        env: { ...process.env, LOST_AFTER: String(submissions) },
      });
      onTestFinished(async () => {
        await thread.terminate();
      });
      const messages: FromWorker[] = [];
      const ended = new Promise<void>((resolve, reject) => {
        thread.on('error', reject);
        thread.on('message', (message: FromWorker) => {
          messages.push(message);
          if (message.type === 'ready') thread.postMessage(asked);
          if (message.type === 'end' || message.type === 'fault') resolve();
        });
      });
      const asked: ToWorker = {
        type: 'generate',
        id: 1,
        input: { tokens },
        settings: generateSettingsSchema.parse({ maxTokens }),
      };
      await ended;
      expect(messages.find(({ type }) => type === 'fault')).toBeUndefined();
      expect(messages[0]).toMatchObject({ type: 'ready', description: { device: { name: 'gpu' } } });
      const lost = messages.findIndex(({ type }) => type === 'device');
      expect(messages[lost]).toMatchObject({
        device: { name: 'cpu', reason: expect.stringMatching(/lost/) as string },
      });
      expect(messages.slice(0, lost).some(({ type }) => type === 'text')).toBe(isAnswering);
      const { text } = await answered({ precision: 'float32' });
      expect(messages.at(-1)).toMatchObject({ type: 'end', result: { text } });
      const said = messages.map((message) => (message.type === 'text' ? message.text : '')).join('');
      expect(said).toBe(text);
    },
    PATIENCE,
  );
});

import { expect, onTestFinished, test } from 'vitest';
import { Decoder } from 'ragpress/models';
import { ConfigurationError } from '../../../settings/configuration-error.js';
import '../../kernels/find-adapter.js';
import { checkpointFolder } from './checkpoint-folder.js';

const folder = checkpointFolder('llama');
const tokens = [3, 7, 11, 20, 33];

async function answered(options: object) {
  const decoder = await Decoder.load({ folder, ...options });
  onTestFinished(() => decoder.close());
  const { text } = await decoder.generate({ tokens }, { maxTokens: 8 }).result;
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

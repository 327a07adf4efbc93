import { afterEach, describe, expect, test } from 'vitest';
import { Gpu } from '../../kernels/gpu.js';
import { KernelError } from '../../kernels/kernel-error.js';
import { Kernels } from '../../kernels/kernels.js';
import { quantiseFloat16 } from '../../kernels/quantise-float16.js';
import { quantiseInt8 } from '../../kernels/quantise-int8.js';
import { rotateKeys } from '../../kernels/rotate-keys.js';
import type { Routine } from '../../kernels/routine.js';
import { selectedAttention, NO_POSITION } from '../../kernels/selected-attention.js';
import { topRows } from '../../kernels/top-rows.js';
import { hasGpu, NO_GPU } from './find-adapter.js';

const KEYS = {
  heads: 2,
  rows: 3,
  headSize: 4,
  keys: Float32Array.from({ length: 24 }, (_, i) => i),
  cos: new Float32Array(6).fill(0),
  sin: new Float32Array(6).fill(1),
};

const opened: Kernels[] = [];
async function open(options: Parameters<typeof Kernels.open>[0]): Promise<Kernels> {
  const kernels = await Kernels.open(options);
  opened.push(kernels);
  return kernels;
}
afterEach(() => {
  for (const kernels of opened.splice(0)) kernels.close();
});

/** A GPU as a browser without one has it. */
const nothing = { requestAdapter: () => Promise.resolve(null) } as unknown as GPU;

describe('where a GPU cannot answer the CPU does', () => {
  test('there is no adapter', async () => {
    const kernels = await open({ device: 'gpu', from: nothing });
    const { output, device, reason } = await kernels.run(rotateKeys, KEYS);
    expect(output).toEqual(rotateKeys.cpu(KEYS));
    expect(device).toBe('cpu');
    expect(reason).toMatchObject({ name: 'KernelError', code: 'no-adapter' });
  });

  test('an adapter gives no device', async () => {
    const adapter = {
      features: new Set(),
      limits: {},
      requestDevice: () => Promise.reject(new Error('out of devices')),
    };
    const from = { requestAdapter: () => Promise.resolve(adapter) } as unknown as GPU;
    await expect(Gpu.open({ from })).rejects.toMatchObject({ code: 'limits' });
    const { device, reason } = await (await open({ device: 'gpu', from })).run(rotateKeys, KEYS);
    expect([device, reason?.code]).toEqual(['cpu', 'limits']);
  });

  test('the CPU was asked for', async () => {
    const { device, reason } = await (await open({ device: 'cpu' })).run(rotateKeys, KEYS);
    expect([device, reason]).toEqual(['cpu', undefined]);
  });

  test.skipIf(!hasGpu)(`auto leaves a GPU in software alone${NO_GPU}`, async () => {
    const kernels = await open({ device: 'auto' });
    const gpu = await Gpu.open();
    const { isSoftware } = gpu;
    gpu.close();
    const { device } = await kernels.run(rotateKeys, KEYS);
    expect(device).toBe(isSoftware ? 'cpu' : 'gpu');
  });

  test.skipIf(!hasGpu)(`a binding is too small${NO_GPU}`, async () => {
    const kernels = await open({ device: 'gpu', bindingBytes: 64 });
    const { output, device, reason } = await kernels.run(rotateKeys, KEYS);
    expect(output).toEqual(rotateKeys.cpu(KEYS));
    expect([device, reason?.code]).toEqual(['cpu', 'limits']);
    // What fits still goes there.
    const small = await kernels.run(topRows, { deviations: Float32Array.of(1, 2), count: 1 });
    expect(small).toMatchObject({ device: 'gpu', output: Uint32Array.of(1) });
  });

  test.skipIf(!hasGpu)(`a shader does not compile${NO_GPU}`, async () => {
    const broken: Routine<number, number> = {
      name: 'broken',
      cpu: (x) => x + 1,
      async gpu(gpu) {
        const commands = gpu.begin();
        const array = commands.array(4);
        commands.dispatch({ name: 'broken', wgsl: 'fn main( {' }, [array], 1, { u32: [1] });
        await commands.read(array);
        return 0;
      },
    };
    const kernels = await open({ device: 'gpu' });
    for (let i = 0; i < 2; i++) {
      const { output, device, reason } = await kernels.run(broken, 4);
      expect([output, device, reason?.code]).toEqual([5, 'cpu', 'shader']);
      expect(reason?.message).toMatch(/broken does not compile on .*: line 1/);
    }
    expect((await kernels.run(rotateKeys, KEYS)).device).toBe('gpu');
  });

  test.skipIf(!hasGpu)(`a command is refused${NO_GPU}`, async () => {
    const gpu = await Gpu.open();
    const commands = gpu.begin();
    commands.copy(commands.array(8), commands.array(8), 1 << 20);
    await expect(commands.finish()).rejects.toMatchObject({ name: 'KernelError', code: 'gpu' });
    gpu.close();
  });

  test.skipIf(!hasGpu)(`the device is lost between and in the midst of requests${NO_GPU}`, async () => {
    const kernels = await open({ device: 'gpu' });
    const { gpu } = kernels;
    expect((await kernels.run(rotateKeys, KEYS)).device).toBe('gpu');
    const underWay = kernels.run(rotateKeys, KEYS);
    gpu!.device.destroy();
    const { output, device, reason } = await underWay;
    expect(output).toEqual(rotateKeys.cpu(KEYS));
    expect([device, reason?.code]).toEqual(['cpu', 'lost']);
    const later = await kernels.run(rotateKeys, KEYS);
    expect([later.device, later.reason?.code]).toEqual(['cpu', 'lost']);
    expect(kernels.gpu).toBeUndefined();
    expect(() => gpu!.begin()).toThrow(KernelError);
  });
});

describe.skipIf(!hasGpu)(`input that is none${NO_GPU}`, () => {
  const sizes = { kvHeads: 1, tokens: 2, headSize: 2 };
  const values = Float32Array.of(1, 2, 3, 4);

  test.each([
    ['NaN', NaN, 'not-finite'],
    ['infinity', -Infinity, 'not-finite'],
  ])('a cache with %s is not stored', async (_, strange, code) => {
    const keys = Float32Array.of(1, strange, 3, 4);
    for (const device of ['cpu', 'gpu'] as const) {
      const kernels = await open({ device });
      for (const routine of [quantiseFloat16, quantiseInt8]) {
        await expect(kernels.run(routine, { ...sizes, keys, values })).rejects.toMatchObject({ code });
        await expect(kernels.run(routine, { ...sizes, keys: values, values: keys })).rejects.toMatchObject({
          code,
        });
      }
    }
  });

  test('a number that float16 does not hold is refused', async () => {
    const input = { ...sizes, keys: Float32Array.of(1, 7e4, 3, 4), values };
    for (const device of ['cpu', 'gpu'] as const)
      await expect((await open({ device })).run(quantiseFloat16, input)).rejects.toMatchObject({
        code: 'range',
      });
  });

  test('what is hidden may be no number; what is seen makes its row none, and no other', async () => {
    const input = {
      rows: 2,
      heads: 1,
      kvHeads: 1,
      headSize: 2,
      slots: 3,
      queries: Float32Array.of(1, 2, 3, 4),
      keys: Float32Array.of(1, 2, NaN, Infinity, NaN, 1),
      values: Float32Array.of(1, 2, NaN, -Infinity, 5, 6),
      rowPositions: Uint32Array.of(0, 9),
      slotPositions: Uint32Array.of(0, NO_POSITION, 4),
    };
    for (const device of ['cpu', 'gpu'] as const) {
      const { output } = await (await open({ device })).run(selectedAttention, input);
      expect([...output]).toEqual([1, 2, NaN, NaN]);
    }
  });

  test.each([
    ['too few numbers', { ...KEYS, keys: new Float32Array(23) }],
    ['half a row', { ...KEYS, rows: 2.5 }],
  ])('%s are refused before anything runs', async (_, input) => {
    for (const device of ['cpu', 'gpu'] as const)
      await expect((await open({ device })).run(rotateKeys, input)).rejects.toMatchObject({ code: 'sizes' });
  });
});

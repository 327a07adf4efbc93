import { afterAll, describe, expect, test } from 'vitest';
import { chunkMass } from '../../kernels/chunk-mass.js';
import { dequantiseFloat16 } from '../../kernels/dequantise-float16.js';
import { dequantiseInt4, type Int4Format } from '../../kernels/dequantise-int4.js';
import { dequantiseInt8 } from '../../kernels/dequantise-int8.js';
import { Gpu } from '../../kernels/gpu.js';
import { KernelError } from '../../kernels/kernel-error.js';
import { quantiseFloat16 } from '../../kernels/quantise-float16.js';
import { quantiseInt8 } from '../../kernels/quantise-int8.js';
import type { StoredSizes } from '../../kernels/stored-layer.js';
import { codecNamed } from '../../kvreuse/codecs/codec-named.js';
import { hasGpu, NO_GPU, openGpu } from './find-adapter.js';
import { difference, INT4, layer, masses, TABLE } from './routine-table.js';

describe.skipIf(!hasGpu)(`routines on a GPU are what they are on the CPU${NO_GPU}`, async () => {
  const gpu = (await openGpu())!;
  const plain = (await openGpu({ subgroups: false }))!;
  afterAll(() => {
    gpu.close();
    plain.close();
  });

  test.each(TABLE.map((each) => [each.routine.name, each.name, each] as const))(
    '%s: %s',
    async (_, __, { routine, input, within }) => {
      const wanted = routine.cpu(input);
      expect(difference(await routine.gpu(gpu, input), wanted)).toBeLessThanOrEqual(within);
      if (gpu.subgroups)
        expect(difference(await routine.gpu(plain, input), wanted)).toBeLessThanOrEqual(within);
    },
  );

  test('a layer of 8 bits that a GPU wrote is off by a step at most', async () => {
    for (const input of [layer(3, 37, 6), layer(1, 1, 2), layer(2, 5, 8, 1e3), layer(1, 3, 4, 0)]) {
      const [given, wanted] = [await quantiseInt8.gpu(gpu, input), quantiseInt8.cpu(input)];
      expect(Buffer.compare(given.subarray(0, 8), wanted.subarray(0, 8))).toBe(0);
      const sizes: StoredSizes = input;
      const read = dequantiseInt8.cpu({ ...sizes, bytes: given });
      const exact = dequantiseInt8.cpu({ ...sizes, bytes: wanted });
      // A range is a sixteenth of an octave wider at most, a level one of 256.
      expect(difference(read, exact)).toBeLessThan(2 / 256 + 0.01);
      expect(difference(read, { keys: input.keys, values: input.values })).toBeLessThan(0.02);
    }
  });
});

describe('each variant of a shader', async () => {
  // Dawn's backend that computes nothing has every feature: shaders are compiled there, and not run.
  const { create, globals } = await import('webgpu');
  Object.assign(globalThis, globals);
  const dawn = create(['backend=null']);

  test.each([
    { f16: true, subgroups: true },
    { f16: true, subgroups: false },
    { f16: false, subgroups: false },
  ])('is WGSL: %o', async (features) => {
    const gpu = await Gpu.open({ from: dawn, ...features });
    expect(gpu).toMatchObject(features);
    for (const { routine, input } of TABLE)
      await routine.gpu(gpu, input).catch((error: unknown) => {
        // What is read there may be anything.
        if (!(error instanceof KernelError && !error.isOfGpu)) throw error;
      });
    gpu.close();
  });
});

describe('the CPU’s routines', () => {
  test.each(['float16', 'int8', ...INT4])('read what codec %s stores as it reads it', (name) => {
    for (const sizes of [layer(1, 1, 2), layer(3, 37, 6), layer(2, 300, 8), layer(1, 9, 4, 0)]) {
      const bytes = codecNamed(name).encodeLayer(sizes);
      const wanted = { ...sizes, keys: sizes.keys.slice(), values: sizes.values.slice() };
      codecNamed(name).decodeLayer(bytes, wanted);
      const routine = name === 'float16' ? dequantiseFloat16 : name === 'int8' ? dequantiseInt8 : undefined;
      const given =
        routine?.cpu({ ...sizes, bytes }) ??
        dequantiseInt4.cpu({ ...sizes, bytes, format: name as Int4Format });
      expect(difference(given, { keys: wanted.keys, values: wanted.values })).toBeLessThan(1e-6);
    }
  });

  test.each(['float16', 'int8'])('write what codec %s writes', (name) => {
    const routine = name === 'float16' ? quantiseFloat16 : quantiseInt8;
    for (const input of [layer(1, 1, 2), layer(3, 37, 6), layer(2, 30, 8, 0.01), layer(1, 9, 4, 0)]) {
      const [given, wanted] = [routine.cpu(input), codecNamed(name).encodeLayer(input)];
      // A number that lies between two levels may go to either.
      const off = given.filter((byte, i) => byte !== wanted[i]);
      expect(off.length).toBeLessThanOrEqual(name === 'int8' ? given.length / 100 : 0);
    }
  });

  test('a chunk’s masses and what goes elsewhere are all of a row’s attention', () => {
    const given = masses(3, [4, 6, 2, 10, 33], { first: 10 });
    const all = chunkMass.cpu({ ...given, chunks: 4 });
    for (let row = 0; row < 4; row++)
      expect(all.subarray(row * 4, row * 4 + 4).reduce((sum, mass) => sum + mass, 0)).toBeCloseTo(1, 6);
  });
});

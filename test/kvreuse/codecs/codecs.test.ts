import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CODEC_NAMES, codecNamed } from '../../../kvreuse/codecs/codec-named.js';
import { KvCodecError, type KvCodec, type LayerKv } from '../../../kvreuse/codecs/kv-codec.js';
import { emptyLayer, layers, relativeError, syntheticLayer } from './synthetic-kv.js';

function roundTrip(codec: KvCodec, layer: LayerKv, salience?: Float32Array): LayerKv {
  const into = emptyLayer(layer);
  codec.decodeLayer(codec.encodeLayer(layer, salience), into);
  return into;
}

/** Bit for bit; of arrays so large that a matcher would take seconds. */
function isSame(a: ArrayBufferView, b: ArrayBufferView): boolean {
  const bytes = ({ buffer, byteOffset, byteLength }: ArrayBufferView) =>
    Buffer.from(buffer, byteOffset, byteLength);
  return bytes(a).equals(bytes(b));
}

function isSameKv(a: LayerKv, b: LayerKv): boolean {
  return isSame(a.keys, b.keys) && isSame(a.values, b.values);
}

function largest(numbers: Float32Array): number {
  return numbers.reduce((most, number) => Math.max(most, Math.abs(number)), 0);
}

/** Whether the codec takes numbers of such magnitudes. */
function takes(codec: KvCodec, { keys, values }: LayerKv): boolean {
  return codec.name !== 'float16' || Math.max(largest(keys), largest(values)) <= 65_504;
}

function errorOf(run: () => unknown): KvCodecError {
  try {
    run();
  } catch (error) {
    if (error instanceof KvCodecError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** What a number may be off by, for the largest of its layer. */
const WORST: Readonly<Record<string, number>> = {
  float32: 0,
  float16: 2 ** -11,
  int8: 0.0045,
  'bit-planes': 0.0045,
  'int4-mixed': 0.07,
  gear: 0.12,
  int4: 0.07,
};
/** Where numbers are so small that their format has no more digits, it is the steps of the format. */
const STEP: Readonly<Record<string, number>> = { float32: 0, float16: 2 ** -25 };

/** For chunks of 100 and 400 tokens of SmolLM2: relative errors of keys and values, and how much smaller than float32. */
const CLAIMS: readonly (readonly [string, keys: number, values: number, ratio: number])[] = [
  ['float32', 0, 0, 1],
  ['float16', 0.0003, 0.0003, 2],
  ['int8', 0.005, 0.0075, 3.9],
  ['bit-planes', 0.005, 0.0075, 3.8],
  ['int4-mixed', 0.07, 0.1, 6],
  ['gear', 0.05, 0.1, 6],
  ['int4', 0.08, 0.11, 7.4],
];

describe('every codec', () => {
  test('is found by its name, and another name is refused with those there are', () => {
    for (const name of CODEC_NAMES) expect(codecNamed(name).name).toBe(name);
    const error = errorOf(() => codecNamed('int7'));
    expect(error.code).toBe('unknown-codec');
    expect(error.message).toContain('int7: there is no such codec; known are float32, float16, int8');
    expect(errorOf(() => codecNamed('constructor')).code).toBe('unknown-codec');
  });

  test.each(CODEC_NAMES)('%s gives back what it was given, within its error, whatever the sizes', (name) => {
    const codec = codecNamed(name);
    fc.assert(
      fc.property(layers, (layer) => {
        fc.pre(takes(codec, layer));
        const bytes = codec.encodeLayer(layer);
        expect(bytes.length).toBe(codec.layerBytes(layer));
        const got = emptyLayer(layer);
        codec.decodeLayer(bytes, got);
        for (const part of ['keys', 'values'] as const) {
          const most = WORST[name]! * largest(layer[part]) + (STEP[name] ?? 2 ** -149);
          const at = layer[part].findIndex((number, i) => !(Math.abs(number - got[part][i]!) <= most));
          if (at >= 0) expect.fail(`${part}[${at}] is ${got[part][at]!} for ${layer[part][at]!}`);
        }
      }),
      { numRuns: 150 },
    );
  });

  test.each(CODEC_NAMES)(
    '%s makes the same bytes of the same layer, and reads them wherever they lie',
    (name) => {
      const codec = codecNamed(name);
      fc.assert(
        fc.property(layers, fc.integer({ min: 0, max: 9 }), (layer, offset) => {
          fc.pre(takes(codec, layer));
          const bytes = codec.encodeLayer(layer);
          expect(isSame(codec.encodeLayer(layer), bytes)).toBe(true);
          const moved = new Uint8Array(bytes.length + offset + 3);
          moved.set(bytes, offset);
          const [here, there] = [emptyLayer(layer), emptyLayer(layer)];
          codec.decodeLayer(bytes, here);
          codec.decodeLayer(moved.subarray(offset, offset + bytes.length), there);
          expect(isSameKv(there, here)).toBe(true);
        }),
        { numRuns: 30 },
      );
    },
  );

  test.each(CODEC_NAMES)('%s keeps what is 0 at 0, and numbers that are all alike', (name) => {
    const layer = syntheticLayer(2, 9, 8);
    layer.keys.fill(0);
    layer.values.fill(0);
    expect(roundTrip(codecNamed(name), layer)).toEqual(layer);
    layer.keys.fill(-3);
    const { keys } = roundTrip(codecNamed(name), layer);
    for (const key of keys) expect(key).toBeCloseTo(-3, 3);
  });

  test.each(CODEC_NAMES)('%s leaves what it encodes as it is', (name) => {
    const layer = syntheticLayer(2, 30, 16);
    codecNamed(name).encodeLayer(layer);
    expect(isSameKv(layer, syntheticLayer(2, 30, 16))).toBe(true);
  });

  test.each(CODEC_NAMES)('%s refuses what is no number, naming the place', (name) => {
    for (const [part, wrong] of [
      ['keys', NaN],
      ['values', Infinity],
      ['keys', -Infinity],
    ] as const) {
      const layer = syntheticLayer(1, 5, 4);
      layer[part][7] = wrong;
      const error = errorOf(() => codecNamed(name).encodeLayer(layer));
      expect(error.code).toBe('not-finite');
      expect(error.message).toContain(`${part}[7] is ${wrong}`);
    }
    const layer = syntheticLayer(1, 5, 4);
    layer.values[3] = 3e38;
    expect(errorOf(() => codecNamed(name).encodeLayer(layer)).code).toBe('range');
  });

  test.each(CODEC_NAMES)('%s refuses sizes that are none, and bytes that are not as many', (name) => {
    const codec = codecNamed(name);
    const layer = syntheticLayer(2, 5, 4);
    const none = { ...layer, tokens: 0, keys: new Float32Array(0), values: new Float32Array(0) };
    expect(errorOf(() => codec.encodeLayer(none)).message).toContain('tokens is 0');
    const odd = { ...layer, headSize: 5, keys: new Float32Array(50), values: new Float32Array(50) };
    expect(errorOf(() => codec.encodeLayer(odd)).message).toContain('headSize is 5');
    expect(errorOf(() => codec.encodeLayer({ ...layer, keys: new Float32Array(39) })).code).toBe('sizes');
    const bytes = codec.encodeLayer(layer);
    for (const wrong of [bytes.subarray(1), new Uint8Array(bytes.length + 1), new Uint8Array(0)])
      expect(
        errorOf(() => {
          codec.decodeLayer(wrong, emptyLayer(layer));
        }).code,
      ).toBe('sizes');
    expect(
      errorOf(() => {
        codec.decodeLayer(bytes, { ...layer, tokens: 4 });
      }).code,
    ).toBe('sizes');
  });

  test.each(CLAIMS)(
    '%s: errors of keys within %d and of values within %d, at least %d times smaller',
    (name, ...claim) => {
      const [keys, values, ratio] = claim;
      for (const tokens of [100, 400]) {
        const layer = syntheticLayer(3, tokens, 64);
        const got = roundTrip(codecNamed(name), layer);
        expect(relativeError(layer.keys, got.keys)).toBeLessThanOrEqual(keys);
        expect(relativeError(layer.values, got.values)).toBeLessThanOrEqual(values);
        expect((8 * layer.keys.length) / codecNamed(name).layerBytes(layer)).toBeGreaterThanOrEqual(ratio);
      }
    },
  );
});

describe('float32 and float16', () => {
  test('float32 gives back the same bits', () => {
    fc.assert(
      fc.property(layers, (layer) => {
        expect(isSameKv(roundTrip(codecNamed('float32'), layer), layer)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test('float16 rounds to the nearest, of two as near to the even one', () => {
    const cases: readonly (readonly [number, number])[] = [
      [1, 1],
      [1 + 2 ** -11, 1],
      [1 + 3 * 2 ** -11, 1 + 2 ** -9],
      [1 + 2 ** -11 + 2 ** -20, 1 + 2 ** -10],
      [2 - 2 ** -12, 2],
      [65_504, 65_504],
      [2 ** -14, 2 ** -14],
      [2 ** -14 - 2 ** -26, 2 ** -14],
      [2 ** -24, 2 ** -24],
      [2 ** -25, 0],
      [3 * 2 ** -25, 2 ** -23],
      [2 ** -25 + 2 ** -40, 2 ** -24],
      [2 ** -60, 0],
    ];
    const numbers = Float32Array.from(cases.flatMap(([number]) => [number, -number]));
    const layer = { kvHeads: 1, tokens: cases.length, headSize: 2, keys: numbers, values: numbers.slice() };
    const { keys, values } = roundTrip(codecNamed('float16'), layer);
    expect([...keys]).toEqual(cases.flatMap(([, rounded]) => [rounded, -rounded]));
    expect(values).toEqual(keys);
  });

  test('float16 keeps each of its own numbers', () => {
    const own = Array.from({ length: 0x7c00 }, (_, half) =>
      half < 1024 ? half * 2 ** -24 : (1 + (half & 1023) / 1024) * 2 ** ((half >> 10) - 15),
    );
    const numbers = Float32Array.from(own);
    const layer = {
      kvHeads: 1,
      tokens: own.length / 2,
      headSize: 2,
      keys: numbers,
      values: numbers.map((x) => -x),
    };
    expect(isSameKv(roundTrip(codecNamed('float16'), layer), layer)).toBe(true);
  });

  test('float16 refuses what it cannot hold', () => {
    const layer = syntheticLayer(1, 3, 2);
    layer.values[2] = -65_600;
    const error = errorOf(() => codecNamed('float16').encodeLayer(layer));
    expect(error.code).toBe('range');
    expect(error.message).toContain('store the chunk as float32');
  });
});

describe('int4-mixed', () => {
  test('reads the salient quarter with 8 bits, the others with 4', () => {
    const tokens = 40;
    const layer = syntheticLayer(2, tokens, 64);
    const salience = Float32Array.from({ length: tokens }, (_, token) => (token % 4 === 2 ? 5 : token / 100));
    const [mixed, planes, upper] = [
      roundTrip(codecNamed('int4-mixed'), layer, salience),
      roundTrip(codecNamed('bit-planes'), layer),
      roundTrip(codecNamed('int4'), layer),
    ];
    for (const part of ['keys', 'values'] as const)
      for (let row = 0; row < 2 * tokens; row++) {
        const of = (from: LayerKv) => from[part].subarray(row * 64, (row + 1) * 64);
        expect(isSame(of(mixed), of((row % tokens) % 4 === 2 ? planes : upper))).toBe(true);
      }
  });

  test('by itself it keeps tokens finer whose keys are short, as that of a sink is', () => {
    const layer = syntheticLayer(1, 40, 16);
    const short = [0, 3, 11, 12, 13, 14, 20, 22, 38, 39];
    for (const token of short) for (let at = token * 16; at < (token + 1) * 16; at++) layer.keys[at]! /= 100;
    const salience = Float32Array.from({ length: 40 }, (_, token) => (short.includes(token) ? 1 : 0));
    const codec = codecNamed('int4-mixed');
    expect(codec.encodeLayer(layer)).toEqual(codec.encodeLayer(layer, salience));
  });

  test('refuses saliences that are not one a token, or no numbers', () => {
    const layer = syntheticLayer(1, 6, 4);
    const encode = (salience: Float32Array) =>
      errorOf(() => codecNamed('int4-mixed').encodeLayer(layer, salience));
    expect(encode(new Float32Array(5)).code).toBe('sizes');
    expect(encode(new Float32Array(6).fill(NaN)).code).toBe('not-finite');
  });
});

describe('gear', () => {
  test('does not let one number coarsen the others', () => {
    const layer = syntheticLayer(1, 100, 64);
    for (let channel = 0; channel < 64; channel++) layer.keys[17 * 64 + channel] = 300 + channel;
    const { keys } = roundTrip(codecNamed('gear'), layer);
    const others = (from: Float32Array) => from.filter((_, at) => at >> 6 !== 17);
    expect(relativeError(others(layer.keys), others(keys))).toBeLessThan(0.05);
    expect(relativeError(layer.keys, keys)).toBeLessThan(0.005);
    const { keys: plain } = roundTrip(codecNamed('int4'), layer);
    expect(relativeError(others(layer.keys), others(plain))).toBeGreaterThan(0.5);
  });
});

describe('degrading', () => {
  test.each(['bit-planes', 'int4-mixed'])('%s becomes what int4 would have made, byte for byte', (name) => {
    const { degraded, ...codec } = codecNamed(name);
    const int4 = codecNamed('int4');
    expect(degraded!.codec).toBe(int4);
    fc.assert(
      fc.property(layers, (layer) => {
        const fewer = degraded!.degradeLayer(codec.encodeLayer(layer), layer);
        expect(isSame(fewer, int4.encodeLayer(layer))).toBe(true);
      }),
      { numRuns: 50 },
    );
  });

  test('the upper plane alone is without bias', () => {
    const { keys, values } = syntheticLayer(3, 400, 64);
    const layer = { kvHeads: 3, tokens: 400, headSize: 64, keys, values };
    const got = roundTrip(codecNamed('int4'), layer);
    for (const part of ['keys', 'values'] as const) {
      const bias = layer[part].reduce((sum, number, at) => sum + got[part][at]! - number, 0) / keys.length;
      expect(Math.abs(bias)).toBeLessThan(0.003);
    }
  });

  test('other codecs have nothing to give up', () => {
    for (const name of ['float32', 'float16', 'int8', 'int4', 'gear'])
      expect(codecNamed(name).degraded).toBeUndefined();
  });
});

import { crc32 } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ChunkKv } from '../../kvreuse/chunk-kv.js';
import {
  degradeRecord,
  encodeRecord,
  memorySource,
  RecordError,
  RecordReader,
  type RecordMeta,
  type RecordSource,
} from '../../kvreuse/chunk-record.js';
import { CODEC_NAMES, codecNamed } from '../../kvreuse/codecs/codec-named.js';
import { relativeError, syntheticLayer } from './codecs/synthetic-kv.js';

const LAYERS = 3;

function chunk(tokens: number, kvHeads = 2, headSize = 8, layers = LAYERS): ChunkKv {
  const kvs = Array.from({ length: layers }, (_, layer) => syntheticLayer(kvHeads, tokens, headSize, layer));
  const joined = (part: 'keys' | 'values') => Float32Array.from(kvs.flatMap((kv) => [...kv[part]]));
  return { dims: { layers, kvHeads, headSize }, tokens, keys: joined('keys'), values: joined('values') };
}

interface TimedMeta extends RecordMeta {
  readonly savedMs: number;
}

function metaOf(tokens: number): TimedMeta {
  return {
    chunkId: 'c0ffee',
    versionId: 'beef',
    fingerprints: { model: 'm', rope: 'r' },
    tokenIds: Array.from({ length: tokens }, (_, i) => 100 + i),
    statistics: { intra: 0.25, inter: [0.5, 0.125], notes: null },
    savedMs: 12.5,
  };
}

async function readAll(bytes: Uint8Array): Promise<ChunkKv> {
  return (await RecordReader.open(memorySource(bytes))).readAll();
}

async function errorOf(run: () => unknown): Promise<RecordError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof RecordError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** The record with other bytes in its header, and a checksum as if they had been written. */
function forged(record: Uint8Array, change: (view: DataView) => void): Uint8Array {
  const bytes = record.slice();
  const view = new DataView(bytes.buffer);
  change(view);
  const header = bytes.subarray(0, view.getUint32(8, true));
  view.setUint32(12, crc32(header.subarray(16), crc32(header.subarray(0, 12))), true);
  return bytes;
}

/** The record with another text in its JSON, as long. */
function respelled(record: Uint8Array, from: string, to: string): Uint8Array {
  return forged(record, ({ buffer }) => {
    const at = Buffer.from(buffer).indexOf(from);
    expect(at).toBeGreaterThan(0);
    Buffer.from(buffer).write(to, at);
  });
}

describe('a record', () => {
  test.each(CODEC_NAMES)('holds what was stored, as %s', async (name) => {
    const kv = chunk(20);
    const reader = await RecordReader.open<TimedMeta>(
      memorySource(encodeRecord(metaOf(20), kv, codecNamed(name))),
    );
    expect(reader.meta).toEqual(metaOf(20));
    expect(reader.codec.name).toBe(name);
    expect(reader.dims).toEqual(kv.dims);
    expect(reader.tokens).toBe(20);
    const got = await reader.readAll();
    expect(got).toMatchObject({ dims: kv.dims, tokens: 20 });
    expect(relativeError(kv.keys, got.keys)).toBeLessThan(0.1);
    expect(relativeError(kv.values, got.values)).toBeLessThan(0.15);
  });

  test('is the same bytes each time', () => {
    const [kv, codec] = [chunk(20), codecNamed('int8')];
    expect(encodeRecord(metaOf(20), kv, codec)).toEqual(encodeRecord(metaOf(20), kv, codec));
  });

  test('is read a layer at a time, each with one read that begins at a multiple of 64', async () => {
    const kv = chunk(33);
    const bytes = encodeRecord(metaOf(33), kv, codecNamed('float32'));
    const reads: [number, number][] = [];
    const source: RecordSource = {
      bytes: bytes.length,
      read(start, end) {
        reads.push([start, end]);
        return Promise.resolve(bytes.slice(start, end));
      },
    };
    const reader = await RecordReader.open(source);
    expect(reads).toEqual([[0, 4096]]);
    const numbers = kv.keys.length / LAYERS;
    const into = reader.room();
    for (const [from, to] of [
      [1, 3],
      [0, 1],
    ] as const) {
      await reader.readLayers({ from, to }, into);
      for (const what of ['keys', 'values'] as const) {
        const range = [from * numbers, to * numbers] as const;
        expect(into[what].subarray(...range)).toEqual(kv[what].subarray(...range));
      }
      // What was not asked for was not touched.
      if (from > 0) expect(into.keys.subarray(0, numbers).every((key) => key === 0)).toBe(true);
    }
    expect(reads).toHaveLength(3);
    for (const [start] of reads) expect(start % 64).toBe(0);
    await expect(reader.readLayers({ from: 0, to: 1 }, chunk(34))).rejects.toThrow('34 tokens of');
    await expect(reader.readLayers({ from: 2, to: 4 }, into)).rejects.toThrow(
      'layers 2 to 4 of a record of 3',
    );
  });

  test('has a header of any length', async () => {
    const kv = chunk(2_000, 1, 2, 1);
    const reader = await RecordReader.open(
      memorySource(encodeRecord(metaOf(2_000), kv, codecNamed('float32'))),
    );
    expect(reader.meta).toEqual(metaOf(2_000));
    expect(await reader.readAll()).toEqual(kv);
  });

  test("keeps each layer's own salient tokens finer, or the same in all", async () => {
    const kv = chunk(8, 1, 64);
    const codec = codecNamed('int4-mixed');
    const finer = async (salience: Float32Array) => {
      const { keys } = await readAll(encodeRecord(metaOf(8), kv, codec, salience));
      return Array.from({ length: LAYERS * 8 }, (_, row) => {
        const [start, end] = [row * 64, (row + 1) * 64];
        return relativeError(kv.keys.subarray(start, end), keys.subarray(start, end)) < 0.004 ? 1 : 0;
      });
    };
    const one = [0, 1, 0, 0, 0, 1, 0, 0];
    expect(await finer(Float32Array.from(one))).toEqual([...one, ...one, ...one]);
    const each = [1, 1, 0, 0, 0, 0, 0, 0, ...one, 0, 0, 0, 0, 0, 0, 1, 1];
    expect(await finer(Float32Array.from(each))).toEqual(each);
  });

  test.each([100, 400])('is as small as its codec promises, for %d tokens of SmolLM2', (tokens) => {
    const kv = chunk(tokens, 3, 64, 30);
    const ids = metaOf(tokens).tokenIds.map((id) => id + 10_000);
    const ratio = (name: string) =>
      (2 * kv.keys.byteLength) /
      encodeRecord({ ...metaOf(tokens), tokenIds: ids }, kv, codecNamed(name)).length;
    expect(ratio('float16')).toBeGreaterThan(1.99);
    expect(ratio('int8')).toBeGreaterThanOrEqual(3.9);
    expect(ratio('int4-mixed')).toBeGreaterThanOrEqual(6);
    expect(ratio('gear')).toBeGreaterThanOrEqual(5.95);
    expect(ratio('int4')).toBeGreaterThanOrEqual(7.4);
  });

  test('is not made of what JSON cannot say, or of other tokens', () => {
    const [kv, codec] = [chunk(4), codecNamed('int8')];
    expect(() => encodeRecord(metaOf(5), kv, codec)).toThrow("give the ids of the chunk's 4 tokens");
    const meta = { ...metaOf(4), statistics: { intra: NaN } };
    expect(() => encodeRecord(meta, kv, codec)).toThrow('meta.statistics');
    expect(() => encodeRecord(metaOf(4), { ...kv, dims: { ...kv.dims, layers: 2 } }, codec)).toThrow(
      RangeError,
    );
    kv.values[9] = NaN;
    expect(() => encodeRecord(metaOf(4), kv, codec)).toThrow('values[9] is NaN');
  });
});

describe('a record that is not as it was written', () => {
  const kv = chunk(7);
  const record = encodeRecord(metaOf(7), kv, codecNamed('int8'));

  test('is found wherever it is cut', async () => {
    for (let length = 0; length < record.length; length++) {
      const { code, message } = await errorOf(() => readAll(record.subarray(0, length)));
      expect(code).toBe('truncated');
      expect(message).toContain('compute the chunk again');
    }
  });

  test('is found where bytes were added', async () => {
    const longer = new Uint8Array(record.length + 1);
    longer.set(record);
    expect((await errorOf(() => readAll(longer))).code).toBe('damaged');
  });

  test('is found whichever bit is another', async () => {
    for (let bit = 0; bit < 8 * record.length; bit++) {
      const bytes = record.slice();
      bytes[bit >> 3]! ^= 1 << (bit & 7);
      const { code } = await errorOf(() => readAll(bytes));
      expect(['damaged', 'truncated']).toContain(code);
    }
  });

  test('is found by whoever degrades it, and no new checksum is put over the damage', async () => {
    const planes = encodeRecord(metaOf(7), kv, codecNamed('bit-planes'));
    const bytes = planes.slice();
    bytes[bytes.length - 70]! ^= 4;
    const error = await errorOf(() => degradeRecord(bytes));
    expect(error.code).toBe('damaged');
    expect(error.message).toContain('layer 2 is not as it was written');
  });

  test('is refused where any bytes stand in its place', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), fc.boolean(), async (any, begins) => {
        const bytes = Uint8Array.from(any);
        if (begins) bytes.set(record.subarray(0, Math.min(bytes.length, 12)));
        await errorOf(() => readAll(bytes));
      }),
    );
  });

  test('tells of another version, of another codec, and that a source has no more', async () => {
    const other = await errorOf(() =>
      readAll(
        forged(record, (view) => {
          view.setUint32(4, 7, true);
        }),
      ),
    );
    expect(other.code).toBe('version');
    expect(other.message).toContain('the record has format 7, this version of ragpress reads 1');
    const codec = await errorOf(() => readAll(respelled(record, '"int8"', '"int9"')));
    expect(codec.code).toBe('unknown-codec');
    expect(codec.message).toContain('"int9"; known are float32');
    const gone: RecordSource = { bytes: record.length, read: () => Promise.resolve(undefined) };
    expect((await errorOf(() => RecordReader.open(gone))).code).toBe('truncated');
  });

  test('takes no memory that its bytes do not stand for, whatever its numbers say', async () => {
    for (const [from, to] of [
      ['"kvHeads":2', '"kvHeads":9'],
      ['"headSize":8', '"headSize":6'],
      ['"layers":3', '"layers":9'],
      ['"chunkId":', '"chunkIx":'],
    ] as const)
      expect((await errorOf(() => RecordReader.open(memorySource(respelled(record, from, to))))).code).toBe(
        'damaged',
      );
    for (const [at, number] of [
      [16, 0xffffffff],
      [20, 0xffffffff],
      [20, 0],
      [24, 0xffffffff],
      [32, 0xffffffff],
    ] as const) {
      const bytes = forged(record, (view) => {
        view.setUint32(at, number, true);
      });
      expect((await errorOf(() => RecordReader.open(memorySource(bytes)))).code).toBe('damaged');
    }
  });
});

describe('degradeRecord', () => {
  test.each(['bit-planes', 'int4-mixed'])('makes of %s the record that int4 would be', async (name) => {
    const kv = chunk(50);
    const fewer = degradeRecord(encodeRecord(metaOf(50), kv, codecNamed(name)))!;
    expect(fewer).toEqual(encodeRecord(metaOf(50), kv, codecNamed('int4')));
    const { keys } = await readAll(fewer);
    expect(relativeError(kv.keys, keys)).toBeLessThan(0.1);
    expect(degradeRecord(fewer)).toBeUndefined();
  });
});

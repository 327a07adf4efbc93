import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ChunkStore } from '../../../kvreuse/store/chunk-store.js';
import type { ChunkStoreOptions } from '../../../kvreuse/store/chunk-store-options.js';
import { ConfigurationError } from '../../../settings/configuration-error.js';
import { isRecordOf, keyOf, readWhole, recordOf } from './records.js';

let folder: string;
const opened: ChunkStore[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ragpress-store-'));
});

afterEach(async () => {
  vi.useRealTimers();
  for (const store of opened.splice(0)) await store.close();
  rmSync(folder, { recursive: true, force: true });
});

async function open(options: ChunkStoreOptions = {}): Promise<ChunkStore> {
  const store = await ChunkStore.open(options);
  opened.push(store);
  return store;
}

const put = (store: ChunkStore, key: string, bytes: number, savedMs = 100, ttlMs?: number) =>
  store.put(key, recordOf(key, bytes), { savedMs, ...(ttlMs !== undefined && { ttlMs }) });

const tiersOf = async (store: ChunkStore, key: string) => (await store.inspect(key))?.tiers;

const [a, b, c, d] = [keyOf(1), keyOf(2), keyOf(3), keyOf(4)] as const;

/** Half of a record, down to 100 bytes: what a codec would do. */
const halve = (record: Uint8Array) =>
  record.byteLength > 100 ? record.subarray(0, record.byteLength / 2) : undefined;

describe('a record', () => {
  test('is read in parts: from RAM in place, from disk by range', async () => {
    const store = await open({ memoryBytes: 1_000, disk: { folder, bytes: 10_000 } });
    const record = recordOf(a, 1_000);
    await store.put(a, record, { savedMs: 5 });
    const inMemory = (await store.lookup(a))!;
    expect({ bytes: inMemory.bytes, tier: inMemory.tier }).toEqual({ bytes: 1_000, tier: 'memory' });
    expect((await inMemory.read(100, 200))!.buffer).toBe(record.buffer);
    await inMemory.close();

    const other = await open({ memoryBytes: 0, disk: { folder, bytes: 10_000 } });
    const onDisk = (await other.lookup(a))!;
    expect({ bytes: onDisk.bytes, tier: onDisk.tier }).toEqual({ bytes: 1_000, tier: 'disk' });
    const parts = await Promise.all([0, 250, 500, 750].map((start) => onDisk.read(start, start + 250)));
    expect(Buffer.concat(parts.map((part) => part!))).toEqual(Buffer.from(record));
    expect(parts.every((part) => part!.byteOffset === 0)).toBe(true);
    await onDisk.close();
    expect(other.speed('disk').bytesPerSecond).toBeGreaterThan(0);
  });

  test.each(['memory', 'disk'])(
    'has no bytes outside of it, and none after it is closed: %s',
    async (tier) => {
      const store = await open({
        memoryBytes: tier === 'memory' ? 1_000 : 0,
        disk: { folder, bytes: 10_000 },
      });
      await put(store, a, 100);
      const handle = (await store.lookup(a))!;
      expect(handle.tier).toBe(tier);
      for (const [start, end] of [
        [-1, 5],
        [0, 101],
        [60, 50],
        [0.5, 5],
        [NaN, 5],
        [0, 2 ** 60],
      ] as const)
        expect(await handle.read(start, end)).toBeUndefined();
      expect(await handle.read(100, 100)).toHaveLength(0);
      await handle.close();
      await handle.close();
      expect(await handle.read(0, 1)).toBeUndefined();
    },
  );

  test('may be empty', async () => {
    const store = await open({ memoryBytes: 0, disk: { folder, bytes: 10_000 } });
    await store.put(a, new Uint8Array(), { savedMs: 1 });
    expect(await readWhole(store, a)).toHaveLength(0);
  });

  test('is a copy where it was part of a larger buffer', async () => {
    const store = await open();
    const larger = Buffer.alloc(10_000);
    await store.put(a, larger.subarray(0, 10), { savedMs: 1 });
    larger.fill(1);
    const handle = (await store.lookup(a))!;
    expect((await handle.read(0, 10))!.buffer.byteLength).toBe(10);
    expect(await readWhole(store, a)).toEqual(new Uint8Array(10));
    await handle.close();
  });

  test('is replaced by a later one', async () => {
    const store = await open({ memoryBytes: 1_000, disk: { folder, bytes: 10_000 } });
    await put(store, a, 500);
    await put(store, a, 300);
    expect(await readWhole(store, a)).toHaveLength(300);
    expect(readdirSync(folder)).toHaveLength(1);
    expect(store.statistics()).toMatchObject({
      bytes: { memory: 300, disk: 364 },
      records: { memory: 1, disk: 1 },
    });
  });

  test('is gone after its time, in RAM, on disk and for the next process', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const options = { memoryBytes: 1_000, disk: { folder, bytes: 10_000 } };
    const store = await open(options);
    await put(store, a, 100, 100, 60_000);
    await put(store, b, 100);
    vi.advanceTimersByTime(59_000);
    expect(await readWhole(store, a)).toHaveLength(100);
    expect(await readWhole(await open({ ...options, memoryBytes: 0 }), a)).toHaveLength(100);
    vi.advanceTimersByTime(1_001);
    expect(await store.inspect(a)).toBeUndefined();
    expect(await readWhole(store, a)).toBeUndefined();
    expect(await readWhole(await open({ ...options, memoryBytes: 0 }), a)).toBeUndefined();
    expect(readdirSync(folder)).toHaveLength(1);
    expect(await readWhole(store, b)).toHaveLength(100);
  });
});

describe('memory', () => {
  test('keeps what saves more', async () => {
    const store = await open({ memoryBytes: 300 });
    await put(store, a, 100, 10);
    await put(store, b, 100, 1_000);
    await put(store, c, 100, 20);
    store.used(c, 50);
    await put(store, d, 100, 40);
    expect(await store.keys()).toEqual([b, c, d].sort());
    expect(store.statistics()).toMatchObject({ evicted: 1, bytes: { memory: 300 } });
  });

  test('takes no record that is worth less than what it would displace', async () => {
    const store = await open({ memoryBytes: 300 });
    for (const key of [a, b, c]) await put(store, key, 100, 1_000);
    await put(store, d, 100, 10);
    expect(await store.keys()).toEqual([a, b, c].sort());
    await put(store, d, 400, 1e9);
    expect(store.statistics()).toMatchObject({ evicted: 0, turnedAway: { memory: 2 } });
  });

  test('gives up a smaller version first, then the record', async () => {
    const store = await open({ memoryBytes: 400, degrade: halve });
    for (const key of [a, b]) await put(store, key, 200, 100);
    await put(store, c, 200, 100_000);
    expect([await readWhole(store, a), await readWhole(store, b)].map((bytes) => bytes?.length)).toEqual([
      100, 100,
    ]);
    expect(store.statistics()).toMatchObject({ degraded: 2, evicted: 0, bytes: { memory: 400 } });
    await put(store, d, 200, 100_000);
    expect(await store.keys()).toEqual([c, d].sort());
    expect(store.statistics()).toMatchObject({ degraded: 2, evicted: 2 });
  });

  test('a degrader that throws, or makes it no smaller, counts as none', async () => {
    const degrade = vi.fn((record: Uint8Array) => {
      if (record.byteLength === 200) throw new Error('of its content');
      return record;
    });
    const store = await open({ memoryBytes: 400, degrade });
    await put(store, a, 200);
    await put(store, b, 150);
    await put(store, c, 400, 1e9);
    expect(degrade).toHaveBeenCalledTimes(2);
    expect(await store.keys()).toEqual([c]);
    expect(store.statistics()).toMatchObject({ degraded: 0, evicted: 2, errors: { memory: 1 } });
    expect(JSON.stringify(store.statistics())).not.toContain('content');
  });

  test('does not give up what somebody reads, and counts it until it is closed', async () => {
    const store = await open({ memoryBytes: 200 });
    await put(store, a, 200);
    const handle = (await store.lookup(a))!;
    await put(store, b, 100, 1e9);
    expect(await store.keys()).toEqual([a]);
    await store.delete(a);
    expect(store.statistics().bytes.memory).toBe(200);
    await put(store, b, 100, 1e9);
    expect(await store.keys()).toEqual([]);
    expect(isRecordOf(a, (await handle.read(0, 200))!)).toBe(true);
    await handle.close();
    await put(store, b, 100, 1e9);
    expect(await store.keys()).toEqual([b]);
    expect(store.statistics().bytes.memory).toBe(100);
  });
});

describe('memory and disk', () => {
  test('a record leaves RAM as it is when it is on disk, and comes back when it is read often', async () => {
    const store = await open({ memoryBytes: 300, disk: { folder, bytes: 10_000 }, degrade: halve });
    await put(store, a, 300);
    await put(store, b, 300, 200);
    expect(await tiersOf(store, a)).toEqual(['disk']);
    expect(await tiersOf(store, b)).toEqual(['memory', 'disk']);
    expect(store.statistics()).toMatchObject({ demoted: 1, degraded: 0, evicted: 0 });
    store.used(a, 1_000);
    expect(await readWhole(store, a)).toHaveLength(300);
    expect(await tiersOf(store, a)).toEqual(['disk']);
    expect(await readWhole(store, a)).toHaveLength(300);
    await vi.waitFor(async () => {
      expect(await tiersOf(store, a)).toEqual(['memory', 'disk']);
    });
    expect(isRecordOf(a, (await readWhole(store, a))!)).toBe(true);
    expect(store.statistics()).toMatchObject({ hits: { memory: 1, disk: 2 }, promoted: 1, demoted: 2 });
  });

  test('a record that is deleted on its way to RAM does not arrive', async () => {
    const store = await open({ memoryBytes: 3_000_000, disk: { folder, bytes: 10_000_000 } });
    const writer = await open({ memoryBytes: 0, disk: { folder, bytes: 10_000_000 } });
    await put(writer, a, 3_000_000);
    for (let count = 0; count < 2; count++) await (await store.lookup(a))!.close();
    await store.refuse(a, 'checksum');
    await sleep(100);
    expect(await store.inspect(a)).toBeUndefined();
    expect(store.statistics()).toMatchObject({ promoted: 0, refused: { checksum: 1 }, bytes: { memory: 0 } });
  });

  test('on disk a smaller version is given up first, too', async () => {
    const bytes = 3 * 264;
    const store = await open({ memoryBytes: 0, disk: { folder, bytes }, degrade: halve });
    for (const key of [a, b, c]) await put(store, key, 200, 100);
    await put(store, d, 200, 1_000);
    expect(
      [await readWhole(store, a), await readWhole(store, b), await readWhole(store, c)]
        .map((each) => each?.length)
        .sort(),
    ).toEqual([100, 100, 100]);
    expect(await readWhole(store, d)).toHaveLength(200);
    expect(store.statistics()).toMatchObject({ degraded: 3, evicted: 0 });
    await put(store, keyOf(5), 400, 1e6);
    expect(await readWhole(store, keyOf(5))).toHaveLength(400);
    expect(store.statistics().bytes.disk).toBeLessThanOrEqual(bytes);
  });

  test('a record that is on its way to disk is neither made smaller nor written twice', async () => {
    const store = await open({ memoryBytes: 200, disk: { folder, bytes: 10_000 }, degrade: halve });
    await Promise.all([put(store, a, 200), put(store, b, 200, 1e6)]);
    for (const key of [a, b]) expect(await readWhole(store, key)).toHaveLength(200);
    expect(store.statistics()).toMatchObject({ degraded: 0, demoted: 0, turnedAway: { memory: 1 } });
  });

  test('disk does not give up what somebody reads', async () => {
    const store = await open({ memoryBytes: 0, disk: { folder, bytes: 400 } });
    await put(store, a, 200);
    const handle = (await store.lookup(a))!;
    await put(store, b, 200, 1e9);
    expect(await store.keys()).toEqual([a]);
    await handle.close();
    await put(store, b, 200, 1e9);
    expect(await store.keys()).toEqual([b]);
  });

  test('a record that RAM does not take is on disk alone', async () => {
    const store = await open({ memoryBytes: 100, disk: { folder, bytes: 10_000 } });
    await put(store, a, 101);
    expect(await tiersOf(store, a)).toEqual(['disk']);
  });
});

describe('pins', () => {
  test('hold in RAM and on disk, for as long as they last', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const store = await open({ memoryBytes: 100, disk: { folder, bytes: 164 }, degrade: halve });
    store.pin(a, 60_000);
    await put(store, a, 100, 1);
    await put(store, b, 100, 1e9);
    expect(await store.keys()).toEqual([a]);
    expect(await tiersOf(store, a)).toEqual(['memory', 'disk']);
    expect((await store.inspect(a))!.pinnedUntil).toBe(Date.now() + 60_000);
    expect(store.statistics()).toMatchObject({ turnedAway: { memory: 1, disk: 1 } });
    vi.advanceTimersByTime(60_000);
    expect((await store.inspect(a))!.pinnedUntil).toBeUndefined();
    await put(store, b, 100, 1e9);
    expect(await store.keys()).toEqual([b]);
  });

  test('make room for what comes later, whatever it displaces, and end with unpin', async () => {
    const store = await open({ memoryBytes: 100 });
    await put(store, a, 100, 1e9);
    store.pin(b);
    await put(store, b, 100, 1);
    expect(await store.keys()).toEqual([b]);
    store.unpin(b);
    await put(store, a, 100, 1e9);
    expect(await store.keys()).toEqual([a]);
  });

  test('do not keep a record from being deleted', async () => {
    const store = await open();
    store.pin(a);
    await put(store, a, 100);
    expect(await store.delete(a)).toBe(true);
    expect(await store.delete(a)).toBe(false);
    expect(await store.keys()).toEqual([]);
  });
});

describe('management', () => {
  test('versions of a chunk are listed, inspected and deleted together', async () => {
    const store = await open({ memoryBytes: 250, disk: { folder, bytes: 10_000 } });
    const versions = [keyOf(1, 1), keyOf(1, 2), keyOf(1, 3)];
    for (const key of [...versions, b]) await put(store, key, 100);
    const chunk = a.slice(0, a.indexOf('/') + 1);
    expect(await store.keys(chunk)).toEqual(versions);
    expect(await store.keys()).toHaveLength(4);
    expect(await store.keys('', ['memory'])).toHaveLength(2);
    expect(await store.inspect(versions[2]!)).toEqual({
      key: versions[2],
      bytes: 100,
      tiers: ['memory', 'disk'],
      expires: Infinity,
      worthMs: 100,
      pinnedUntil: undefined,
    });
    expect(await store.deleteAll(chunk)).toBe(3);
    expect(await store.keys()).toEqual([b]);
    expect(readdirSync(folder)).toHaveLength(1);
    expect(await store.deleteAll('')).toBe(1);
    expect(await store.inspect(b)).toBeUndefined();
  });

  test('a record that is refused is deleted and counted by reason, of which there are not too many', async () => {
    const store = await open({ memoryBytes: 1_000, disk: { folder, bytes: 10_000 } });
    await put(store, a, 100);
    await store.refuse(a, 'checksum');
    await store.refuse(a, '__proto__');
    for (let reason = 0; reason < 100; reason++) await store.refuse(a, `reason ${reason}`);
    expect(await readWhole(store, a)).toBeUndefined();
    const { refused, misses } = store.statistics();
    expect(Object.entries(refused)).toEqual(
      expect.arrayContaining([
        ['checksum', 1],
        ['__proto__', 1],
        ['other', 38],
      ]),
    );
    expect(misses).toBe(1);
  });

  test('what is no key is refused, and reaches no file', async () => {
    const store = await open({ disk: { folder: join(folder, 'inner'), bytes: 10_000 } });
    for (const key of [
      '../../x',
      'a/../b',
      'a',
      '/',
      'a/',
      'A/B',
      'a/b/c',
      'a\0/b',
      `${'a'.repeat(65)}/b`,
      '',
    ]) {
      await expect(store.put(key, new Uint8Array(1), { savedMs: 1 })).rejects.toThrow(ConfigurationError);
      await expect(store.lookup(key)).rejects.toThrow(ConfigurationError);
    }
    await expect(store.deleteAll('../')).rejects.toThrow(ConfigurationError);
    expect(() => {
      store.pin(a, NaN);
    }).toThrow(ConfigurationError);
    expect(readdirSync(folder)).toEqual(['inner']);
    expect(readdirSync(join(folder, 'inner'))).toEqual([]);
  });

  test('savings that are no numbers count as none', async () => {
    const store = await open({ memoryBytes: 100 });
    await put(store, a, 100, NaN);
    store.used(a, -Infinity);
    expect((await store.inspect(a))!.worthMs).toBe(0);
    await put(store, b, 100, 1);
    expect(await store.keys()).toEqual([b]);
  });

  test('savings and times without end are kept as such', async () => {
    const store = await open({ memoryBytes: 0, disk: { folder, bytes: 10_000 } });
    await put(store, a, 100, Infinity, Infinity);
    await put(store, b, 100, 1e300, 1e300);
    await put(store, c, 100, 100, NaN);
    const next = await open({ memoryBytes: 0, disk: { folder, bytes: 10_000 } });
    expect(await next.keys()).toEqual([a, b].sort());
    for (const key of [a, b]) {
      expect(await readWhole(next, key)).toHaveLength(100);
      expect(await next.inspect(key)).toMatchObject({ expires: Infinity, worthMs: Number.MAX_SAFE_INTEGER });
    }
  });

  test('Redis’s client is loaded only where Redis is configured', async () => {
    await open({ disk: { folder, bytes: 10_000 } });
    const isLoaded = () =>
      Object.keys(createRequire(import.meta.url).cache).some((path) => path.includes('ioredis'));
    expect(isLoaded()).toBe(false);
    // Nothing listens there.
    await open({ redis: { url: 'redis://127.0.0.1:1' } });
    expect(isLoaded()).toBe(true);
  });

  test('a store that is closed finds nothing and takes nothing', async () => {
    const store = await open({ disk: { folder, bytes: 10_000 } });
    await put(store, a, 100);
    await store.close();
    expect(await store.lookup(a)).toBeUndefined();
    await put(store, b, 100);
    expect(readdirSync(folder)).toHaveLength(1);
  });
});

describe('settings that cannot work', () => {
  test.each([
    [{ memoryBytes: -1 }, 'store.memoryBytes'],
    [{ memoryBytes: 1.5 }, 'store.memoryBytes'],
    [{ disk: { folder: '', bytes: 1 } }, 'store.disk.folder'],
    [{ disk: { folder: 'x', bytes: 0 } }, 'store.disk.bytes'],
    [{ disc: {} }, 'store.disc'],
    [{ degrade: 1 }, 'store.degrade'],
    [{ redis: { url: 'redis://:secret@host', ttlSeconds: 0 } }, 'store.redis.ttlSeconds'],
    [{ redis: { url: 'http://user:secret@host' } }, 'store.redis.url'],
    [{ redis: { url: 'redis://:sec/secret@host:port:x' } }, 'store.redis.url'],
    [{ redis: { url: ':secret@host:6379' } }, 'store.redis.url'],
    [{ redis: 'redis://:secret@host' }, 'store.redis'],
    [{ redis: [{ url: 'redis://:secret@host' }] }, 'store.redis'],
    [{ redisUrl: 'redis://host?password=secret' }, 'store.redisUrl'],
    [{ redis: { uri: 'redis://user:secret@host' } }, 'store.redis.url'],
  ])('%j', async (options, field) => {
    const error = await ChunkStore.open(options as ChunkStoreOptions).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(ConfigurationError);
    expect((error as ConfigurationError).field).toBe(field);
    expect(`${(error as Error).message} ${JSON.stringify(error)}`).not.toContain('secret');
  });
});

/** Sizes, keys and operations that meet each other often. */
const operation = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      chunk: fc.nat(7),
      bytes: fc.integer({ min: 1, max: 700 }),
      savedMs: fc.nat(1_000),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('read' as const), chunk: fc.nat(7) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'hold' as const,
        'used' as const,
        'pin' as const,
        'unpin' as const,
        'delete' as const,
      ),
      chunk: fc.nat(7),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom('release' as const, 'reopen' as const),
      chunk: fc.constant(0),
    }),
  },
);

describe('any sequence of operations, several at once', () => {
  const memoryBytes = 1_000;
  const diskBytes = 1_600;

  const filesOf = (folder: string) =>
    readdirSync(folder).reduce(
      (sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0),
      0,
    );

  test.each([
    ['memory', {}],
    ['disk', { disk: true }],
    ['disk, degrading', { disk: true, degrade: true }],
    ['memory, degrading', { degrade: true }],
  ] as const)(
    'keeps the bounds, what is pinned and what was put: %s',
    async (_, parts) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.array(operation, { minLength: 1, maxLength: 5 }), { maxLength: 12 }),
          async (steps) => {
            const place = mkdtempSync(join(folder, 'run-'));
            const options: ChunkStoreOptions = {
              memoryBytes,
              ...('disk' in parts && { disk: { folder: place, bytes: diskBytes } }),
              ...('degrade' in parts && { degrade: halve }),
            };
            let store = await ChunkStore.open(options);
            const held: { close(): Promise<void> }[] = [];
            const pinned = new Set<string>();
            const run = async ({ kind, chunk, ...more }: (typeof steps)[number][number]) => {
              const key = keyOf(chunk);
              // The first byte is the chunk, whatever was cut off.
              if (kind === 'put' && 'bytes' in more)
                await store.put(key, new Uint8Array(more.bytes).fill(chunk), { savedMs: more.savedMs });
              else if (kind === 'read') {
                const bytes = await readWhole(store, key);
                if (bytes) expect(bytes.every((byte) => byte === chunk)).toBe(true);
              } else if (kind === 'hold') {
                const handle = await store.lookup(key);
                if (handle) held.push(handle);
              } else if (kind === 'used') store.used(key, 500);
              else if (kind === 'unpin') {
                pinned.delete(key);
                store.unpin(key);
              } else if (kind === 'delete') {
                pinned.delete(key);
                store.unpin(key);
                await store.delete(key);
              }
            };
            for (const step of steps) {
              const pins = step.filter(({ kind }) => kind === 'pin').map(({ chunk }) => keyOf(chunk));
              for (const key of pins) {
                store.pin(key);
                if (await store.inspect(key)) pinned.add(key);
              }
              await Promise.all(step.map(run));
              // Where a put of a pinned key ran, it may have found no room beside other pins: it is put, not evicted.
              for (const { kind, chunk } of step) if (kind === 'put') pinned.delete(keyOf(chunk));
              for (const { kind } of step) {
                if (kind === 'release') await Promise.all(held.splice(0).map((handle) => handle.close()));
                if (kind !== 'reopen') continue;
                await Promise.all(held.splice(0).map((handle) => handle.close()));
                await store.close();
                store = await ChunkStore.open(options);
                pinned.clear();
              }
              const { bytes } = store.statistics();
              const listed = await Promise.all(
                (await store.keys('', ['memory'])).map(async (key) => (await store.inspect(key))?.bytes ?? 0),
              );
              expect(bytes.memory).toBeLessThanOrEqual(memoryBytes);
              expect(listed.reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(bytes.memory);
              expect(filesOf(place)).toBeLessThanOrEqual(diskBytes);
              for (const key of pinned) expect(await store.inspect(key)).toBeDefined();
            }
            await Promise.all(held.map((handle) => handle.close()));
            await store.close();
            expect(store.statistics().errors).toEqual({ memory: 0, disk: 0, redis: 0 });
            expect(readdirSync(place).filter((name) => name.endsWith('.tmp'))).toEqual([]);
            rmSync(place, { recursive: true });
          },
        ),
        { numRuns: 40 },
      );
    },
    120_000,
  );
});

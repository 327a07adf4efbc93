import { Redis } from 'ioredis';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { ChunkStore } from '../../../kvreuse/store/chunk-store.js';
import type { ChunkStoreOptions } from '../../../kvreuse/store/chunk-store-options.js';
import { hasRedis, PASSWORD, RedisServer } from './redis-server.js';
import { isRecordOf, keyOf, readWhole, recordOf } from './records.js';

const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function start(...args: string[]): Promise<RedisServer> {
  const server = await RedisServer.start(...args);
  opened.push(server);
  return server;
}

async function open(
  url: string,
  redis: Partial<ChunkStoreOptions['redis']> = {},
  options: ChunkStoreOptions = { memoryBytes: 0 },
): Promise<ChunkStore> {
  const store = await ChunkStore.open({ ...options, redis: { url, timeoutMs: 200, ...redis } });
  opened.push(store);
  return store;
}

/** A store whose connections stand: what is not there is not waited for. */
async function openConnected(
  server: RedisServer,
  redis: Partial<ChunkStoreOptions['redis']> = {},
  options?: ChunkStoreOptions,
) {
  const store = await open(server.url, redis, options);
  const key = keyOf(1_000);
  await vi.waitFor(
    async () => {
      await put(store, key, 1);
      expect(await store.keys(key, ['redis'])).toEqual([key]);
    },
    { timeout: 10_000, interval: 20 },
  );
  await store.delete(key);
  await vi.waitFor(async () => {
    expect(await store.keys('', ['redis'])).not.toContain(key);
  });
  return store;
}

function client(server: RedisServer): Redis {
  const redis = new Redis(server.url);
  opened.push({
    close: () => {
      redis.disconnect();
      return Promise.resolve();
    },
  });
  return redis;
}

const put = (store: ChunkStore, key: string, bytes: number, ttlMs?: number) =>
  store.put(key, recordOf(key, bytes), { savedMs: 100, ...(ttlMs !== undefined && { ttlMs }) });

/** Redis is written in the background. */
async function isFound(store: ChunkStore, key: string): Promise<void> {
  await vi.waitFor(
    async () => {
      expect(await store.inspect(key)).toBeDefined();
    },
    { timeout: 10_000, interval: 50 },
  );
}

const elapsed = async (work: () => Promise<unknown>) => {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
};

const [a, b, c] = [keyOf(1), keyOf(2), keyOf(3)] as const;

// Debian's package redis-server; .ci/run installs it.
describe.skipIf(!hasRedis)('Redis (needs redis-server)', () => {
  test('a record of one machine is found by another, in ranges', async () => {
    const server = await start();
    const [one, other] = [await openConnected(server), await openConnected(server)];
    expect(await other.lookup(a)).toBeUndefined();
    await put(one, a, 5_000_000);
    await isFound(other, a);
    const handle = (await other.lookup(a))!;
    expect({ bytes: handle.bytes, tier: handle.tier }).toEqual({ bytes: 5_000_000, tier: 'redis' });
    const record = recordOf(a, 5_000_000);
    expect(await handle.read(1_000_000, 1_100_000)).toEqual(
      Buffer.from(record.subarray(1_000_000, 1_100_000)),
    );
    expect(await handle.read(4_999_999, 5_000_000)).toHaveLength(1);
    expect(await handle.read(5, 5)).toHaveLength(0);
    expect(await handle.read(4_999_999, 5_000_001)).toBeUndefined();
    await handle.close();
    expect(await handle.read(0, 1)).toBeUndefined();
    expect(await other.inspect(a)).toMatchObject({ bytes: 5_000_000, tiers: ['redis'], worthMs: 100 });
    expect(other.speed('redis').bytesPerSecond).toBeGreaterThan(0);
    expect(other.statistics()).toMatchObject({ hits: { redis: 1 }, misses: 1 });
  });

  test('one key a record, with its prefix, and its time to live', async () => {
    const server = await start();
    const store = await openConnected(server, { prefix: 'test:[*]:', ttlSeconds: 100 });
    const redis = client(server);
    await redis.set('test:x:unrelated', 'stays');
    await put(store, a, 100);
    await put(store, b, 100, 20_000);
    await isFound(store, b);
    expect((await redis.keys('*')).sort()).toEqual(
      [`test:[*]:${a}`, `test:[*]:${b}`, 'test:x:unrelated'].sort(),
    );
    expect(await redis.pttl(`test:[*]:${a}`)).toBeGreaterThan(90_000);
    expect(await redis.pttl(`test:[*]:${b}`)).toBeLessThanOrEqual(20_000);
    expect(await store.keys('', ['redis'])).toEqual([a, b].sort());
    expect(await store.keys()).toEqual([]);
    expect(await store.keys(a.slice(0, 20), ['redis'])).toEqual([a]);
    await store.deleteAll('');
    await vi.waitFor(async () => {
      expect(await redis.keys('*')).toEqual(['test:x:unrelated']);
    });
  });

  test('what is in RAM or on disk is not asked for; what is read often comes to RAM', async () => {
    const server = await start();
    await put(await openConnected(server), a, 1_000);
    const store = await openConnected(server, {}, { memoryBytes: 10_000 });
    await isFound(store, a);
    for (let count = 0; count < 2; count++) expect(await readWhole(store, a)).toHaveLength(1_000);
    await vi.waitFor(async () => {
      expect((await store.inspect(a))?.tiers).toEqual(['memory']);
    });
    await server.kill();
    expect(isRecordOf(a, (await readWhole(store, a))!)).toBe(true);
    expect(store.statistics()).toMatchObject({ hits: { redis: 2, memory: 1 }, promoted: 1 });
  });

  test('larger records are not sent', async () => {
    const server = await start();
    const store = await openConnected(server, { maxRecordBytes: 1_000 });
    const before = store.statistics().turnedAway.redis;
    await put(store, a, 1_001);
    await put(store, b, 1_000);
    await isFound(store, b);
    expect(await store.inspect(a)).toBeUndefined();
    expect(store.statistics().turnedAway.redis - before).toBe(1);
  });

  test('a value that is not ours, or was cut, is refused, counted and deleted', async () => {
    const server = await start();
    const store = await openConnected(server);
    const redis = client(server);
    await put(store, a, 1_000);
    await isFound(store, a);
    const value = await redis.getBuffer(`ragpress:kv:${a}`);
    await redis.set(`ragpress:kv:${a}`, value!.subarray(0, 500));
    await redis.set(`ragpress:kv:${b}`, value!);
    await redis.lpush(`ragpress:kv:${c}`, 'a list');
    expect(await store.lookup(a)).toBeUndefined();
    expect(await store.lookup(b)).toBeUndefined();
    expect(store.statistics().refused).toEqual({ cut: 1, foreign: 1 });
    expect(await store.lookup(c)).toBeUndefined();
    await vi.waitFor(async () => {
      expect(await redis.exists(`ragpress:kv:${a}`, `ragpress:kv:${b}`)).toBe(0);
    });
  });

  test('a record that is replaced or deleted while it is read has no more bytes', async () => {
    const server = await start();
    const [store, other] = [await openConnected(server), await openConnected(server)];
    await put(store, a, 1_000);
    await put(store, b, 1_000);
    await isFound(store, b);
    const [first, second] = [(await store.lookup(a))!, (await store.lookup(b))!];
    await put(other, a, 1_000);
    await other.delete(b);
    await other.close();
    expect(await first.read(0, 10)).toBeUndefined();
    expect(await second.read(0, 10)).toBeUndefined();
    expect(await readWhole(store, a)).toHaveLength(1_000);
  });

  test('requests go on when it is killed in the middle, and it is used again when it is back', async () => {
    const server = await start();
    const store = await openConnected(server, {}, { memoryBytes: 10_000 });
    await put(store, a, 1_000);
    await put(await openConnected(server), b, 1_000_000);
    await isFound(store, b);
    const handle = (await store.lookup(b))!;
    const reads = Array.from({ length: 50 }, (_, index) => handle.read(index * 10, index * 10 + 1_000));
    const killed = server.kill();
    const outcomes = await Promise.all(reads);
    expect(outcomes.every((bytes) => bytes === undefined || bytes.length === 1_000)).toBe(true);
    await killed;
    expect(await handle.read(0, 1_000)).toBeUndefined();

    const lookups = await elapsed(() => Promise.all(Array.from({ length: 50 }, () => store.lookup(c))));
    expect(lookups).toBeLessThan(1_500);
    expect(isRecordOf(a, (await readWhole(store, a))!)).toBe(true);
    expect(await elapsed(() => put(store, c, 1_000))).toBeLessThan(500);
    expect(isRecordOf(c, (await readWhole(store, c))!)).toBe(true);
    await vi.waitFor(() => {
      expect(store.statistics().lastError.redis).toBe('ECONNREFUSED');
    });

    await server.start();
    await vi.waitFor(
      async () => {
        await put(store, a, 1_000);
        expect(await store.keys('', ['redis'])).toContain(a);
      },
      { timeout: 15_000, interval: 100 },
    );
  });

  test('one that does not answer delays a request once, by the timeout, and is left alone for a while', async () => {
    const server = await start();
    const store = await openConnected(server, { timeoutMs: 500 });
    await put(store, a, 1_000);
    await isFound(store, a);
    const handle = (await store.lookup(a))!;
    server.signal('SIGSTOP');
    const first = await elapsed(async () => {
      const [record, bytes] = await Promise.all([store.lookup(a), handle.read(0, 10)]);
      expect([record, bytes]).toEqual([undefined, undefined]);
    });
    expect(first).toBeGreaterThan(490);
    expect(first).toBeLessThan(1_400);
    expect(await elapsed(() => store.lookup(a))).toBeLessThan(400);
    expect(await elapsed(() => put(store, b, 1_000))).toBeLessThan(400);
    expect(store.statistics().lastError.redis).toBe('TIMEOUT');
    server.signal('SIGCONT');
    await isFound(store, a);
  });

  test('one that does not answer while it is written to holds nothing up', async () => {
    const server = await start();
    const store = await openConnected(server, {}, { memoryBytes: 300e6 });
    const before = store.statistics().turnedAway.redis;
    server.signal('SIGSTOP');
    const taken = await elapsed(async () => {
      for (let chunk = 0; chunk < 10; chunk++)
        await store.put(keyOf(chunk), new Uint8Array(20_000_000), { savedMs: 100 });
    });
    expect(taken).toBeLessThan(5_000);
    // 64 MiB may wait.
    expect(store.statistics().turnedAway.redis - before).toBe(7);
    server.signal('SIGCONT');
    await store.close();
  });

  test('one that is not there at the start is tried again', async () => {
    const server = await start();
    await server.kill();
    let store: ChunkStore | undefined;
    expect(
      await elapsed(async () => {
        store = await open(server.url);
      }),
    ).toBeLessThan(3_000);
    expect(await store!.lookup(a)).toBeUndefined();
    expect(store!.statistics().errors.redis).toBeGreaterThan(0);
    await server.start();
    await vi.waitFor(
      async () => {
        await put(store!, a, 1_000);
        expect(await store!.inspect(a)).toBeDefined();
      },
      { timeout: 15_000, interval: 100 },
    );
  });

  test('one that has no memory left refuses a record: counted, and still read', async () => {
    const server = await start('--maxmemory', '6mb', '--maxmemory-policy', 'noeviction');
    const store = await openConnected(server);
    for (let chunk = 0; chunk < 9; chunk++) await put(store, keyOf(chunk), 1_000_000);
    await vi.waitFor(() => {
      expect(store.statistics().lastError.redis).toBe('OOM');
    });
    expect(await readWhole(store, keyOf(0))).toHaveLength(1_000_000);
  });

  test('a wrong password is an error by its code, and is told nowhere', async () => {
    const server = await start();
    const printed = [vi.spyOn(console, 'error'), vi.spyOn(console, 'warn'), vi.spyOn(console, 'log')];
    const store = await open(server.url.replace(PASSWORD, 'wrong-one'));
    await put(store, a, 100);
    expect(await store.lookup(a)).toBeUndefined();
    await vi.waitFor(() => {
      expect(store.statistics().lastError.redis).toBe('WRONGPASS');
    });
    const statistics = store.statistics();
    expect(JSON.stringify(statistics)).not.toContain('wrong-one');
    for (const print of printed) expect(JSON.stringify(print.mock.calls)).not.toContain('wrong-one');
  });
});

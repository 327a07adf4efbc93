import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ChunkStore } from '../../../kvreuse/store/chunk-store.js';
import type { ChunkStoreOptions } from '../../../kvreuse/store/chunk-store-options.js';
import { ConfigurationError } from '../../../settings/configuration-error.js';
import { isRecordOf, keyOf, readWhole, recordOf } from './records.js';
import { canMount, mountSmallDisk, type SmallDisk } from './small-disk.js';
import { StoreProcess, type Task } from './store-process.js';

let folder: string;
let disk: SmallDisk | undefined;
const opened: ChunkStore[] = [];
const processes: StoreProcess[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ragpress-store-'));
});

afterEach(async () => {
  for (const process of processes.splice(0)) await process.kill();
  for (const store of opened.splice(0)) await store.close();
  disk?.close();
  disk = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function open(bytes = 100_000, options: ChunkStoreOptions = {}, place = folder): Promise<ChunkStore> {
  const store = await ChunkStore.open({ memoryBytes: 0, disk: { folder: place, bytes }, ...options });
  opened.push(store);
  return store;
}

function begin(task: Partial<Task>, limit?: number): StoreProcess {
  const process = new StoreProcess(
    { folder, bytes: 1e9, sizes: [100_000], chunks: [1, 2, 3], puts: 10, reads: false, ...task },
    limit,
  );
  processes.push(process);
  return process;
}

const put = (store: ChunkStore, key: string, bytes: number, savedMs = 100) =>
  store.put(key, recordOf(key, bytes), { savedMs });

const [a, b, c] = [keyOf(1), keyOf(2), keyOf(3)] as const;
const numbers = (count: number) => Array.from({ length: count }, (_, index) => index);

describe('the next start', () => {
  test('finds what was stored, by the names alone', async () => {
    const store = await open();
    for (const [index, key] of [a, b, c].entries()) await put(store, key, 1_000, 10 ** index);
    await store.close();
    const next = await open();
    expect(await next.keys()).toEqual([a, b, c].sort());
    expect(await next.inspect(b)).toMatchObject({ bytes: 1_000, worthMs: 10, tiers: ['disk'] });
    for (const key of [a, b, c]) expect(isRecordOf(key, (await readWhole(next, key))!)).toBe(true);
  });

  test('gives up the least valuable where the bound is lower', async () => {
    const store = await open();
    for (const [index, key] of [a, b, c].entries()) await put(store, key, 1_000, 10 ** index);
    const next = await open(2_200);
    expect(await next.keys()).toEqual([b, c].sort());
    expect(next.statistics()).toMatchObject({ evicted: 1, bytes: { disk: 2_128 } });
  });

  test('removes what dead writers left, and nothing else', async () => {
    const store = await open();
    await put(store, a, 1_000);
    const [name] = readdirSync(folder);
    const host = await announcedName();
    const stem = name!.slice(0, name!.indexOf('.'));
    const dead = `${stem}.rs.${host}-4194999-0123456789abcdef.tmp`;
    const alive = `${stem}.rs.${host}-${process.ppid}-0123456789abcdef.tmp`;
    const elsewhere = `${stem}.rs.00000000-1-0123456789abcdef.tmp`;
    const longAgo = `${stem}.rs.00000000-2-0123456789abcdef.tmp`;
    const ofAnEarlierLife = `${stem}.rs.${host}-${process.pid}-0123456789abcdef.tmp`;
    for (const file of [dead, alive, elsewhere, longAgo, ofAnEarlierLife, 'notes.txt', 'x.kv'])
      writeFileSync(join(folder, file), 'half');
    for (const file of [longAgo, ofAnEarlierLife]) utimesSync(join(folder, file), 1e9, 1e9);
    await open();
    expect(readdirSync(folder).sort()).toEqual([name!, alive, elsewhere, 'notes.txt', 'x.kv'].sort());
  });

  /** This host, as names of files tell it: caught while one is written. */
  async function announcedName(): Promise<string> {
    const place = join(folder, 'caught');
    const store = await open(10e6, {}, place);
    const writing = put(store, a, 4e6);
    let name: string | undefined;
    while (!name) {
      await sleep(0);
      name = existsSync(place) ? readdirSync(place).find((each) => each.endsWith('.tmp')) : undefined;
    }
    await writing;
    rmSync(place, { recursive: true });
    return /\.([0-9a-f]{8})-/.exec(name)![1]!;
  }
});

describe('a file that is not what its name says', () => {
  const faults: [string, string, (path: string) => void][] = [
    [
      'cut',
      'cut',
      (path) => {
        truncateSync(path, 500);
      },
    ],
    [
      'cut in its head',
      'cut',
      (path) => {
        truncateSync(path, 10);
      },
    ],
    [
      'empty',
      'cut',
      (path) => {
        truncateSync(path, 0);
      },
    ],
    [
      'longer',
      'cut',
      (path) => {
        writeFileSync(path, 'more', { flag: 'a' });
      },
    ],
    [
      'foreign',
      'foreign',
      (path) => {
        writeFileSync(path, 'x'.repeat(1_064));
      },
    ],
    [
      'of another layout',
      'foreign',
      (path) => {
        overwrite(path, 4, 2);
      },
    ],
    [
      'of another size, it says',
      'foreign',
      (path) => {
        overwrite(path, 9, 200);
      },
    ],
    [
      'of another key',
      'foreign',
      (path) => {
        renameSync(path, path.replace(a.split('/')[0]!, b.split('/')[0]!));
      },
    ],
  ];

  test.each(faults)('%s: refused, counted, removed', async (_, reason, harm) => {
    const store = await open();
    await put(store, a, 1_000);
    harm(join(folder, readdirSync(folder)[0]!));
    const next = await open();
    const [key] = await next.keys();
    expect(await next.lookup(key!)).toBeUndefined();
    expect(next.statistics()).toMatchObject({ refused: { [reason]: 1 }, misses: 1, bytes: { disk: 0 } });
    expect(readdirSync(folder)).toEqual([]);
    await put(next, a, 1_000);
    expect(isRecordOf(a, (await readWhole(next, a))!)).toBe(true);
  });

  test('cut while it is read: the read has nothing, and the request goes on', async () => {
    const store = await open();
    await put(store, a, 1_000);
    const handle = (await store.lookup(a))!;
    truncateSync(join(folder, readdirSync(folder)[0]!), 500);
    expect(await handle.read(0, 400)).toHaveLength(400);
    expect(await handle.read(0, 1_000)).toBeUndefined();
    await handle.close();
  });

  test('a folder with the name of a record is a miss, counted', async () => {
    const store = await open();
    await put(store, a, 1_000);
    const path = join(folder, readdirSync(folder)[0]!);
    unlinkSync(path);
    mkdirSync(path);
    expect(await store.lookup(a)).toBeUndefined();
    expect(store.statistics()).toMatchObject({ errors: { disk: 1 }, lastError: { disk: 'EISDIR' } });
  });

  function overwrite(path: string, at: number, byte: number): void {
    const file = openSync(path, 'r+');
    writeSync(file, Uint8Array.of(byte), 0, 1, at);
    closeSync(file);
  }
});

describe('a process that is killed in the middle of a write', () => {
  test('loses that chunk alone: nothing damaged is served, and nothing is left', async () => {
    let leftovers = 0;
    let survivors = 0;
    for (let round = 0; round < 10; round++) {
      const writers = [0, 1].map((writer) =>
        begin({
          sizes: [3_000_000, 1_000_000],
          chunks: numbers(8).map((chunk) => chunk + 8 * writer),
          puts: 1e6,
        }),
      );
      await Promise.all(writers.map((writer) => writer.ready()));
      await sleep(5 + Math.random() * 120);
      await Promise.all(writers.map((writer) => writer.kill()));
      leftovers += readdirSync(folder).filter((name) => name.endsWith('.tmp')).length;
      const store = await open(1e9);
      expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
      for (const key of await store.keys()) {
        const record = await readWhole(store, key);
        expect(record && isRecordOf(key, record)).toBe(true);
        survivors++;
      }
      expect(store.statistics()).toMatchObject({ refused: {}, errors: { disk: 0 } });
      await store.deleteAll('');
      await store.close();
    }
    // Else the kills came at no time that tells anything.
    expect(leftovers).toBeGreaterThan(0);
    expect(survivors).toBeGreaterThan(0);
  }, 120_000);
});

describe('two processes on one folder', () => {
  test('each finds what the other wrote, and misses what it deleted', async () => {
    const [one, other] = [await open(), await open()];
    expect(await other.lookup(a)).toBeUndefined();
    await put(one, a, 1_000);
    expect(isRecordOf(a, (await readWhole(other, a))!)).toBe(true);
    expect(await other.keys()).toEqual([a]);
    const handle = (await other.lookup(a))!;
    await one.delete(a);
    expect(await one.lookup(a)).toBeUndefined();
    // A file that is open stays until it is closed.
    expect(isRecordOf(a, (await handle.read(0, 1_000))!)).toBe(true);
    await handle.close();
    expect(await other.lookup(a)).toBeUndefined();
    expect(other.statistics()).toMatchObject({ refused: {}, errors: { disk: 0 } });
    await put(other, a, 500);
    expect(await readWhole(one, a)).toHaveLength(500);
  });

  test('both may have written a record of one key: deleting it deletes both', async () => {
    const [one, other] = [await open(), await open()];
    await Promise.all([put(one, a, 1_000), put(other, a, 900)]);
    await one.delete(a);
    expect(await one.lookup(a)).toBeUndefined();
    expect(await other.lookup(a)).toBeUndefined();
    expect(readdirSync(folder)).toEqual([]);
  });

  test('serve nothing damaged while each evicts what the other reads', async () => {
    const task = {
      bytes: 500_000,
      sizes: [90_000, 50_000, 120_000],
      chunks: numbers(12),
      puts: 150,
      reads: true,
    };
    const writers = [begin(task), begin({ ...task, chunks: numbers(12).reverse() })];
    await Promise.all(writers.map((writer) => writer.ready()));
    const outcomes = await Promise.all(writers.map((writer) => writer.outcome()));
    for (const outcome of outcomes) {
      expect(outcome).toMatchObject({ damaged: 0, errors: 0, refused: {} });
      expect(outcome.found).toBeGreaterThan(0);
      expect(outcome.evicted).toBeGreaterThan(0);
    }
    const store = await open(500_000);
    expect(store.statistics().bytes.disk).toBeLessThanOrEqual(500_000);
  }, 60_000);

  test.skipIf(!canMount)(
    'keep one bound: a disk no larger than that and one record is never full',
    async () => {
      // Sizes that fill whole pages of the file system with their envelope.
      const record = 16 * 4_096;
      const bytes = 10 * record;
      disk = mountSmallDisk(bytes + record);
      const task = { folder: disk.folder, bytes, sizes: [record - 64], chunks: numbers(64), puts: 300 };
      const writers = [0, 1, 2].map(() => begin(task));
      await Promise.all(writers.map((writer) => writer.ready()));
      const outcomes = await Promise.all(writers.map((writer) => writer.outcome()));
      for (const outcome of outcomes) expect(outcome).toMatchObject({ damaged: 0, errors: 0 });
      expect(outcomes.reduce((sum, { evicted }) => sum + evicted, 0)).toBeGreaterThan(100);
    },
    60_000,
  );
});

describe('a disk that fails', () => {
  test.skipIf(!canMount)(
    'full: goes on with RAM, replaces what is there, and grows again when it may',
    async () => {
      disk = mountSmallDisk(512 * 1_024);
      const store = await open(100e6, { memoryBytes: 10e6 }, disk.folder);
      const filler = join(disk.folder, 'filler');
      writeFileSync(filler, new Uint8Array(300_000));
      await put(store, a, 200_000);
      expect(store.statistics()).toMatchObject({ errors: { disk: 0 } });
      await put(store, b, 200_000);
      expect(store.statistics()).toMatchObject({ errors: { disk: 1 }, lastError: { disk: 'ENOSPC' } });
      expect(readdirSync(disk.folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
      for (const key of [a, b]) expect(isRecordOf(key, (await readWhole(store, key))!)).toBe(true);

      // Left alone for a while, then the least valuable makes room.
      await put(store, b, 200_000, 1_000);
      expect(store.statistics()).toMatchObject({ errors: { disk: 1 }, turnedAway: { disk: 1 } });
      await sleep(1_050);
      await put(store, b, 200_000, 1_000);
      expect(await store.keys('', ['disk'])).toEqual([b]);
      expect(store.statistics()).toMatchObject({ errors: { disk: 1 }, evicted: 1 });
    },
  );

  test.skipIf(!canMount)(
    'full, then not: what could not be written then is demoted when RAM is short',
    async () => {
      disk = mountSmallDisk(512 * 1_024);
      const halve = (record: Uint8Array) =>
        record.byteLength > 100_000 ? record.subarray(0, record.byteLength / 2) : undefined;
      const store = await open(100e6, { memoryBytes: 250_000, degrade: halve }, disk.folder);
      const filler = join(disk.folder, 'filler');
      writeFileSync(filler, new Uint8Array(500_000));
      await put(store, a, 200_000);
      expect((await store.inspect(a))?.tiers).toEqual(['memory']);
      unlinkSync(filler);
      await sleep(1_050);
      await put(store, b, 100_000, 1_000);
      expect(await store.inspect(a)).toMatchObject({ tiers: ['memory'], bytes: 100_000 });
      await put(store, c, 100_000, 1_000);
      expect(await store.inspect(a)).toMatchObject({ tiers: ['disk'], bytes: 100_000 });
      expect(await readWhole(store, a)).toEqual(recordOf(a, 200_000).subarray(0, 100_000));
      expect(store.statistics()).toMatchObject({ degraded: 1, demoted: 1, evicted: 0, errors: { disk: 1 } });
    },
  );

  test.skipIf(!canMount)('full of others: is tried again, and used once there is room', async () => {
    disk = mountSmallDisk(512 * 1_024);
    const store = await open(100e6, {}, disk.folder);
    const filler = join(disk.folder, 'filler');
    writeFileSync(filler, new Uint8Array(500_000));
    await put(store, a, 200_000);
    expect(store.statistics()).toMatchObject({ errors: { disk: 1 }, lastError: { disk: 'ENOSPC' } });
    unlinkSync(filler);
    await sleep(1_050);
    await put(store, a, 200_000);
    expect(isRecordOf(a, (await readWhole(store, a))!)).toBe(true);
  });

  test.skipIf(!canMount)('read-only: what is there is served', async () => {
    disk = mountSmallDisk(512 * 1_024);
    await put(await open(1e6, {}, disk.folder), a, 100_000);
    disk.readOnly(true);
    const store = await open(1e6, { memoryBytes: 1e6 }, disk.folder);
    expect(isRecordOf(a, (await readWhole(store, a))!)).toBe(true);
    await put(store, b, 1_000);
    expect(await readWhole(store, b)).toHaveLength(1_000);
    await store.refuse(a, 'checksum');
    expect(store.statistics().lastError).toEqual({ disk: 'EROFS' });
    disk.readOnly(false);
    await sleep(1_050);
    await put(store, b, 1_000);
    expect(await store.keys('', ['disk'])).toContain(b);
    await store.close();
  });

  test.skipIf(process.getuid?.() === 0)('without permission: goes on, counted', async () => {
    chmodSync(folder, 0o500);
    const store = await open(1e6, { memoryBytes: 1e6 }, join(folder, 'inner'));
    await put(store, a, 1_000);
    expect(await readWhole(store, a)).toHaveLength(1_000);
    expect(store.statistics().lastError).toEqual({ disk: 'EACCES' });
    chmodSync(folder, 0o700);
  });

  test.skipIf(process.platform === 'win32')(
    'a limit of file sizes: larger records are lost, counted',
    async () => {
      const child = begin({ sizes: [4_000_000], puts: 1 }, 2_048);
      await child.ready();
      expect(await child.outcome()).toMatchObject({ errors: 1, lastError: 'EFBIG' });
      expect(readdirSync(folder)).toEqual([]);
      const smaller = begin({ sizes: [100_000], puts: 3 }, 2_048);
      await smaller.ready();
      expect(await smaller.outcome()).toMatchObject({ errors: 0 });
      expect(readdirSync(folder)).toHaveLength(3);
    },
  );

  test('a folder that somebody deletes is made again', async () => {
    const store = await open();
    await put(store, a, 1_000);
    rmSync(folder, { recursive: true });
    expect(await store.lookup(a)).toBeUndefined();
    await put(store, a, 1_000);
    expect(isRecordOf(a, (await readWhole(store, a))!)).toBe(true);
    expect(store.statistics().errors.disk).toBe(0);
  });

  test('a file in the place of the folder is a mistake in the settings', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    for (const place of [file, join(file, 'inner')])
      await expect(open(1_000, {}, place)).rejects.toThrow(ConfigurationError);
  });
});

test('files are the owner’s alone, since keys and values tell the text', async () => {
  const place = join(folder, 'inner');
  await put(await open(10_000, {}, place), a, 100);
  expect(statSync(place).mode & 0o777).toBe(0o700);
  const [name] = readdirSync(place);
  expect(statSync(join(place, name!)).mode & 0o777).toBe(0o600);
  expect(readFileSync(join(place, name!)).subarray(0, 4).toString()).toBe('RPKV');
});

test('a record that was put is never half visible', async () => {
  const store = await open(100e6);
  const reader = await open(100e6);
  const wrong: string[] = [];
  const writing = new AbortController();
  const reading = (async () => {
    while (!writing.signal.aborted) {
      const record = await readWhole(reader, a);
      if (record && !isRecordOf(a, record)) wrong.push(`${record.length} bytes`);
    }
  })();
  for (let count = 0; count < 20; count++) await put(store, a, 200_000 + count);
  writing.abort();
  await reading;
  expect(wrong).toEqual([]);
  expect(reader.statistics().refused).toEqual({});
});

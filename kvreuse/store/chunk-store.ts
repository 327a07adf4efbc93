import { LRUCache } from 'lru-cache';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { checkOptions, type ChunkStoreOptions } from './chunk-store-options.js';
import { Counters } from './counters.js';
import { DiskTier } from './disk-tier.js';
import { MemoryTier } from './memory-tier.js';
import { Pins } from './pins.js';
import { checkKey, checkPrefix, isKey } from './record-key.js';
import { RedisTier } from './redis-tier.js';
import type { RecordHandle, Tier } from './tier.js';
import type { Speed } from './tier-speed.js';

export interface RecordValue {
  /** What reuse saves each time, in milliseconds. */
  readonly savedMs: number;
  /** How long the record may be used, in milliseconds. Default: no end but Redis's. */
  readonly ttlMs?: number;
}

export interface RecordReport {
  readonly key: string;
  /** Of the record in the fastest tier that has it. */
  readonly bytes: number;
  /** Redis is asked only where no other tier has it. */
  readonly tiers: readonly Tier[];
  /** Milliseconds since 1970; Infinity: never. */
  readonly expires: number;
  /** What its uses saved, in milliseconds, that of one to come included. */
  readonly worthMs: number;
  /** Milliseconds since 1970, or Infinity; undefined where it is not pinned. */
  readonly pinnedUntil: number | undefined;
}

export interface StoreStatistics {
  /** Lookups that found a record, by its tier. */
  readonly hits: Readonly<Record<Tier, number>>;
  readonly misses: number;
  /** Records that turned out damaged, by reason: `cut`, `foreign`, or what was given to `refuse`. */
  readonly refused: Readonly<Record<string, number>>;
  /** Records dropped for others, from RAM with no copy on disk, or from disk. */
  readonly evicted: number;
  /** Records replaced by their smaller version. */
  readonly degraded: number;
  /** Records that left RAM and are on disk. */
  readonly demoted: number;
  /** Records that came to RAM since they were read often. */
  readonly promoted: number;
  /** Records not taken: worth less than what they would have displaced, too large, or the tier is not to be had. */
  readonly turnedAway: Readonly<Record<Tier, number>>;
  readonly errors: Readonly<Record<Tier, number>>;
  /** Code of the last error, e.g. `ENOSPC`, `ECONNREFUSED`, `TIMEOUT`. */
  readonly lastError: Readonly<Partial<Record<Tier, string>>>;
  /** Of Redis it is not known. */
  readonly bytes: Readonly<Record<'memory' | 'disk', number>>;
  readonly records: Readonly<Record<'memory' | 'disk', number>>;
}

/** A record in RAM is read in place. */
const MEMORY_SPEED: Speed = { latencyMs: 0, bytesPerSecond: Infinity };
/** Lookups of a record in a slower tier after which it comes to RAM. */
const OFTEN = 2;
const COUNTED_KEYS = 10_000;

/**
 * Records of bytes under keys CHUNK/VERSION, in RAM, on disk and in Redis. A record that is put goes to all tiers that
 * take it; a tier that is full gives up what saves least for its size (`gdsf.ts`). A record that leaves RAM and is on
 * disk is not lost, so it stays as it is; one that would be lost is first replaced by its smaller version, then demoted
 * to disk, then dropped.
 *
 * No failure of a tier reaches a request: it is counted, and what cannot be had is a miss.
 */
export class ChunkStore {
  readonly #degrade: (record: Uint8Array) => Uint8Array | undefined;
  readonly #counters: Counters;
  readonly #pins: Pins;
  readonly #memory: MemoryTier;
  readonly #disk: DiskTier | undefined;
  readonly #redis: RedisTier | undefined;
  readonly #lookups = new LRUCache<string, number>({ max: COUNTED_KEYS });
  /** Keys that are on their way to RAM; one taken out must not arrive. */
  readonly #promoting = new Set<string>();
  readonly #underWay = new Set<Promise<unknown>>();
  #closed = false;

  private constructor(
    parts: { counters: Counters; pins: Pins; memory: MemoryTier; disk?: DiskTier; redis?: RedisTier },
    degrade: (record: Uint8Array) => Uint8Array | undefined,
  ) {
    this.#counters = parts.counters;
    this.#pins = parts.pins;
    this.#memory = parts.memory;
    this.#disk = parts.disk;
    this.#redis = parts.redis;
    this.#degrade = degrade;
  }

  /**
   * A disk or a Redis that cannot be had now is tried again later.
   * @throws ConfigurationError
   */
  static async open(options: ChunkStoreOptions = {}): Promise<ChunkStore> {
    const checked = checkOptions(options);
    const counters = new Counters();
    const pins = new Pins();
    const isPinned = (key: string) => pins.has(key);
    const degrade = (record: Uint8Array) => {
      try {
        const smaller = checked.degrade?.(record);
        return smaller && smaller.byteLength < record.byteLength ? ownBytes(smaller) : undefined;
      } catch (error) {
        counters.failed('memory', error);
        return undefined;
      }
    };
    const memory = new MemoryTier(checked.memoryBytes, isPinned);
    const disk = checked.disk && new DiskTier({ ...checked.disk, counters, isPinned, degrade });
    await disk?.start();
    const redis = checked.redis && (await RedisTier.open({ ...checked.redis, counters }));
    return new ChunkStore(
      { counters, pins, memory, ...(disk && { disk }), ...(redis && { redis }) },
      degrade,
    );
  }

  /**
   * The fastest copy of a record. Close it.
   * @returns undefined where there is none
   * @throws ConfigurationError for what is no key
   */
  async lookup(key: string): Promise<RecordHandle | undefined> {
    checkKey(key);
    const handle = this.#closed
      ? undefined
      : (this.#memory.open(key) ?? (await this.#disk?.open(key)) ?? (await this.#redis?.open(key)));
    if (!handle) {
      this.#counters.misses++;
      return undefined;
    }
    this.#counters.hits[handle.tier]++;
    if (handle.tier !== 'memory') this.#countLookup(key);
    return handle;
  }

  /**
   * Stores a record in all tiers that take it, in the place of what was there. Resolves once it is in RAM and on disk,
   * or was given up; Redis is written in the background.
   * @param record not to be changed afterwards: it is kept, not copied
   * @throws ConfigurationError for what is no key
   */
  async put(key: string, record: Uint8Array, value: RecordValue): Promise<void> {
    checkKey(key);
    if (this.#closed) return;
    await this.#track(this.#put(key, ownBytes(record), value));
  }

  /**
   * Counts a use: records are kept by what they saved in all.
   * @param savedMs what this use saved, in milliseconds
   */
  used(key: string, savedMs: number): void {
    this.#memory.used(key, positive(savedMs));
    this.#disk?.used(key, positive(savedMs));
  }

  /**
   * Keys in RAM and on disk, sorted.
   * @param tiers with `redis` among them all of Redis is gone through
   * @throws ConfigurationError for what is no beginning of a key
   */
  async keys(prefix = '', tiers: readonly Tier[] = ['memory', 'disk']): Promise<string[]> {
    checkPrefix(prefix);
    const keys = new Set<string>();
    const add = (some: Iterable<string>) => {
      for (const key of some) if (key.startsWith(prefix) && isKey(key)) keys.add(key);
    };
    if (tiers.includes('memory')) add(this.#memory.keys());
    if (tiers.includes('disk') && this.#disk) add(await this.#disk.keys());
    if (tiers.includes('redis') && this.#redis) add(await this.#redis.keys(prefix));
    return [...keys].sort();
  }

  /**
   * What is known of a record; counts as no lookup.
   * @throws ConfigurationError for what is no key
   */
  async inspect(key: string): Promise<RecordReport | undefined> {
    checkKey(key);
    const inMemory = this.#memory.get(key);
    const onDisk = this.#disk?.find(key);
    const here = inMemory ? { bytes: inMemory.record.byteLength, expires: inMemory.expires } : onDisk;
    const inRedis = here ? undefined : await this.#redis?.find(key);
    const found = here ?? inRedis;
    if (!found || found.expires <= Date.now()) return undefined;
    const tiers: Tier[] = [];
    if (inMemory) tiers.push('memory');
    if (onDisk) tiers.push('disk');
    if (inRedis) tiers.push('redis');
    return {
      key,
      bytes: found.bytes,
      tiers,
      expires: found.expires,
      worthMs: this.#memory.worth(key) ?? this.#disk?.worth(key) ?? inRedis?.savedMs ?? 0,
      pinnedUntil: this.#pins.until(key),
    };
  }

  /**
   * Neither RAM nor this process's part in the disk tier gives the record up, whether it is there yet or comes later.
   * What is pinned counts to the bounds. Other processes do not know of it.
   * @param ttlMs how long, in milliseconds. Default until `unpin`
   * @throws ConfigurationError for what is no key or no time
   */
  pin(key: string, ttlMs = Infinity): void {
    checkKey(key);
    if (!(ttlMs > 0)) throw new ConfigurationError('ttlMs', ttlMs, 'give milliseconds, more than 0');
    this.#pins.pin(key, Date.now() + ttlMs);
  }

  unpin(key: string): void {
    this.#pins.unpin(key);
  }

  /**
   * Deletes a record from all tiers, pinned or not. Handles that are open keep what they have.
   * @returns whether RAM or disk had it
   * @throws ConfigurationError for what is no key
   */
  async delete(key: string): Promise<boolean> {
    checkKey(key);
    return this.#track(this.#delete(key));
  }

  /**
   * Deletes all records whose keys begin so, from all tiers; with `''` all there are.
   * @returns how many RAM and disk had
   * @throws ConfigurationError for what is no beginning of a key
   */
  async deleteAll(prefix: string): Promise<number> {
    checkPrefix(prefix);
    const isWanted = (key: string) => key.startsWith(prefix);
    for (const key of [...this.#promoting].filter(isWanted)) this.#promoting.delete(key);
    const deleted = new Set([...this.#memory.keys()].filter(isWanted));
    for (const key of deleted) this.#memory.delete(key);
    for (const key of (await this.#disk?.delete(isWanted)) ?? []) deleted.add(key);
    for (const key of new Set([...deleted, ...((await this.#redis?.keys(prefix)) ?? [])]))
      this.#redis?.delete(key);
    return deleted.size;
  }

  /**
   * Deletes a record that turned out damaged.
   * @param reason a short name, under which it is counted
   */
  async refuse(key: string, reason: string): Promise<void> {
    this.#counters.refuse(reason);
    await this.delete(key);
  }

  /** How fast records come from a tier, measured on what was loaded: see `loadCost`. */
  speed(tier: Tier): Speed {
    return (
      { memory: MEMORY_SPEED, disk: this.#disk?.speed.speed, redis: this.#redis?.speed.speed }[tier] ?? {
        latencyMs: Infinity,
        bytesPerSecond: 0,
      }
    );
  }

  statistics(): StoreStatistics {
    const { hits, misses, refused, evicted, degraded, demoted, promoted, turnedAway, errors, lastError } =
      structuredClone(this.#counters);
    return {
      hits,
      misses,
      refused: Object.fromEntries(refused),
      evicted,
      degraded,
      demoted,
      promoted,
      turnedAway,
      errors,
      lastError,
      bytes: { memory: this.#memory.bytes, disk: this.#disk?.bytes ?? 0 },
      records: { memory: this.#memory.records, disk: this.#disk?.records ?? 0 },
    };
  }

  /** Waits for what is being written. Lookups find nothing any more, and nothing is stored. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#promoting.clear();
    await Promise.allSettled(this.#underWay);
    await this.#disk?.close();
    await this.#redis?.close();
  }

  async #put(key: string, record: Uint8Array, value: RecordValue): Promise<void> {
    const worth = positive(value.savedMs);
    const expires = expiry(value.ttlMs);
    this.#promoting.delete(key);
    this.#memory.delete(key);
    this.#redis?.write(key, record, { savedMs: worth, expires });
    if (await this.#makeRoom(key, record.byteLength, worth))
      this.#memory.set(key, { record, expires }, worth);
    else this.#counters.turnedAway.memory++;
    // While it is written it cannot be demoted.
    const release = this.#memory.hold(key);
    await this.#disk?.write(key, record, { savedMs: worth, expires, worth });
    release();
  }

  async #delete(key: string): Promise<boolean> {
    this.#promoting.delete(key);
    this.#redis?.delete(key);
    const wasInMemory = this.#memory.delete(key);
    const onDisk = (await this.#disk?.delete((each) => each === key)) ?? [];
    return wasInMemory || onDisk.length > 0;
  }

  /** Reserves room in RAM, where the record is worth what it displaces. */
  async #makeRoom(key: string, bytes: number, worth: number): Promise<boolean> {
    while (!this.#memory.reserve(bytes)) {
      const plan = this.#memory.plan(bytes, worth, this.#pins.has(key));
      if (!plan) return false;
      // Others may make room too while a record is demoted: each looks again whether enough is free.
      for (const least of plan) {
        if (this.#memory.bytes + bytes <= this.#memory.limit) break;
        await this.#giveUp(least);
      }
    }
    return true;
  }

  async #giveUp(key: string): Promise<void> {
    const record = this.#memory.get(key);
    if (!record || !this.#memory.isFree(key)) return;
    const isOnDisk = this.#disk?.has(key) === true;
    if (!isOnDisk && this.#memory.degrade(key, this.#degrade)) {
      this.#counters.degraded++;
      return;
    }
    if (isOnDisk || (await this.#demote(key, record))) this.#counters.demoted++;
    else this.#counters.evicted++;
    // Not where another has come into its place, or somebody has begun to read it, while it was written.
    if (this.#memory.get(key) === record && this.#memory.isFree(key)) this.#memory.evict(key);
  }

  async #demote(key: string, { record, expires }: { record: Uint8Array; expires: number }): Promise<boolean> {
    if (!this.#disk) return false;
    const release = this.#memory.hold(key);
    const worth = this.#memory.worth(key) ?? 0;
    const written = await this.#disk.write(key, record, { savedMs: worth, expires, worth });
    release();
    return written;
  }

  #countLookup(key: string): void {
    const lookups = (this.#lookups.get(key) ?? 0) + 1;
    this.#lookups.set(key, lookups);
    // One at a time: requests read from the same disk.
    if (lookups >= OFTEN && this.#promoting.size === 0) void this.#track(this.#promote(key));
  }

  async #promote(key: string): Promise<void> {
    this.#promoting.add(key);
    const handle = (await this.#disk?.open(key)) ?? (await this.#redis?.open(key));
    try {
      if (!handle) return;
      const { bytes, savedMs, expires } = handle;
      const worth = this.#disk?.worth(key) ?? savedMs;
      if (!(await this.#makeRoom(key, bytes, worth))) return;
      const record = await handle.read(0, bytes);
      // It may have been deleted, or put anew, meanwhile.
      if (record && this.#promoting.has(key)) {
        this.#memory.set(key, { record, expires }, worth);
        this.#counters.promoted++;
      } else this.#memory.release(bytes);
    } finally {
      this.#promoting.delete(key);
      await handle?.close();
    }
  }

  async #track<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
    }
  }
}

/** What a slice of a larger buffer would keep alive is not in the bounds. */
function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

/** A measured time, or 0 where it is none. */
function positive(milliseconds: number): number {
  return milliseconds > 0 ? Math.min(milliseconds, Number.MAX_SAFE_INTEGER) : 0;
}

/** Milliseconds since 1970; Infinity: never. */
function expiry(ttlMs = Infinity): number {
  const expires = Date.now() + positive(ttlMs);
  return expires < Number.MAX_SAFE_INTEGER ? expires : Infinity;
}

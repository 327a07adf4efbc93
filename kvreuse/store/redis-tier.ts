import type { Redis } from 'ioredis';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { BackOff } from './back-off.js';
import type { Counters } from './counters.js';
import { ENVELOPE_BYTES, readEnvelope, writeEnvelope, type Envelope } from './envelope.js';
import { withoutPassword } from './redis-url.js';
import { isRangeOf, type StoredHandle } from './tier.js';
import { TierSpeed } from './tier-speed.js';

export interface RedisTierOptions {
  readonly url: string;
  readonly prefix: string;
  readonly ttlSeconds: number;
  readonly timeoutMs: number;
  readonly maxRecordBytes: number;
  readonly counters: Counters;
}

/** What waits to be sent; more is not. In bytes. */
const PENDING = 64 * 2 ** 20;
/** For a write, which nobody waits for, in milliseconds. */
const WRITE_TIMEOUT = 10_000;
const LONGEST_DELAY = 30_000;
/** Keys that Redis looks at in a step of SCAN. */
const SCANNED = 1_000;

class TimeoutError extends Error {
  readonly code = 'TIMEOUT';
}

/**
 * Records in Redis, one key each, for several machines. What takes longer than the timeout counts as a failure, after
 * which Redis is left alone for a while; so requests that come one after another wait once. Writes have a connection of
 * their own, since Redis answers in order, and go out one at a time in the background.
 */
export class RedisTier {
  readonly speed = new TierSpeed({ latencyMs: 1, bytesPerSecond: 100e6 });
  readonly #options: RedisTierOptions;
  readonly #counters: Counters;
  readonly #reader: Redis;
  readonly #writer: Redis;
  readonly #reads = new BackOff(1_000, LONGEST_DELAY);
  /** Apart: a Redis that has no memory left still answers. */
  readonly #writes = new BackOff(1_000, LONGEST_DELAY);
  #writing: Promise<unknown> = Promise.resolve();
  #pending = 0;
  #closed = false;

  private constructor(options: RedisTierOptions, connect: () => Redis) {
    this.#options = options;
    this.#counters = options.counters;
    this.#reader = connect();
    this.#writer = connect();
    for (const client of [this.#reader, this.#writer])
      client.on('error', (error: unknown) => {
        this.#counters.failed('redis', error);
      });
  }

  /**
   * Connects, and waits for it no longer than the timeout.
   * @throws ConfigurationError where ioredis is not installed
   */
  static async open(options: RedisTierOptions): Promise<RedisTier> {
    const { Redis } = await import('ioredis').catch(() => {
      throw new ConfigurationError(
        'redis',
        withoutPassword(options.url),
        'the package ioredis is not there: npm install ioredis',
      );
    });
    const tier = new RedisTier(
      options,
      () =>
        new Redis(options.url, {
          lazyConnect: true,
          enableOfflineQueue: false,
          autoResendUnfulfilledCommands: false,
          maxRetriesPerRequest: 0,
          connectTimeout: 5_000,
          // Between half and all of it, so that not all processes come back at once.
          retryStrategy: (attempt) =>
            Math.min(LONGEST_DELAY, 100 * 2 ** Math.min(attempt, 20)) * (1 - Math.random() / 2),
        }),
    );
    const connected = Promise.allSettled([tier.#reader.connect(), tier.#writer.connect()]);
    await within(options.timeoutMs, connected).catch(() => undefined);
    return tier;
  }

  /** @returns undefined where there is none, or none within the timeout */
  async open(key: string): Promise<StoredHandle | undefined> {
    const begun = performance.now();
    const name = this.#name(key);
    const found = await this.#head(key);
    if (!found) return undefined;
    this.speed.opened(performance.now() - begun);
    const { head, envelope } = found;
    const read = async (start: number, end: number) => {
      // A record that another process has put in its place meanwhile has another head.
      const answers = await this.#ask(() =>
        this.#reader
          .multi()
          .getrangeBuffer(name, 0, ENVELOPE_BYTES - 1)
          .getrangeBuffer(name, ENVELOPE_BYTES + start, ENVELOPE_BYTES + end - 1)
          .exec(),
      );
      const [present, bytes] = buffersOf(answers);
      return present?.equals(head) && bytes?.length === end - start ? bytes : undefined;
    };
    let closed = false;
    return {
      ...envelope,
      tier: 'redis',
      read: async (start, end, isTimed) => {
        if (closed || !isRangeOf(envelope.bytes, start, end)) return undefined;
        return start === end ? new Uint8Array() : this.speed.reading(() => read(start, end), isTimed);
      },
      close: () => {
        closed = true;
        return Promise.resolve();
      },
    };
  }

  async find(key: string): Promise<Envelope | undefined> {
    return (await this.#head(key))?.envelope;
  }

  /** Sends a record in the background; not where it is too large, or too much is under way already. */
  write(key: string, record: Uint8Array, { savedMs, expires }: { savedMs: number; expires: number }): void {
    const { ttlSeconds, maxRecordBytes } = this.#options;
    const bytes = record.byteLength;
    if (
      bytes > maxRecordBytes ||
      this.#pending + bytes > PENDING ||
      !this.#isReady(this.#writer, this.#writes)
    ) {
      this.#counters.turnedAway.redis++;
      return;
    }
    this.#pending += bytes;
    this.#inTurn(async () => {
      try {
        const milliseconds = Math.ceil(Math.min(1_000 * ttlSeconds, expires - Date.now()));
        if (milliseconds <= 0) return;
        const value = Buffer.concat([writeEnvelope(key, { bytes, savedMs, expires }), record]);
        await this.#tell(() => this.#writer.set(this.#name(key), value, 'PX', milliseconds));
      } finally {
        this.#pending -= bytes;
      }
    });
  }

  /** Deletes in the background, after what is to be written before. */
  delete(key: string): void {
    this.#inTurn(() => this.#tell(() => this.#writer.unlink(this.#name(key))));
  }

  /** Goes through all of Redis's keys: not for the way of a request. */
  async keys(prefix: string): Promise<string[]> {
    const found = new Set<string>();
    const start = this.#options.prefix;
    let cursor: string | undefined = '0';
    do {
      const at: string = cursor;
      const answer: [string, string[]] | undefined = await this.#ask(() =>
        this.#reader.scan(at, 'MATCH', `${escaped(start)}${prefix}*`, 'COUNT', SCANNED),
      );
      for (const name of answer?.[1] ?? []) found.add(name.slice(start.length));
      cursor = answer?.[0];
    } while (cursor !== undefined && cursor !== '0');
    return [...found];
  }

  /** Waits for the writes. */
  async close(): Promise<void> {
    await this.#writing;
    this.#closed = true;
    this.#reader.disconnect();
    this.#writer.disconnect();
  }

  #name(key: string): string {
    return this.#options.prefix + key;
  }

  async #head(key: string): Promise<{ head: Buffer; envelope: Envelope } | undefined> {
    const name = this.#name(key);
    const answers = await this.#ask(() =>
      this.#reader
        .multi()
        .getrangeBuffer(name, 0, ENVELOPE_BYTES - 1)
        .strlen(name)
        .exec(),
    );
    const [head] = buffersOf(answers);
    const size = Number(answers?.[1]?.[1]);
    if (!head || head.length === 0) return undefined;
    const envelope = readEnvelope(key, head, size);
    if (typeof envelope !== 'string') return { head, envelope };
    this.#counters.refuse(envelope);
    this.delete(key);
    return undefined;
  }

  #isReady(client: Redis, backOff: BackOff): boolean {
    return !this.#closed && client.status === 'ready' && backOff.open;
  }

  async #ask<T>(ask: () => Promise<T>): Promise<T | undefined> {
    if (!this.#isReady(this.#reader, this.#reads)) return undefined;
    return this.#try(this.#options.timeoutMs, this.#reads, ask);
  }

  async #tell(tell: () => Promise<unknown>): Promise<void> {
    if (this.#isReady(this.#writer, this.#writes)) await this.#try(WRITE_TIMEOUT, this.#writes, tell);
  }

  async #try<T>(milliseconds: number, backOff: BackOff, command: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await within(milliseconds, command());
      backOff.succeeded();
      return answer;
    } catch (error) {
      this.#counters.failed('redis', error);
      backOff.failed();
      return undefined;
    }
  }

  #inTurn(work: () => Promise<void>): void {
    this.#writing = this.#writing.then(work);
  }
}

async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new TimeoutError());
    }, milliseconds);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/** What the commands of a transaction answered, where it is bytes. */
function buffersOf(
  answers: [error: Error | null, result: unknown][] | null | undefined,
): (Buffer | undefined)[] {
  return (answers ?? []).map(([, result]) => (Buffer.isBuffer(result) ? result : undefined));
}

/** A text as a pattern of Redis that matches it alone. */
function escaped(text: string): string {
  return text.replace(/[*?[\]\\^-]/g, '\\$&');
}

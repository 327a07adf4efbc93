import { z } from 'zod';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { validate } from '../../settings/validate.js';
import { isRedisUrl, withoutPassword } from './redis-url.js';

export interface ChunkStoreOptions {
  /** Bytes of the records in RAM, 0 for none. Default 256 MiB. */
  readonly memoryBytes?: number;
  readonly disk?: {
    /** Made where it is not there. Several processes may share it. */
    readonly folder: string;
    /** Bytes of all files in it, those of other processes and those being written included; not blocks of the disk. */
    readonly bytes: number;
  };
  /** Needs the package `ioredis`. How much Redis keeps, and what it gives up, is its own `maxmemory` to say. */
  readonly redis?: {
    /** `redis://[user:password@]host[:port][/database]`, or `rediss://` for TLS. */
    readonly url: string;
    /** Before the key of each record. Default `ragpress:kv:`. */
    readonly prefix?: string;
    /** How long a record stays. Default 7 days. */
    readonly ttlSeconds?: number;
    /** The longest that a lookup or a read waits for Redis, in milliseconds. Default 250. */
    readonly timeoutMs?: number;
    /** Larger records are not sent. Default 64 MiB. */
    readonly maxRecordBytes?: number;
  };
  /**
   * A smaller version of a record, given up instead of dropping it; undefined where there is none. What it throws counts
   * as none.
   */
  readonly degrade?: (record: Uint8Array) => Uint8Array | undefined;
}

const MIB = 2 ** 20;
const positive = z.int().positive();

const schema = z.strictObject({
  memoryBytes: z
    .int()
    .nonnegative()
    .default(256 * MIB),
  disk: z.strictObject({ folder: z.string().min(1), bytes: positive }).optional(),
  redis: z
    .strictObject({
      url: z.string().refine(isRedisUrl, 'give redis://[user:password@]host[:port][/database], or rediss://'),
      prefix: z.string().max(200).default('ragpress:kv:'),
      ttlSeconds: positive.max(2 ** 31).default(7 * 24 * 3_600),
      timeoutMs: positive.max(60_000).default(250),
      // The largest string of Redis is 512 MiB; the envelope is part of it.
      maxRecordBytes: positive.max(511 * MIB).default(64 * MIB),
    })
    .optional(),
  degrade: z
    .custom<(record: Uint8Array) => Uint8Array | undefined>(
      (value) => typeof value === 'function',
      'give a function',
    )
    .optional(),
});

/** @throws ConfigurationError, in which an address is shown without its password */
export function checkOptions(options: ChunkStoreOptions): z.output<typeof schema> {
  try {
    return validate(schema, options, 'store');
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    throw new ConfigurationError(error.field, withoutPasswords(error.value, 2), error.remedy);
  }
}

function withoutPasswords(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return withoutPassword(value);
  if (typeof value !== 'object' || value === null) return value;
  const shown = depth > 0 ? Object.entries(value) : [];
  return Object.fromEntries(shown.map(([key, each]) => [key, withoutPasswords(each, depth - 1)]));
}

import { createHash, randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { isKey } from './record-key.js';

/** What the name of a file says, so that an index is made from names alone. */
export interface RecordFile {
  readonly key: string;
  /** Size of the file. */
  readonly bytes: number;
  /** In milliseconds, rounded. */
  readonly savedMs: number;
  /** Milliseconds since 1970; Infinity: never. */
  readonly expires: number;
}

/** A file that is being written, under another name until it is whole. */
export interface TemporaryFile {
  /** That it will have. */
  readonly bytes: number;
  /** Process that writes it; undefined where that is on another host. */
  readonly pid: number | undefined;
}

const NUMBER = '[0-9a-z]{1,11}';
const NAME = new RegExp(`^([0-9a-f]+)-([0-9a-f]+)\\.(${NUMBER})\\.(${NUMBER})\\.(${NUMBER})\\.kv$`);
const TEMPORARY = new RegExp(
  `^[0-9a-f]+-[0-9a-f]+\\.(${NUMBER})\\.([0-9a-f]{8})-([0-9]+)-[0-9a-f]{16}\\.tmp$`,
);

/** Processes of another host, or of a container of another name, have other numbers. */
const HOST = createHash('sha256').update(hostname()).digest('hex').slice(0, 8);

export function fileName({ key, bytes, savedMs, expires }: RecordFile): string {
  const numbers = [bytes, Math.round(savedMs), expires === Infinity ? 0 : Math.ceil(expires)];
  return `${stem(key)}.${numbers.map((number) => number.toString(36)).join('.')}.kv`;
}

export function parseFileName(name: string): RecordFile | undefined {
  const [, chunk, version, bytes, savedMs, expires] = NAME.exec(name) ?? [];
  if (expires === undefined) return undefined;
  const key = `${chunk!}/${version!}`;
  if (!isKey(key)) return undefined;
  return {
    key,
    bytes: parseInt(bytes!, 36),
    savedMs: parseInt(savedMs!, 36),
    expires: expires === '0' ? Infinity : parseInt(expires, 36),
  };
}

export function temporaryName(key: string, bytes: number): string {
  const writer = `${HOST}-${process.pid}-${randomBytes(8).toString('hex')}`;
  return `${stem(key)}.${bytes.toString(36)}.${writer}.tmp`;
}

export function parseTemporaryName(name: string): TemporaryFile | undefined {
  const [, bytes, host, pid] = TEMPORARY.exec(name) ?? [];
  if (pid === undefined) return undefined;
  return { bytes: parseInt(bytes!, 36), pid: host === HOST ? Number(pid) : undefined };
}

function stem(key: string): string {
  return key.replace('/', '-');
}

import { createHash, randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/**
 * What stands before a record on disk and in Redis, little-endian:
 *
 * | at | bytes | |
 * | --- | --- | --- |
 * | 0 | 4 | `RPKV` |
 * | 4 | 4 | version of this layout, 1 |
 * | 8 | 8 | size of the record, float64 |
 * | 16 | 8 | milliseconds that a use saves, float64 |
 * | 24 | 8 | when it expires, milliseconds since 1970, float64; Infinity: never |
 * | 32 | 16 | first bytes of the SHA-256 of the key |
 * | 48 | 8 | random: two records under one key are told apart |
 * | 56 | 4 | zero |
 * | 60 | 4 | CRC-32 of the 60 bytes before |
 *
 * It tells a cut or foreign file. What the record's own bytes are worth is its format's to check.
 */
export const ENVELOPE_BYTES = 64;

const MAGIC = 0x564b5052;
const VERSION = 1;
const CHECKED = ENVELOPE_BYTES - 4;

export interface Envelope {
  /** Size of the record, in bytes. */
  readonly bytes: number;
  /** What reuse saves each time, in milliseconds. */
  readonly savedMs: number;
  /** Milliseconds since 1970; Infinity: never. */
  readonly expires: number;
}

export function writeEnvelope(key: string, { bytes, savedMs, expires }: Envelope): Buffer {
  const head = Buffer.alloc(ENVELOPE_BYTES);
  head.writeUInt32LE(MAGIC, 0);
  head.writeUInt32LE(VERSION, 4);
  head.writeDoubleLE(bytes, 8);
  head.writeDoubleLE(savedMs, 16);
  head.writeDoubleLE(expires, 24);
  digest(key).copy(head, 32);
  randomBytes(8).copy(head, 48);
  head.writeUInt32LE(crc32(head.subarray(0, CHECKED)), CHECKED);
  return head;
}

/**
 * - `cut`: shorter or longer than it says
 * - `foreign`: none of ours, of another layout, or of another key
 */
export type EnvelopeFault = 'cut' | 'foreign';

/** @param size of all there is, the envelope included */
export function readEnvelope(key: string, head: Buffer, size: number): Envelope | EnvelopeFault {
  if (head.length < ENVELOPE_BYTES) return 'cut';
  if (
    head.readUInt32LE(0) !== MAGIC ||
    head.readUInt32LE(4) !== VERSION ||
    head.readUInt32LE(CHECKED) !== crc32(head.subarray(0, CHECKED)) ||
    !digest(key).equals(head.subarray(32, 48))
  )
    return 'foreign';
  const bytes = head.readDoubleLE(8);
  if (size !== ENVELOPE_BYTES + bytes) return 'cut';
  return { bytes, savedMs: head.readDoubleLE(16), expires: head.readDoubleLE(24) };
}

function digest(key: string): Buffer {
  return createHash('sha256').update(key).digest().subarray(0, 16);
}

import { createHash } from 'node:crypto';
import type { ChunkStore } from '../../../kvreuse/store/chunk-store.js';

/** The key of a number. */
export function keyOf(chunk: number, version = 0): string {
  return `${createHash('sha256').update(`chunk ${chunk}`).digest('hex')}/${version.toString(16)}`;
}

/** A record that tells of each of its bytes whether it is right: its key's digest and its size, again and again. */
export function recordOf(key: string, bytes: number): Uint8Array {
  const record = new Uint8Array(bytes);
  Buffer.from(record.buffer).fill(createHash('sha256').update(`${key} ${bytes}`).digest());
  return record;
}

export function isRecordOf(key: string, record: Uint8Array): boolean {
  return Buffer.compare(recordOf(key, record.byteLength), record) === 0;
}

/** All bytes of what a store has under a key. */
export async function readWhole(store: ChunkStore, key: string): Promise<Uint8Array | undefined> {
  const handle = await store.lookup(key);
  try {
    // A view would change with its record.
    const bytes = await handle?.read(0, handle.bytes);
    return bytes && Uint8Array.from(bytes);
  } finally {
    await handle?.close();
  }
}

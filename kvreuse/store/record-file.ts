import { open, type FileHandle } from 'node:fs/promises';
import { ENVELOPE_BYTES, readEnvelope, type Envelope, type EnvelopeFault } from './envelope.js';

/** Writes all of it at the file's place; the system may take a part at a time. */
export async function writeAll(file: FileHandle, parts: readonly Uint8Array[]): Promise<void> {
  for (const part of parts)
    for (let at = 0; at < part.byteLength;)
      at += (await file.write(part, at, part.byteLength - at)).bytesWritten;
}

/** @returns undefined where the file ends before `end` */
export async function readRange(file: FileHandle, start: number, end: number): Promise<Buffer | undefined> {
  // Memory of its own, so that arrays of wider numbers may be laid over it.
  const bytes = Buffer.allocUnsafeSlow(end - start);
  for (let at = 0; at < bytes.length;) {
    const { bytesRead } = await file.read(bytes, at, bytes.length - at, start + at);
    if (bytesRead === 0) return undefined;
    at += bytesRead;
  }
  return bytes;
}

export interface OpenedRecord {
  readonly file: FileHandle;
  readonly envelope: Envelope;
}

/**
 * Opens a record and checks what stands before it. The file is closed where it is at fault.
 * @throws what the file system says
 */
export async function openRecordFile(path: string, key: string): Promise<OpenedRecord | EnvelopeFault> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const head = await readRange(file, 0, Math.min(size, ENVELOPE_BYTES));
    const envelope = head ? readEnvelope(key, head, size) : 'cut';
    if (typeof envelope !== 'string') return { file, envelope };
    await file.close();
    return envelope;
  } catch (error) {
    await file.close();
    throw error;
  }
}

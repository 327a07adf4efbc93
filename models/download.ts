import { createHash } from 'node:crypto';
import { mkdir, open, readdir, rename, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { digestOfFile } from './manifest.js';
import { ModelError } from './model-error.js';

export type Fetch = typeof globalThis.fetch;

export interface Download {
  readonly url: string;
  /** Where the file stands once it is whole and checked; its folders are made. */
  readonly target: string;
  /** In bytes. */
  readonly size: number;
  /** SHA-256, or SHA-1 of the file as a git object; hexadecimal. */
  readonly checksum?: { readonly kind: 'sha256' | 'git'; readonly value: string };
}

export interface DownloadOptions {
  readonly fetch?: Fetch;
  readonly signal?: AbortSignal;
  /** Called with the bytes of the file that have come, those of an earlier attempt among them. */
  readonly onBytes?: (received: number) => void;
}

const ATTEMPTS = 5;
const FIRST_DELAY = 250;
/** A connection that brings nothing for so long is given up, in milliseconds. */
const STALL = 30_000;

/** What a second attempt may mend. */
class TransferError extends Error {}

/** Downloads under way in this process, by target: a second one waits for the first and then finds the file there. */
const underWay = new Map<string, Promise<void>>();

/**
 * Fetches a file, from where an earlier attempt ended, and puts it under its name once its size and hash are right.
 * Until then it is `TARGET.PID.part` while a process writes it and `TARGET.part` afterwards; two processes that fetch
 * the same file write each its own.
 * @throws ModelError `hub` or `storage`; the signal's reason when aborted. What has come stays for the next attempt.
 */
export async function download(file: Download, options: DownloadOptions = {}): Promise<void> {
  for (let other = underWay.get(file.target); other; other = underWay.get(file.target))
    await other.catch(() => undefined);
  const own = fetchFile(file, options);
  underWay.set(file.target, own);
  try {
    await own;
  } finally {
    underWay.delete(file.target);
  }
}

async function fetchFile(file: Download, options: DownloadOptions): Promise<void> {
  options.signal?.throwIfAborted();
  if (await isWhole(file, file.target)) {
    options.onBytes?.(file.size);
    return;
  }
  try {
    await mkdir(dirname(file.target), { recursive: true });
    const part = await claimPart(file.target);
    try {
      await transfer(file, part, options);
      await rename(part, file.target);
    } catch (error) {
      await rename(part, `${file.target}.part`).catch(() => undefined);
      throw error;
    }
  } catch (error) {
    throw storageError(error, file) ?? error;
  }
}

async function transfer(file: Download, part: string, options: DownloadOptions): Promise<void> {
  const handle = await openPart(part);
  try {
    const resumed = (await handle.stat()).size > 0;
    // The part of an earlier attempt may be of another version of the file.
    for (let again = resumed; ; again = false) {
      await withRetries(file.url, () => receive(file, handle, options), options.signal);
      await handle.sync();
      if (await isWhole(file, part)) return;
      await restart(handle);
      if (!again) break;
    }
  } finally {
    await handle.close();
  }
  throw new ModelError(
    'hub',
    basename(file.target),
    `${file.url}: what was sent has not the ${file.checksum?.kind === 'git' ? 'SHA-1' : 'SHA-256'} that the hub announces ` +
      `(${file.checksum?.value.slice(0, 12) ?? ''}…); it was discarded, try again later`,
  );
}

/** One request: appends to the part what it lacks. */
async function receive(file: Download, handle: FileHandle, options: DownloadOptions): Promise<void> {
  const { fetch = globalThis.fetch, signal, onBytes } = options;
  let { size: received } = await handle.stat();
  if (received > file.size) received = await restart(handle);
  onBytes?.(received);
  if (received === file.size) return;
  const stalled = new AbortController();
  const timer = setTimeout(() => {
    stalled.abort(new TransferError(`nothing came for ${STALL / 1000} seconds`));
  }, STALL);
  try {
    const response = await fetch(file.url, {
      // Offsets and sizes are those of the file itself.
      headers: { 'accept-encoding': 'identity', ...(received > 0 && { range: `bytes=${received}-` }) },
      signal: signal ? AbortSignal.any([signal, stalled.signal]) : stalled.signal,
    });
    if (response.status === 206) {
      const [, start, total] =
        /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '') ?? [];
      if (Number(start) !== received || (total !== '*' && Number(total) !== file.size)) {
        await restart(handle);
        throw new TransferError('another range came than was asked for');
      }
    } else if (response.status === 416) {
      await restart(handle);
      throw new TransferError('the file ends before what has come of it');
    } else {
      checkStatus(response);
      // All of it, whether or not the rest alone was asked for (RFC 9110, section 14.2).
      received = await restart(handle);
    }
    // The type lacks the iterator that Node's streams have.
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      timer.refresh();
      if (received + chunk.length > file.size)
        throw new ModelError(
          'hub',
          basename(file.target),
          `${file.url}: more came than the ${file.size} bytes announced`,
        );
      await handle.write(chunk, 0, chunk.length, received);
      received += chunk.length;
      onBytes?.(received);
    }
    if (received < file.size)
      throw new TransferError(`the connection ended ${file.size - received} bytes early`);
  } finally {
    clearTimeout(timer);
  }
}

async function restart(handle: FileHandle): Promise<0> {
  if ((await handle.stat()).size > 0) await handle.truncate(0);
  return 0;
}

/** @throws TransferError where a second attempt may help, ModelError where none will */
export function checkStatus(response: Response): void {
  if (response.ok) return;
  const answer = `${response.url} answers ${response.status}${response.statusText === '' ? '' : ` ${response.statusText}`}`;
  if (response.status >= 500 || response.status === 429 || response.status === 408)
    throw new TransferError(answer);
  const reason = [401, 403, 404].includes(response.status)
    ? ': there is no such thing, or it is not public'
    : '';
  throw new ModelError('hub', response.url, `${answer}${reason}`);
}

/**
 * Runs what speaks with the hub, again after a pause where the connection or the hub failed.
 * @throws ModelError `hub` once the attempts are used up; the signal's reason when aborted
 */
export async function withRetries<Result>(
  url: string,
  action: () => Promise<Result>,
  signal?: AbortSignal,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await action();
    } catch (error) {
      signal?.throwIfAborted();
      // `fetch` throws TypeError for what fails on the way; its cause says what.
      if (!(error instanceof TransferError) && !(error instanceof TypeError)) throw error;
      if (attempt === ATTEMPTS) {
        throw new ModelError(
          'hub',
          url,
          `${url} cannot be had after ${ATTEMPTS} attempts: ${reasonOf(error)}; check the network and the hub's address, then try again: ` +
            'what has come is kept',
          { cause: error },
        );
      }
      await sleep(FIRST_DELAY * 2 ** (attempt - 1), undefined, signal && { signal }).catch(() => undefined);
      signal?.throwIfAborted();
    }
  }
}

function reasonOf(error: Error): string {
  const { cause } = error as { cause?: Partial<NodeJS.ErrnoException> };
  // Where several addresses were tried the message is empty, and the code says it.
  return [cause?.message, cause?.code, error.message].find(Boolean) ?? '';
}

async function openPart(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return await open(path, 'wx+');
  }
}

/**
 * Takes over, by renaming it, what an earlier attempt left: of renames of one file, one succeeds. Should a process on
 * another machine still write it, both write the same bytes to the same places, and the hash decides.
 */
async function claimPart(target: string): Promise<string> {
  const own = `${target}.${process.pid}.part`;
  const parts: { path: string; size: number }[] = [];
  for (const name of await readdir(dirname(target))) {
    const writer = name.startsWith(`${basename(target)}.`)
      ? /^(?:(\d+)\.)?part$/.exec(name.slice(basename(target).length + 1))
      : null;
    if (!writer || (writer[1] !== undefined && isAlive(Number(writer[1])))) continue;
    const path = join(dirname(target), name);
    const found = await stat(path).catch(() => undefined);
    if (found) parts.push({ path, size: found.size });
  }
  for (const { path } of parts.sort((a, b) => b.size - a.size)) {
    if (path === own) return own;
    try {
      await rename(path, own);
      return own;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return own;
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return false; // Left by this process: its own downloads of a file run one after another.
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function isWhole({ size, checksum }: Download, path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found?.size !== size) return false;
  if (!checksum) return true;
  const hash = createHash(checksum.kind === 'git' ? 'sha1' : 'sha256');
  // A git object is hashed with its kind and size in front.
  if (checksum.kind === 'git') hash.update(`blob ${size}\0`);
  return (await digestOfFile(path, hash)) === checksum.value;
}

function storageError(error: unknown, { target, size }: Download): ModelError | undefined {
  const { code, message } = error as NodeJS.ErrnoException;
  const folder = dirname(target);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new ModelError(
      'storage',
      basename(target),
      `${folder} has no room for ${basename(target)} (${size} bytes): free some, or set RAGPRESS_CACHE to a folder ` +
        'elsewhere, then try again: what has come is kept',
      { cause: error },
    );
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ENOTDIR' || code === 'EEXIST') {
    return new ModelError(
      'storage',
      basename(target),
      `${folder} cannot be written (${message}): set RAGPRESS_CACHE to a folder that can`,
      { cause: error },
    );
  }
  return undefined;
}

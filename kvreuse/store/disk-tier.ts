import { mkdir, open, readdir, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { BackOff } from './back-off.js';
import type { Counters } from './counters.js';
import { fileName, parseFileName, parseTemporaryName, temporaryName } from './disk-file-name.js';
import { DiskIndex, type IndexedFile } from './disk-index.js';
import { ENVELOPE_BYTES, writeEnvelope, type Envelope } from './envelope.js';
import { codeOf } from './error-code.js';
import { isAbandoned } from './is-abandoned.js';
import { openRecordFile, readRange, writeAll, type OpenedRecord } from './record-file.js';
import { isRangeOf, type StoredHandle } from './tier.js';
import { TierSpeed } from './tier-speed.js';

export interface DiskTierOptions {
  readonly folder: string;
  /** Bytes of all files, those that are being written among them. */
  readonly bytes: number;
  readonly counters: Counters;
  readonly isPinned: (key: string) => boolean;
  readonly degrade: (record: Uint8Array) => Uint8Array | undefined;
}

/** How long a full disk's own size is the bound. In milliseconds. */
const FULL = 60_000;
/** Two changes of a folder so near each other may have the same time. In milliseconds. */
const RACY = 50;

/**
 * Records in files, one each, that several processes may share.
 *
 * The bound holds over all of them: a writer first announces its file, empty and under a name that tells its size, then
 * lists the folder, and writes once all that is there or announced fits. Of two writers the later one sees the earlier.
 * It may be exceeded by a file that a listing misses, as it was renamed in the middle of it, until the next write; and by
 * files that were deleted while somebody reads them, until they are closed.
 *
 * Writes of a process take turns. Reads wait for nothing.
 */
export class DiskTier {
  readonly speed = new TierSpeed({ latencyMs: 1, bytesPerSecond: 500e6 });
  readonly #options: DiskTierOptions;
  readonly #counters: Counters;
  readonly #index = new DiskIndex();
  readonly #backOff = new BackOff();
  /** Names of what this process is writing. */
  readonly #writing = new Set<string>();
  #turn: Promise<unknown> = Promise.resolve();
  #refreshing: Promise<void> | undefined;
  #listed = { changed: -1, at: 0 };
  #full = { bytes: Infinity, until: 0 };

  constructor(options: DiskTierOptions) {
    this.#options = options;
    this.#counters = options.counters;
  }

  /**
   * Makes the folder, lists it and removes what dead writers left, and what is more than the bound.
   * @throws ConfigurationError where something else than a folder is there
   */
  async start(): Promise<void> {
    await this.#inTurn(async () => {
      const { folder } = this.#options;
      try {
        // What is in a cache of keys and values can be read almost like the text.
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await this.#makeRoom(await this.#list(), Infinity);
      } catch (error) {
        if (['EEXIST', 'ENOTDIR'].includes(codeOf(error)))
          throw new ConfigurationError('store.disk.folder', folder, 'a file is in its place: give a folder');
        this.#failed(error);
      }
    });
  }

  /** Bytes of the files that are known. */
  get bytes(): number {
    return this.#index.bytes;
  }

  get records(): number {
    return this.#index.records;
  }

  has(key: string): boolean {
    return this.#index.has(key);
  }

  async keys(): Promise<Iterable<string>> {
    await this.#refresh();
    return this.#index.keys();
  }

  /** Of a record that is known: its size and when it expires. */
  find(key: string): { readonly bytes: number; readonly expires: number } | undefined {
    const file = this.#index.file(this.#index.nameOf(key) ?? '');
    return file && { bytes: file.bytes - ENVELOPE_BYTES, expires: file.expires };
  }

  worth(key: string): number | undefined {
    return this.#index.worth(this.#index.nameOf(key) ?? '');
  }

  used(key: string, saved: number): void {
    this.#index.used(key, saved);
  }

  /** @returns undefined where there is none that can be read; failures are counted */
  async open(key: string): Promise<StoredHandle | undefined> {
    if (!this.has(key)) await this.#refresh();
    // Each round ends with a handle, or with one name fewer.
    for (let name = this.#index.nameOf(key); name !== undefined; name = this.#index.nameOf(key)) {
      const begun = performance.now();
      const entry = this.#index.file(name)!;
      entry.holders++;
      const found = await this.#tryOpen(name, entry);
      if (typeof found !== 'string') {
        this.speed.opened(performance.now() - begun);
        return this.#handle(entry, found.file, found.envelope);
      }
      entry.holders--;
      if (found === 'failed') return undefined;
      this.#index.forget(name);
    }
    return undefined;
  }

  /**
   * Writes a record, in the place of one of the same key.
   * @returns whether it is there; failures are counted
   */
  async write(
    key: string,
    record: Uint8Array,
    { savedMs, expires, worth }: { savedMs: number; expires: number; worth: number },
  ): Promise<boolean> {
    return this.#inTurn(async () => {
      const bytes = ENVELOPE_BYTES + record.byteLength;
      if (!this.#backOff.open || bytes > this.#limit) {
        this.#counters.turnedAway.disk++;
        return false;
      }
      const isPinned = this.#options.isPinned(key);
      const written = await this.#writeFile(key, record, { savedMs, expires, worth }, (announced) =>
        this.#makeRoom(announced, isPinned ? Infinity : this.#index.priority(bytes, worth), key),
      );
      if (written === 'no room') this.#counters.turnedAway.disk++;
      return written === 'written';
    });
  }

  /** Deletes files of keys, those of other processes too. @returns the keys */
  async delete(isWanted: (key: string) => boolean): Promise<string[]> {
    return this.#inTurn(async () => {
      const deleted = new Set<string>();
      try {
        await this.#list();
      } catch (error) {
        this.#counters.failed('disk', error);
      }
      for (const [name, { key }] of this.#index.files())
        if (isWanted(key) && (await this.#unlink(name))) deleted.add(key);
      return [...deleted];
    });
  }

  /** Waits for the writes. */
  async close(): Promise<void> {
    await this.#inTurn(() => Promise.resolve());
  }

  get #limit(): number {
    return performance.now() < this.#full.until
      ? Math.min(this.#options.bytes, this.#full.bytes)
      : this.#options.bytes;
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  #path(name: string): string {
    return join(this.#options.folder, name);
  }

  /** @returns the bytes of files that are being written, here or by others */
  async #list(): Promise<number> {
    const { folder } = this.#options;
    const at = Date.now();
    const { mtimeMs } = await stat(folder);
    const names = await readdir(folder);
    const files = new Set<string>();
    let announced = 0;
    for (const name of names) {
      const file = this.#index.file(name) ?? parseFileName(name);
      if (file) {
        files.add(name);
        this.#index.adopt(name, file);
        if (file.expires <= at && this.#index.file(name)!.holders === 0) await this.#unlink(name);
        continue;
      }
      const temporary = parseTemporaryName(name);
      if (!temporary) continue;
      if (!this.#writing.has(name) && (await isAbandoned(this.#path(name), temporary.pid)))
        await this.#remove(name);
      else announced += temporary.bytes;
    }
    for (const [name] of this.#index.files()) if (!files.has(name)) this.#index.forget(name);
    this.#listed = { changed: mtimeMs, at };
    return announced;
  }

  /** Takes in what other processes have written, where the folder changed since it was listed. */
  async #refresh(): Promise<void> {
    this.#refreshing ??= (async () => {
      try {
        const at = Date.now();
        const { mtimeMs } = await stat(this.#options.folder);
        // A change in the same tick of the clock as the listing: git's "racy" entries, gitformat-index.
        if (mtimeMs === this.#listed.changed && this.#listed.at - mtimeMs > RACY) return;
        for (const name of await readdir(this.#options.folder)) {
          const file = parseFileName(name);
          if (file) this.#index.adopt(name, file);
        }
        this.#listed = { changed: mtimeMs, at };
      } catch (error) {
        if (!isMissing(error)) this.#counters.failed('disk', error);
      } finally {
        this.#refreshing = undefined;
      }
    })();
    await this.#refreshing;
  }

  /** @param announced bytes of files that are being written */
  async #makeRoom(announced: number, priority: number, key?: string): Promise<boolean> {
    const excess = () => this.#index.bytes + announced - this.#limit;
    if (key !== undefined && excess() > 0)
      // What is replaced goes first, though a crash now loses the chunk.
      for (const name of this.#index.namesOf(key))
        if (this.#index.file(name)?.holders === 0) await this.#unlink(name);
    while (excess() > 0) {
      const plan = this.#index.plan(excess(), priority, (file) => this.#isKept(file));
      if (!plan) return false;
      for (const name of plan) {
        if (excess() <= 0) break;
        if (!(await this.#giveUp(name))) return false;
      }
    }
    return true;
  }

  #isKept({ key, holders }: IndexedFile): boolean {
    return holders > 0 || this.#options.isPinned(key);
  }

  /** Puts a smaller version in a file's place, or deletes it. @returns whether the file is gone */
  async #giveUp(name: string): Promise<boolean> {
    const entry = this.#index.file(name);
    if (!entry) return true;
    const smaller = await this.#smaller(name, entry);
    if (this.#isKept(entry)) return false;
    const worth = this.#index.worth(name) ?? entry.savedMs;
    if (!(await this.#unlink(name, true))) return false;
    const written =
      smaller &&
      (await this.#writeFile(entry.key, smaller, { ...entry, worth }, () => Promise.resolve(true)));
    if (written === 'written') this.#counters.degraded++;
    else this.#counters.evicted++;
    return true;
  }

  async #smaller(name: string, entry: IndexedFile): Promise<Uint8Array | undefined> {
    const found = await this.#tryOpen(name, entry);
    if (typeof found === 'string') return undefined;
    try {
      const record = await readRange(found.file, ENVELOPE_BYTES, ENVELOPE_BYTES + found.envelope.bytes);
      return record && this.#options.degrade(record);
    } catch (error) {
      this.#counters.failed('disk', error);
      return undefined;
    } finally {
      await found.file.close();
    }
  }

  /**
   * Announces, makes room, writes, and gives the file its name once it is whole and on the disk.
   * @param makeRoom told how many bytes are being written in the folder
   */
  async #writeFile(
    key: string,
    record: Uint8Array,
    { savedMs, expires, worth }: { savedMs: number; expires: number; worth: number },
    makeRoom: (announced: number) => Promise<boolean>,
  ): Promise<'written' | 'no room' | 'failed'> {
    const bytes = ENVELOPE_BYTES + record.byteLength;
    const described = { key, bytes, savedMs, expires };
    const name = fileName(described);
    const temporary = temporaryName(key, bytes);
    let file: FileHandle | undefined;
    this.#writing.add(temporary);
    try {
      file = await this.#create(temporary);
      if (!(await makeRoom(await this.#list()))) {
        await file.close();
        await this.#remove(temporary);
        return 'no room';
      }
      await writeAll(file, [writeEnvelope(key, { bytes: record.byteLength, savedMs, expires }), record]);
      await file.sync();
      await file.close();
      await rename(this.#path(temporary), this.#path(name));
    } catch (error) {
      await file?.close().catch(() => undefined);
      await this.#remove(temporary);
      this.#failed(error, bytes);
      return 'failed';
    } finally {
      this.#writing.delete(temporary);
    }
    this.#backOff.succeeded();
    this.#index.forget(name);
    this.#index.adopt(name, described, worth);
    for (const old of this.#index.namesOf(key)) if (old !== name) await this.#unlink(old);
    return 'written';
  }

  async #create(temporary: string): Promise<FileHandle> {
    try {
      return await open(this.#path(temporary), 'wx', 0o600);
    } catch (error) {
      if (!isMissing(error)) throw error;
      await mkdir(this.#options.folder, { recursive: true, mode: 0o700 });
      return open(this.#path(temporary), 'wx', 0o600);
    }
  }

  /** @returns `gone` also where it was at fault or had expired, and was removed therefore */
  async #tryOpen(name: string, { key }: IndexedFile): Promise<OpenedRecord | 'gone' | 'failed'> {
    try {
      const opened = await openRecordFile(this.#path(name), key);
      if (typeof opened === 'string') {
        this.#counters.refuse(opened);
        await this.#remove(name);
        return 'gone';
      }
      const { file, envelope } = opened;
      if (envelope.expires > Date.now()) return opened;
      await file.close();
      await this.#remove(name);
      return 'gone';
    } catch (error) {
      // Another process made room.
      if (isMissing(error)) return 'gone';
      this.#counters.failed('disk', error);
      return 'failed';
    }
  }

  #handle(entry: IndexedFile, file: FileHandle, envelope: Envelope): StoredHandle {
    const { bytes } = envelope;
    let closing: Promise<void> | undefined;
    const read = async (start: number, end: number) => {
      try {
        return await readRange(file, ENVELOPE_BYTES + start, ENVELOPE_BYTES + end);
      } catch (error) {
        this.#counters.failed('disk', error);
        return undefined;
      }
    };
    return {
      ...envelope,
      tier: 'disk',
      read: async (start, end, isTimed) =>
        closing || !isRangeOf(bytes, start, end)
          ? undefined
          : this.speed.reading(() => read(start, end), isTimed),
      close: () => {
        closing ??= (async () => {
          entry.holders--;
          await file.close().catch(() => undefined);
        })();
        return closing;
      },
    };
  }

  /** @returns whether the file is gone */
  async #unlink(name: string, isEviction = false): Promise<boolean> {
    if (!(await this.#remove(name))) return false;
    if (isEviction) this.#index.evict(name);
    else this.#index.forget(name);
    return true;
  }

  async #remove(name: string): Promise<boolean> {
    try {
      await unlink(this.#path(name));
      return true;
    } catch (error) {
      if (isMissing(error)) return true;
      this.#counters.failed('disk', error);
      return false;
    }
  }

  /** @param bytes that were to be written */
  #failed(error: unknown, bytes = 0): void {
    this.#counters.failed('disk', error);
    this.#backOff.failed();
    // Others fill the disk, or the bound is more than it has: what is there is replaced instead of added to.
    const isFull = ['ENOSPC', 'EDQUOT'].includes(codeOf(error));
    if (isFull && bytes <= this.#index.bytes)
      this.#full = { bytes: this.#index.bytes, until: performance.now() + FULL };
  }
}

function isMissing(error: unknown): boolean {
  return codeOf(error) === 'ENOENT';
}

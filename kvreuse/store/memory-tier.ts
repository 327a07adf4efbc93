import { Gdsf } from './gdsf.js';
import { isRangeOf, type RecordHandle } from './tier.js';

export interface MemoryRecord {
  readonly record: Uint8Array;
  /** Milliseconds since 1970; Infinity: never. */
  readonly expires: number;
}

interface Entry extends MemoryRecord {
  /** Open handles, and writes under way. */
  holders: number;
  /** There is no smaller version. */
  smallest: boolean;
}

/** Records in RAM. Those that are held count until they are let go, so the bound is that of what is really kept. */
export class MemoryTier {
  readonly limit: number;
  readonly #isPinned: (key: string) => boolean;
  readonly #entries = new Map<string, Entry>();
  readonly #values = new Gdsf();
  /** Bytes for records that are about to come. */
  #reserved = 0;
  /** Bytes of deleted records that are still held. */
  #lingering = 0;

  /** @param limit in bytes */
  constructor(limit: number, isPinned: (key: string) => boolean) {
    this.limit = limit;
    this.#isPinned = isPinned;
  }

  /** At most the limit. */
  get bytes(): number {
    return this.#values.bytes + this.#lingering + this.#reserved;
  }

  get records(): number {
    return this.#entries.size;
  }

  keys(): Iterable<string> {
    return this.#entries.keys();
  }

  get(key: string): MemoryRecord | undefined {
    return this.#entries.get(key);
  }

  worth(key: string): number | undefined {
    return this.#values.worth(key);
  }

  used(key: string, saved: number): void {
    this.#values.used(key, saved);
  }

  open(key: string): RecordHandle | undefined {
    const entry = this.#entries.get(key);
    if (!entry) return undefined;
    if (entry.expires <= Date.now()) {
      this.delete(key);
      return undefined;
    }
    const { record } = entry;
    let release: (() => void) | undefined = this.#hold(entry, key);
    return {
      bytes: record.byteLength,
      tier: 'memory',
      read: (start, end) =>
        Promise.resolve(
          release && isRangeOf(record.byteLength, start, end) ? record.subarray(start, end) : undefined,
        ),
      close: () => {
        release?.();
        release = undefined;
        return Promise.resolve();
      },
    };
  }

  /** Keeps a record where it is until the function returned is called. */
  hold(key: string): () => void {
    const entry = this.#entries.get(key);
    return entry ? this.#hold(entry, key) : () => undefined;
  }

  /** Takes room for a record that is about to come, where it is free. `set` and `release` give it back. */
  reserve(bytes: number): boolean {
    if (this.bytes + bytes > this.limit) return false;
    this.#reserved += bytes;
    return true;
  }

  release(bytes: number): void {
    this.#reserved -= bytes;
  }

  /** Puts a record into the room that was reserved for it. */
  set(key: string, { record, expires }: MemoryRecord, worth: number): void {
    this.delete(key);
    this.release(record.byteLength);
    this.#entries.set(key, { record, expires, holders: 0, smallest: false });
    this.#values.set(key, record.byteLength, worth);
  }

  /**
   * What to give up so that a record of so many bytes fits, the least valuable first.
   * @returns undefined where it is to be turned away
   */
  plan(bytes: number, worth: number, isPinned: boolean): string[] | undefined {
    for (const [key, { expires, holders }] of this.#entries)
      if (expires <= Date.now() && holders === 0) this.delete(key);
    if (bytes > this.limit) return undefined;
    const priority = isPinned ? Infinity : this.#values.priority(bytes, worth);
    return this.#values.plan(this.bytes + bytes - this.limit, priority, (key) => !this.isFree(key));
  }

  /** Whether it is there and may be given up. */
  isFree(key: string): boolean {
    return this.#entries.get(key)?.holders === 0 && !this.#isPinned(key);
  }

  /**
   * Puts a smaller version in the place of a record.
   * @returns whether there was one
   */
  degrade(key: string, degrade: (record: Uint8Array) => Uint8Array | undefined): boolean {
    const entry = this.#entries.get(key);
    if (!entry || entry.smallest || !this.isFree(key)) return false;
    const smaller = degrade(entry.record);
    if (!smaller) {
      entry.smallest = true;
      return false;
    }
    this.#entries.set(key, { ...entry, record: smaller });
    this.#values.set(key, smaller.byteLength, this.#values.worth(key)!);
    return true;
  }

  evict(key: string): void {
    this.#values.evict(key);
    this.delete(key);
  }

  delete(key: string): boolean {
    const entry = this.#entries.get(key);
    if (!entry) return false;
    if (entry.holders > 0) this.#lingering += entry.record.byteLength;
    this.#entries.delete(key);
    this.#values.delete(key);
    return true;
  }

  #hold(entry: Entry, key: string): () => void {
    entry.holders++;
    return () => {
      if (--entry.holders === 0 && this.#entries.get(key) !== entry)
        this.#lingering -= entry.record.byteLength;
    };
  }
}

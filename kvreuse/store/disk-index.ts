import type { RecordFile } from './disk-file-name.js';
import { Gdsf } from './gdsf.js';

export interface IndexedFile extends RecordFile {
  /** Handles of this process. */
  holders: number;
}

/** The files of a folder that are known, and what each is worth. */
export class DiskIndex {
  /** By file name. */
  readonly #files = new Map<string, IndexedFile>();
  /** Names of a key's files: two processes may have written one each. */
  readonly #names = new Map<string, Set<string>>();
  readonly #values = new Gdsf();

  get bytes(): number {
    return this.#values.bytes;
  }

  /** Number of keys. */
  get records(): number {
    return this.#names.size;
  }

  keys(): Iterable<string> {
    return this.#names.keys();
  }

  has(key: string): boolean {
    return this.#names.has(key);
  }

  files(): [name: string, file: IndexedFile][] {
    return [...this.#files];
  }

  file(name: string): IndexedFile | undefined {
    return this.#files.get(name);
  }

  namesOf(key: string): string[] {
    return [...(this.#names.get(key) ?? [])];
  }

  nameOf(key: string): string | undefined {
    return this.#names.get(key)?.values().next().value;
  }

  worth(name: string): number | undefined {
    return this.#values.worth(name);
  }

  /** A use of a key that saved so many milliseconds. */
  used(key: string, saved: number): void {
    for (const name of this.#names.get(key) ?? []) this.#values.used(name, saved);
  }

  priority(bytes: number, worth: number): number {
    return this.#values.priority(bytes, worth);
  }

  /** See `Gdsf.plan`; by name. */
  plan(bytes: number, priority: number, keeps: (file: IndexedFile) => boolean): string[] | undefined {
    return this.#values.plan(bytes, priority, (name) => keeps(this.#files.get(name)!));
  }

  /** Takes a file in, where it is not known. */
  adopt(name: string, file: RecordFile, worth = file.savedMs): void {
    if (this.#files.has(name)) return;
    this.#files.set(name, { ...file, holders: 0 });
    this.#names.set(file.key, (this.#names.get(file.key) ?? new Set()).add(name));
    this.#values.set(name, file.bytes, worth);
  }

  /** A file is gone. */
  forget(name: string): void {
    const file = this.#files.get(name);
    if (!file) return;
    this.#files.delete(name);
    this.#values.delete(name);
    const names = this.#names.get(file.key)!;
    names.delete(name);
    if (names.size === 0) this.#names.delete(file.key);
  }

  /** A file is gone to make room. */
  evict(name: string): void {
    this.#values.evict(name);
    this.forget(name);
  }
}

interface Entry {
  readonly bytes: number;
  /** Milliseconds saved by all uses: frequency × saving. */
  worth: number;
  priority: number;
}

/**
 * GreedyDual-Size-Frequency (Cherkasova, "Improving WWW Proxies Performance with Greedy-Dual-Size-Frequency Caching
 * Policy", HP Labs 1998): what has the lowest H = clock + frequency × cost / size is given up, and the clock goes on to
 * its H, so that what is not used any more is overtaken by what is. Frequency × cost is the sum of what the uses saved.
 */
export class Gdsf {
  readonly #entries = new Map<string, Entry>();
  #clock = 0;
  #bytes = 0;

  /** Bytes of all entries. */
  get bytes(): number {
    return this.#bytes;
  }

  priority(bytes: number, worth: number): number {
    return this.#clock + worth / Math.max(1, bytes);
  }

  worth(key: string): number | undefined {
    return this.#entries.get(key)?.worth;
  }

  set(key: string, bytes: number, worth: number): void {
    this.delete(key);
    this.#entries.set(key, { bytes, worth, priority: this.priority(bytes, worth) });
    this.#bytes += bytes;
  }

  /** A use that saved so many milliseconds. */
  used(key: string, saved: number): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    entry.worth += saved;
    entry.priority = this.priority(entry.bytes, entry.worth);
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (!entry) return;
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
  }

  /** Deletes an entry to make room: the clock goes on. */
  evict(key: string): void {
    this.#clock = Math.max(this.#clock, this.#entries.get(key)?.priority ?? 0);
    this.delete(key);
  }

  /**
   * What to give up for a newcomer, the least valuable first.
   * @param bytes how many are to become free
   * @param priority of the newcomer: nothing above it is given up
   * @param keeps what must stay whatever its value
   * @returns undefined where the newcomer is to be turned away
   */
  plan(bytes: number, priority: number, keeps: (key: string) => boolean): string[] | undefined {
    const chosen = new Set<string>();
    // A pass for each: records are large, so few go at once.
    for (let freed = 0; freed < bytes;) {
      let least: [string, Entry] | undefined;
      for (const each of this.#entries)
        if ((!least || each[1].priority < least[1].priority) && !chosen.has(each[0]) && !keeps(each[0]))
          least = each;
      if (!least) return undefined;
      if (least[1].priority > priority) {
        // The original lets the newcomer in and gives it up at once as the least of all, which moves the clock.
        this.#clock = Math.max(this.#clock, priority);
        return undefined;
      }
      chosen.add(least[0]);
      freed += least[1].bytes;
    }
    return [...chosen];
  }
}

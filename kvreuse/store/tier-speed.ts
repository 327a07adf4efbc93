/** How fast records come from a tier. */
export interface Speed {
  /** Until the first byte, in milliseconds. */
  readonly latencyMs: number;
  readonly bytesPerSecond: number;
}

/** What the newest measurement weighs in the average. */
const WEIGHT = 0.2;
/** Reads that follow each other without a pause are measured in pieces of this length, in milliseconds. */
const PIECE = 100;

/** Moving averages of what loads take. */
export class TierSpeed {
  readonly #assumed: Speed;
  #latency: number | undefined;
  #bytes = 0;
  #milliseconds = 0;
  #active = 0;
  #begun = 0;
  #come = 0;

  /** @param assumed until something was measured */
  constructor(assumed: Speed) {
    this.#assumed = assumed;
  }

  get speed(): Speed {
    return {
      latencyMs: this.#latency ?? this.#assumed.latencyMs,
      bytesPerSecond:
        this.#bytes > 0 ? (1_000 * this.#bytes) / this.#milliseconds : this.#assumed.bytesPerSecond,
    };
  }

  /** A record was found, and its first bytes read. */
  opened(milliseconds: number): void {
    this.#latency =
      this.#latency === undefined ? milliseconds : (1 - WEIGHT) * this.#latency + WEIGHT * milliseconds;
  }

  /**
   * Measures a read. Reads at the same time share the tier, so the time counts once for all of them.
   * @param isTimed as `RecordHandle.read` has it. Default true
   */
  async reading(
    read: () => Promise<Uint8Array | undefined>,
    isTimed = true,
  ): Promise<Uint8Array | undefined> {
    if (!isTimed) return read();
    if (this.#active++ === 0) {
      this.#begun = performance.now();
      this.#come = 0;
    }
    try {
      const bytes = await read();
      this.#come += bytes?.byteLength ?? 0;
      return bytes;
    } finally {
      const milliseconds = performance.now() - this.#begun;
      if (--this.#active === 0 || milliseconds > PIECE) {
        if (this.#come > 0) this.#measured(this.#come, milliseconds);
        this.#begun += milliseconds;
        this.#come = 0;
      }
    }
  }

  #measured(bytes: number, milliseconds: number): void {
    const old = this.#bytes > 0 ? 1 - WEIGHT : 0;
    this.#bytes = old * this.#bytes + (1 - old) * bytes;
    this.#milliseconds = old * this.#milliseconds + (1 - old) * Math.max(milliseconds, 0.001);
  }
}

/** When to try again what failed: after a delay that doubles with each failure in a row. Times in milliseconds. */
export class BackOff {
  readonly #first: number;
  readonly #longest: number;
  #delay: number;
  #until = 0;

  constructor(first = 1_000, longest = 60_000) {
    this.#first = first;
    this.#longest = longest;
    this.#delay = first;
  }

  /** Whether it may be tried. */
  get open(): boolean {
    return performance.now() >= this.#until;
  }

  failed(): void {
    // Those that were under way when the first one failed are the same failure.
    if (!this.open) return;
    this.#until = performance.now() + this.#delay;
    this.#delay = Math.min(this.#longest, 2 * this.#delay);
  }

  succeeded(): void {
    this.#delay = this.#first;
    this.#until = 0;
  }
}

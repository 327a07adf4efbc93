/** Keys whose records are not to be given up, whether they are there yet or not. */
export class Pins {
  /** Until when, in milliseconds since 1970. */
  readonly #until = new Map<string, number>();

  pin(key: string, until: number): void {
    for (const pinned of [...this.#until.keys()]) this.has(pinned);
    this.#until.set(key, until);
  }

  unpin(key: string): void {
    this.#until.delete(key);
  }

  has(key: string): boolean {
    return this.until(key) !== undefined;
  }

  /** @returns undefined where it is not pinned */
  until(key: string): number | undefined {
    const until = this.#until.get(key);
    if (until === undefined || until > Date.now()) return until;
    this.#until.delete(key);
    return undefined;
  }
}

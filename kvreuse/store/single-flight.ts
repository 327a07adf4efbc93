interface Flight {
  readonly outcome: Promise<unknown>;
  readonly controller: AbortController;
  waiting: number;
  ended: boolean;
}

/** Runs one maker a key at a time, for all who ask for it meanwhile. */
export class SingleFlight {
  readonly #flights = new Map<string, Flight>();

  /**
   * What `make` makes, or what another call's makes that is under way for this key. Where that one fails, whoever waits
   * runs its own.
   * @param make its signal fires when nobody waits any more; an abort of one call leaves it running for the others
   * @param signal of this call
   * @throws what this call's own `make` throws; the signal's reason when aborted
   */
  async once<T>(key: string, make: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (;;) {
      signal?.throwIfAborted();
      const other = this.#flights.get(key);
      const flight = other ?? this.#start(key, make);
      try {
        return (await this.#wait(flight, signal)) as T;
      } catch (error) {
        if (!other || signal?.aborted) throw error;
      }
    }
  }

  #start(key: string, make: (signal: AbortSignal) => Promise<unknown>): Flight {
    const controller = new AbortController();
    const end = () => {
      flight.ended = true;
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    const outcome = Promise.resolve()
      .then(() => make(controller.signal))
      .finally(end);
    outcome.catch(() => undefined);
    const flight: Flight = { outcome, controller, waiting: 0, ended: false };
    controller.signal.addEventListener('abort', end, { once: true });
    this.#flights.set(key, flight);
    return flight;
  }

  async #wait(flight: Flight, signal: AbortSignal | undefined): Promise<unknown> {
    flight.waiting++;
    return new Promise((resolve, reject) => {
      const leave = () => {
        signal?.removeEventListener('abort', stop);
        if (--flight.waiting === 0 && !flight.ended) flight.controller.abort(signal?.reason);
      };
      // At once, so that a call that comes in the same turn does not join a flight that is given up.
      const stop = () => {
        leave();
        reject(signal!.reason as Error);
      };
      signal?.addEventListener('abort', stop);
      flight.outcome
        .finally(() => {
          if (!signal?.aborted) leave();
        })
        .then(resolve, reject);
    });
  }
}

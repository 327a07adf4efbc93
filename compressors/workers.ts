import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import type { Format } from './page.js';
import type { Page } from './page.js';

let pool: Piscina<{ content: string; format?: Format; name?: string }, Page> | undefined;
let users = 0;

/**
 * The threads that read large documents, one pool for the process. They start when first needed, keep no process
 * alive, and end when the last user lets go.
 */
export class Workers {
  #released = false;

  constructor() {
    users++;
  }

  /** @throws the signal's reason when aborted: the thread is stopped, whatever it is doing */
  extract(
    content: string,
    format: Format | undefined,
    name: string | undefined,
    signal: AbortSignal,
  ): Promise<Page> {
    pool ??= new Piscina({
      filename: fileURLToPath(new URL('./extract-worker.js', import.meta.url)),
      minThreads: 0,
      maxThreads: Math.max(1, availableParallelism() - 1),
      idleTimeout: 30_000,
    });
    return pool.run({ content, ...(format && { format }), ...(name !== undefined && { name }) }, { signal });
  }

  async close(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    if (--users > 0 || !pool) return;
    const closing = pool;
    pool = undefined;
    await closing.destroy();
  }
}

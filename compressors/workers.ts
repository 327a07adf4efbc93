import { availableParallelism } from 'node:os';
import { ThreadPool } from '../models/thread-pool.js';
import type { ExtractTask } from './extract-worker.js';
import type { Format, Page } from './page.js';

/** Code units that are copied between two turns of the event loop. */
const COPY_LENGTH = 1_048_576;

let pool: ThreadPool<ExtractTask, Page> | undefined;
let users = 0;
/** Whether there are no threads, as in a bundle, of which the process has been warned. */
let none = false;

/**
 * The threads that read large documents, one pool for the process. They start when first needed, keep no process
 * alive, and end when the last user lets go.
 */
export class Workers {
  #released = false;

  constructor() {
    users++;
  }

  /** Whether there are threads; in a bundle that has no package beside it there are not. */
  get any(): boolean {
    return opened() !== undefined;
  }

  /**
   * @throws the signal's reason when aborted: the thread is stopped, whatever it is doing; Error where there are no threads
   */
  async extract(
    content: string,
    format: Format | undefined,
    name: string | undefined,
    signal: AbortSignal,
    turn: () => Promise<void>,
  ): Promise<Page> {
    const shared = new SharedArrayBuffer(content.length * 2);
    const bytes = Buffer.from(shared);
    for (let at = 0; at < content.length; at += COPY_LENGTH) {
      bytes.write(content.slice(at, at + COPY_LENGTH), at * 2, 'utf16le');
      await turn();
    }
    const threads = opened();
    if (!threads) throw new Error('there are no threads');
    return threads.run({ content: shared, format, name }, signal);
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

function opened(): ThreadPool<ExtractTask, Page> | undefined {
  if (pool || none) return pool;
  try {
    pool = new ThreadPool('compressors/extract-worker.js', {
      minThreads: 0,
      maxThreads: Math.max(1, availableParallelism() - 1),
      idleTimeout: 30_000,
    });
  } catch (error) {
    none = true;
    process.emitWarning(`ragpress reads long documents in the main thread: ${(error as Error).message}`);
  }
  return pool;
}

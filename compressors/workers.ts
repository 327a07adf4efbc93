import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Piscina } from 'piscina';
import type { ExtractTask } from './extract-worker.js';
import type { Format, Page } from './page.js';

/** Code units that are copied between two turns of the event loop. */
const COPY_LENGTH = 1_048_576;

let pool: Piscina<ExtractTask, Page> | undefined;
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
    pool ??= openPool();
    return pool.run({ content: shared, format, name }, { signal });
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

function openPool(): Piscina<ExtractTask, Page> {
  const opened = new Piscina<ExtractTask, Page>({
    filename: fileURLToPath(new URL('./extract-worker.js', import.meta.url)),
    minThreads: 0,
    maxThreads: Math.max(1, availableParallelism() - 1),
    idleTimeout: 30_000,
  });
  // A thread that dies takes its task with it, which is told so; without a listener it would take the process.
  opened.on('error', () => undefined);
  return opened;
}

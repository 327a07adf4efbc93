import * as modules from 'node:module';
import type { Piscina } from 'piscina';
import { packageFile } from './package-file.js';

export interface ThreadPoolOptions {
  /** Threads that are kept while there is nothing to do. */
  readonly minThreads: number;
  readonly maxThreads: number;
  /** Milliseconds after which a thread more than `minThreads` ends where there is nothing to do. */
  readonly idleTimeout?: number;
  readonly workerData?: unknown;
}

/** Threads that run one module, a task each at a time. They keep no process alive. */
export class ThreadPool<Task, Result> {
  readonly #filename: string;
  readonly #pool: Piscina<Task, Result>;

  /**
   * @param file of the module, under dist/
   * @throws Error where it is not there, as in a bundle that has no package beside it
   */
  constructor(file: string, { minThreads, maxThreads, idleTimeout, workerData }: ThreadPoolOptions) {
    this.#filename = packageFile(`dist/${file}`);
    // From the package: what Piscina's threads run is a file beside it, which no bundle has.
    const { Piscina } = modules.createRequire(packageFile('package.json'))(
      'piscina',
    ) as typeof import('piscina');
    this.#pool = new Piscina({
      minThreads,
      maxThreads,
      concurrentTasksPerWorker: 1,
      ...(idleTimeout !== undefined && { idleTimeout }),
      // What the process was started with, such as --input-type, need not suit a thread.
      execArgv: [],
      workerData,
    });
    // A thread that dies takes its task with it, which is told so; without a listener it would take the process.
    this.#pool.on('error', () => undefined);
  }

  /** @throws what the module throws, or loading it; an AbortError when aborted: the thread is stopped, whatever it is doing */
  async run(task: Task, signal?: AbortSignal): Promise<Result> {
    // The module goes with the task: for one that threads cannot load at their start, Piscina lets tasks wait for ever.
    return this.#pool.run(task, { filename: this.#filename, signal: signal ?? null });
  }

  async destroy(): Promise<void> {
    await this.#pool.destroy();
  }
}

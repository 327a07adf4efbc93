import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const child = fileURLToPath(new URL('store-child.ts', import.meta.url));

/** What a process of its own is told to do with a store: see `store-child.ts`. */
export interface Task {
  readonly folder: string;
  readonly bytes: number;
  /** Sizes of records, taken in turn. */
  readonly sizes: readonly number[];
  /** Numbers of chunks, taken in turn. */
  readonly chunks: readonly number[];
  /** How many records are put. */
  readonly puts: number;
  /** After each, whether one of the chunks is looked up and read. */
  readonly reads: boolean;
}

export interface Outcome {
  readonly damaged: number;
  readonly found: number;
  readonly errors: number;
  readonly lastError: string | undefined;
  readonly evicted: number;
  readonly turnedAway: number;
  readonly refused: Readonly<Record<string, number>>;
}

/** Runs a task in a process of its own, that ends when it is done. */
export class StoreProcess {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  /** @param limit of the size of a file, in units of the shell's `ulimit -f` */
  constructor(task: Task, limit?: number) {
    const args = ['--import', 'tsx', child, JSON.stringify(task)];
    const stdio = ['ignore', 'pipe', 'inherit'] as const;
    this.process =
      limit === undefined
        ? spawn(process.execPath, args, { stdio: [...stdio] })
        : spawn('sh', ['-c', `ulimit -f ${limit}; exec "$@"`, 'sh', process.execPath, ...args], {
            stdio: [...stdio],
          });
    this.#lines = createInterface({ input: this.process.stdout! })[Symbol.asyncIterator]();
  }

  /** The first record is about to be put. */
  async ready(): Promise<void> {
    await this.#lines.next();
  }

  /** After `ready`. */
  async outcome(): Promise<Outcome> {
    const line = await this.#lines.next();
    if (line.done) throw new Error('the process ended before its task');
    return JSON.parse(line.value) as Outcome;
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await exited;
  }
}

import { fork, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { packageRoot } from '../package-root.js';
import type { TransformersResult, TransformersTask } from './transformers-child.js';

interface Waiting {
  readonly resolve: (result: TransformersResult) => void;
  readonly reject: (reason: Error) => void;
}

/**
 * Transformers.js in a process of its own. Version 2 brings ONNX Runtime 1.14, which damages the heap where several
 * threads of a process load it, writes warnings to stderr, and computes within the call, which would stop the event loop.
 */
export class TransformersProcess {
  readonly #child: ChildProcess;
  readonly #waiting: Waiting[] = [];
  /** Why nothing more can be run. */
  #fault: Error | undefined;
  /** Once the process is no more. */
  readonly ended: Promise<void>;

  constructor() {
    this.#child = fork(join(packageRoot, 'dist', 'models', 'encoder', 'transformers-child.js'), {
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    });
    this.ended = new Promise((resolve) => {
      for (const event of ['exit', 'error'] as const)
        this.#child.once(event, () => {
          resolve();
        });
    });
    this.#child.on('message', (result: TransformersResult) => {
      this.#waiting.shift()?.resolve(result);
      if (this.#waiting.length === 0) this.#unref();
    });
    this.#child.on('error', (error) => {
      this.#stop(error);
    });
    this.#child.on('exit', (code, signal) => {
      this.#stop(new Error(`its process ended with ${signal ?? code}`));
    });
    this.#unref();
  }

  /** Tasks are done one after another. @throws Error where the process ends before this one is done */
  async run(task: TransformersTask): Promise<TransformersResult> {
    if (this.#fault) throw this.#fault;
    this.#child.ref();
    this.#child.channel?.ref();
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#child.send(task, (error) => {
        if (error) this.#stop(error);
      });
    });
  }

  /** Ends the process, once it has done what it was given. */
  async close(): Promise<void> {
    await this.run({ type: 'close' }).catch(() => undefined);
    this.#child.ref();
    if (this.#child.connected) this.#child.disconnect();
    await this.ended;
  }

  /** An embedder that is idle does not keep the program from ending. */
  #unref(): void {
    this.#child.unref();
    this.#child.channel?.unref();
  }

  #stop(reason: Error): void {
    this.#fault ??= reason;
    for (const { reject } of this.#waiting.splice(0)) reject(this.#fault);
  }
}

import { fork, type ChildProcess } from 'node:child_process';
import { packageFile } from '../package-file.js';

interface Waiting<Result> {
  readonly resolve: (result: Result) => void;
  readonly reject: (reason: Error) => void;
}

/**
 * Transformers.js in a process of its own. Version 2 brings ONNX Runtime 1.14, which damages the heap where several
 * threads of a process load it, writes warnings to stderr, and computes within the call, which would stop the event loop.
 */
export class TransformersProcess<Task extends object, Result> {
  readonly #child: ChildProcess;
  readonly #waiting: Waiting<Result>[] = [];
  /** Why nothing more can be run. */
  #fault: Error | undefined;
  /** Once the process is no more. */
  readonly ended: Promise<void>;

  /** @param file of the process, under dist/ */
  constructor(file: string) {
    this.#child = fork(packageFile(`dist/${file}`), {
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
    this.#child.on('message', (result: Result) => {
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
  async run(task: Task): Promise<Result> {
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

  /** Says something that no result is sent for. */
  tell(message: object): void {
    if (!this.#fault) this.#child.send(message, () => undefined);
  }

  /** Ends the process, once it has done what it was given, and last of all this. */
  async close(closing: Task): Promise<void> {
    await this.run(closing).catch(() => undefined);
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

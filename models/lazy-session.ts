import { Session, type ModelTensors, type SessionMemory } from './session.js';

/** A model file that is opened when first needed, and again after it was closed or could not be opened. */
export class LazySession {
  /** Of the model file. */
  readonly path: string;
  readonly #threads: number | undefined;
  readonly #warmUp: () => ModelTensors;
  #session: Promise<Session> | undefined;

  /**
   * @param threads as SessionOptions
   * @param warmUp makes the input of a first run
   */
  constructor(path: string, threads: number | undefined, warmUp: () => ModelTensors) {
    this.path = path;
    this.#threads = threads;
    this.#warmUp = warmUp;
  }

  /** @throws as `Session.open` */
  async opened(): Promise<Session> {
    this.#session ??= Session.open(this.path, {
      warmUp: this.#warmUp(),
      ...(this.#threads !== undefined && { threads: this.#threads }),
    });
    try {
      return await this.#session;
    } catch (error) {
      this.#session = undefined;
      throw error;
    }
  }

  /** Undefined before the first use. */
  async memory(): Promise<SessionMemory | undefined> {
    return (await this.#session)?.memory;
  }

  /** Frees the model where nothing else in the process uses it. */
  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    await (await session?.catch(() => undefined))?.close();
  }
}

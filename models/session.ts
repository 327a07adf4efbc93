import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { validate } from '../settings/validate.js';
import { ModelError } from './model-error.js';
import { nativeTurns } from './native-turn.js';
import type {
  ModelTensor,
  ModelTensors,
  SessionDescription,
  SessionTask,
  SessionWorkerData,
} from './session-worker.js';
import { ThreadPool } from './thread-pool.js';

export type { ModelTensor, ModelTensors } from './session-worker.js';

export interface SessionOptions {
  /** Threads of one run's matrix products. Default as many as there are processors, at most 4. The result is the same. */
  readonly threads?: number;
  /** A small input for one run at the start, so that the first that counts is as fast as those after it. */
  readonly warmUp?: ModelTensors;
}

const optionsSchema = z.strictObject({
  threads: z
    .int()
    .min(1)
    .max(256)
    .default(() => Math.min(4, availableParallelism())),
  warmUp: z.record(z.string(), z.custom<ModelTensor>()).optional(),
});

export interface SessionMemory {
  /** Size of the model's file. */
  readonly fileBytes: number;
  /**
   * By how much the process grew while the model was loaded and warmed up. Whatever else the process took or gave back
   * in that time is in it, and longer inputs later take more: the runtime keeps the buffers of the largest run.
   */
  readonly residentBytes: number;
}

interface SharedSession {
  readonly path: string;
  readonly threads: number;
  readonly opened: Promise<SessionDescription>;
  users: number;
}

const shared = new Map<string, SharedSession>();

/**
 * The thread that holds every session of the process. onnxruntime-node computes inside the call, so in the main thread
 * it would stop the event loop; and runs side by side would only contend for the processors that one run already uses.
 */
let pool: ThreadPool<SessionTask, unknown> | undefined;
let turns: SessionWorkerData['turns'] | undefined;

/** A model file in ONNX Runtime: one for all its users in the process, freed when the last of them closes it. */
export class Session {
  readonly #session: SharedSession;
  readonly #description: SessionDescription;
  #closed = false;

  private constructor(session: SharedSession, description: SessionDescription) {
    this.#session = session;
    this.#description = description;
  }

  /** @throws ConfigurationError; ModelError `inference` for a file that ONNX Runtime does not take */
  static async open(path: string, options: SessionOptions = {}): Promise<Session> {
    const { threads, warmUp } = validate(optionsSchema, options, 'session');
    const key = `${threads}:${path}`;
    let session = shared.get(key);
    if (!session) {
      const opened = send<SessionDescription>({ type: 'open', path, threads, ...(warmUp && { warmUp }) });
      session = { path, threads, opened, users: 0 };
      shared.set(key, session);
    }
    session.users++;
    try {
      return new Session(session, await session.opened);
    } catch (error) {
      await leave(session);
      throw error;
    }
  }

  get inputs(): readonly string[] {
    return this.#description.inputs;
  }

  get outputs(): readonly string[] {
    return this.#description.outputs;
  }

  get memory(): SessionMemory {
    const { fileBytes, residentBytes } = this.#description;
    return { fileBytes, residentBytes };
  }

  /**
   * Runs the graph once for each of `feeds`, one after another: what one gives does not depend on the others. A batch as
   * one input would: int8 activations get their scale from all rows of a tensor (ONNX, DynamicQuantizeLinear).
   * @param feeds by name of the graph's input; one that it does not have is passed over
   * @param outputs names of the outputs wanted; default all
   * @throws ModelError `inference`; the signal's reason when it is aborted before the runs begin
   */
  async run(
    feeds: readonly ModelTensors[],
    { outputs = this.outputs, signal }: { outputs?: readonly string[]; signal?: AbortSignal } = {},
  ): Promise<Readonly<Record<string, ModelTensor>>[]> {
    signal?.throwIfAborted();
    const { path, threads } = this.#session;
    if (this.#closed) throw new ModelError('inference', path, `${path} was closed and cannot be run`);
    return send({ type: 'run', path, threads, feeds, outputs });
  }

  /** Frees the model once all its users have closed it. A second call does nothing. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await leave(this.#session);
  }
}

/** Sessions that the thread is still to free. */
let leaving = 0;

async function leave(session: SharedSession): Promise<void> {
  if (--session.users > 0) return;
  shared.delete(`${session.threads}:${session.path}`);
  const { path, threads } = session;
  leaving++;
  try {
    await send({ type: 'close', path, threads });
  } finally {
    leaving--;
  }
  if (shared.size > 0 || leaving > 0 || !pool) return;
  const closing = pool;
  pool = undefined;
  await closing.destroy();
}

async function send<Result>(task: SessionTask): Promise<Result> {
  turns ??= nativeTurns();
  try {
    pool ??= new ThreadPool('models/session-worker.js', {
      minThreads: 1,
      maxThreads: 1,
      workerData: { turns } satisfies SessionWorkerData,
    });
    return (await pool.run(task)) as Result;
  } catch (error) {
    throw new ModelError('inference', task.path, `${task.path}: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

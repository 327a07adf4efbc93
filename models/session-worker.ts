import { stat } from 'node:fs/promises';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import { Piscina } from 'piscina';
import { nativeTurn } from './native-turn.js';

/** The kinds of numbers that our graphs take and give. */
export type TensorData = Float32Array | BigInt64Array | Int32Array | Uint8Array | Int8Array;

/** Row-major. */
export interface ModelTensor {
  readonly data: TensorData;
  readonly dims: readonly number[];
}

export type ModelTensors = Readonly<Record<string, ModelTensor>>;

export interface SessionDescription {
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly fileBytes: number;
  readonly residentBytes: number;
}

export interface SessionSource {
  readonly path: string;
  readonly threads: number;
}

export type SessionTask = SessionSource &
  (
    | { readonly type: 'open'; readonly warmUp?: ModelTensors }
    | { readonly type: 'run'; readonly feeds: readonly ModelTensors[]; readonly outputs: readonly string[] }
    | { readonly type: 'close' }
  );

export interface SessionWorkerData {
  readonly turns: Int32Array<SharedArrayBuffer>;
}

const sessions = new Map<string, InferenceSession>();
const { turns } = Piscina.workerData as SessionWorkerData;

/** Runs in the one thread that holds the sessions (session.ts); tasks come one at a time. */
export default function sessionTask(
  task: SessionTask,
): Promise<SessionDescription | Record<string, ModelTensor>[] | undefined> {
  return nativeTurn(turns, () => perform(task));
}

async function perform(
  task: SessionTask,
): Promise<SessionDescription | Record<string, ModelTensor>[] | undefined> {
  const key = `${task.threads}:${task.path}`;
  if (task.type === 'close') {
    const session = sessions.get(key);
    sessions.delete(key);
    await session?.release();
    return undefined;
  }
  const before = process.memoryUsage.rss();
  let session = sessions.get(key);
  if (!session) {
    session = await InferenceSession.create(task.path, {
      executionProviders: ['cpu'],
      intraOpNumThreads: task.threads,
      interOpNumThreads: 1,
      executionMode: 'sequential',
      graphOptimizationLevel: 'all',
      // A thread that spins for its next task takes a processor from whatever else the server does.
      extra: { session: { intra_op: { allow_spinning: '0' } } },
      logSeverityLevel: 4, // What it would write to stderr is thrown too.
    });
    sessions.set(key, session);
  }
  if (task.type === 'open') {
    if (task.warmUp) await session.run(ortTensors(session, task.warmUp));
    return {
      inputs: session.inputNames,
      outputs: session.outputNames,
      fileBytes: (await stat(task.path)).size,
      residentBytes: Math.max(0, process.memoryUsage.rss() - before),
    };
  }
  const results: Record<string, ModelTensor>[] = [];
  for (const feeds of task.feeds) {
    const outputs = await session.run(ortTensors(session, feeds), task.outputs);
    results.push(
      Object.fromEntries(
        Object.entries(outputs).map(([name, tensor]) => [
          name,
          { data: tensor.data as TensorData, dims: tensor.dims },
        ]),
      ),
    );
  }
  return results;
}

function ortTensors({ inputNames }: InferenceSession, feeds: ModelTensors): Record<string, Tensor> {
  return Object.fromEntries(
    inputNames.flatMap((name) => {
      const feed = feeds[name];
      return feed ? [[name, ortTensor(feed)]] : [];
    }),
  );
}

function ortTensor({ data, dims }: ModelTensor): Tensor {
  if (data instanceof BigInt64Array) return new Tensor('int64', data, dims);
  if (data instanceof Int32Array) return new Tensor('int32', data, dims);
  if (data instanceof Int8Array) return new Tensor('int8', data, dims);
  if (data instanceof Uint8Array) return new Tensor('uint8', data, dims);
  return new Tensor('float32', data, dims);
}

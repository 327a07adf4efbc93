/** Of the two numbers that a thread and its process share. */
const ENDING = 0;
const BUSY = 1;

/** The longest that the end of the process waits for a thread. */
const LONGEST_MILLISECONDS = 5_000;

const turns = new Set<Int32Array<SharedArrayBuffer>>();

/**
 * What a thread that calls ONNX Runtime gets with its `workerData`, and runs its calls in. A process that ended in the
 * midst of one would be aborted, with a core dump in place of its exit code: Node ends the thread's environment, and the
 * call, once done, finds none. With this the process waits for the call that is under way, and no other begins.
 */
export function nativeTurns(): Int32Array<SharedArrayBuffer> {
  if (turns.size === 0) process.on('exit', waitForAll);
  const shared = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT));
  turns.add(shared);
  return shared;
}

/** When the thread is no more. */
export function endNativeTurns(shared: Int32Array<SharedArrayBuffer>): void {
  turns.delete(shared);
  if (turns.size === 0) process.off('exit', waitForAll);
}

/** In the thread: makes a call, unless the process is ending. */
export async function nativeTurn<Result>(
  shared: Int32Array<SharedArrayBuffer>,
  call: () => Promise<Result>,
): Promise<Result> {
  Atomics.store(shared, BUSY, 1);
  try {
    if (Atomics.load(shared, ENDING) === 0) return await call();
  } finally {
    Atomics.store(shared, BUSY, 0);
    Atomics.notify(shared, BUSY);
  }
  return new Promise(() => undefined);
}

function waitForAll(): void {
  for (const shared of turns) Atomics.store(shared, ENDING, 1);
  for (const shared of turns) Atomics.wait(shared, BUSY, 1, LONGEST_MILLISECONDS);
}

/** Work that gives way after each run of the graph: whoever drives it may let others run, or leave it there. */
export type Steps<T> = AsyncGenerator<undefined, T, undefined>;

/** Drives steps to their end. */
export async function finish<T>(steps: Steps<T>): Promise<T> {
  for (;;) {
    const { done, value } = await steps.next();
    if (done) return value;
  }
}

import type { Steps } from '../../kvreuse/chunk-engine.js';

/** Drives steps to their end. */
export async function finish<T>(steps: Steps<T>): Promise<T> {
  for (;;) {
    const { done, value } = await steps.next();
    if (done) return value;
  }
}

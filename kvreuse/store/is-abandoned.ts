import { stat } from 'node:fs/promises';
import { codeOf } from './error-code.js';

/** Where it is not known whether a writer is gone: it is, after so long. In milliseconds. */
const LONGEST_WRITE = 600_000;
/** Clocks of files and of processes differ by a little, in milliseconds. */
const TICK = 50;

/**
 * Whether nobody finishes a file any more.
 * @param pid of its writer; undefined where that is on another host
 */
export async function isAbandoned(path: string, pid: number | undefined): Promise<boolean> {
  if (pid !== undefined && pid !== process.pid && !isAlive(pid)) return true;
  try {
    const { mtimeMs } = await stat(path);
    // A container that starts again gives its process the number that its last one had.
    const begun = Date.now() - 1_000 * process.uptime();
    return mtimeMs < Date.now() - LONGEST_WRITE || (pid === process.pid && mtimeMs < begun - TICK);
  } catch {
    return false;
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM';
  }
}

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file system of its own of a few bytes. */
export interface SmallDisk {
  readonly folder: string;
  readOnly(is: boolean): void;
  close(): void;
}

/** @param bytes a multiple of 4,096 */
export function mountSmallDisk(bytes: number): SmallDisk {
  const folder = mkdtempSync(join(tmpdir(), 'ragpress-small-disk-'));
  const mount = (...args: string[]) => execFileSync('mount', args, { stdio: 'pipe' });
  try {
    mount('-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder);
  } catch (error) {
    rmdirSync(folder);
    throw error;
  }
  return {
    folder,
    readOnly: (is) => mount('-o', `remount,${is ? 'ro' : 'rw'}`, folder),
    close: () => {
      execFileSync('umount', [folder], { stdio: 'pipe' });
      rmdirSync(folder);
    },
  };
}

/** Whether this machine lets the tests mount one: needs root, on Linux. */
export const canMount = (() => {
  try {
    mountSmallDisk(4_096).close();
    return true;
  } catch {
    return false;
  }
})();

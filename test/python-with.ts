import { spawnSync } from 'node:child_process';

/** A Python that has these modules: `RAGPRESS_PYTHON`, else `python3`; undefined where there is none, and its tests skip. */
export function pythonWith(...modules: readonly string[]): string | undefined {
  const python = process.env.RAGPRESS_PYTHON ?? 'python3';
  const { status } = spawnSync(python, ['-c', `import ${modules.join(', ')}`], { stdio: 'ignore' });
  return status === 0 ? python : undefined;
}

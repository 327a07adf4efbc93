import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Format } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** A document that is long enough to be read in a thread. */
const PROGRAM = `
import { createPipeline } from 'ragpress';
import { compress } from 'ragpress/express';

async function main() {
  compress({ pipeline: { budget: { tokens: 100 } } });
  const days = Array.from({ length: 4000 }, (_, day) => '<p>On day ' + day + ' the tide turned at noon and the wind was fair.</p>');
  const content = '<h1>Ferries</h1>' + days.join('') + '<p>The Alder was built in 1987 by Dunmore of Leith.</p>';
  const pipeline = await createPipeline({ preset: process.argv[2], budget: { tokens: 100 }, deadline: Infinity });
  const { context, stages } = await pipeline.compress({ query: 'Who built the Alder?', documents: [{ id: 'a', content }] });
  await pipeline.close();
  console.log(JSON.stringify({ context, failed: stages.filter(({ error }) => error) }));
}

main().catch(({ name, message }) => console.log(JSON.stringify({ name, message })));
`;

interface Printed {
  readonly context?: string;
  readonly failed?: unknown;
  readonly name?: string;
  readonly message?: string;
  readonly warnings: number;
}

describe.each([
  { format: 'esm', file: 'bundle.mjs' },
  { format: 'cjs', file: 'bundle.cjs' },
] as const)('in a bundle, $format', ({ format, file }) => {
  let folder: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ragpress-bundle-'));
    await symlinkedPackage(join(folder, 'beside'));
    await Promise.all(
      ['alone', 'beside'].map((place) => bundle(format, join(folder, place, 'server', file))),
    );
  });

  afterAll(async () => {
    await rm(folder, { recursive: true });
  });

  /** What a process that runs it prints, from a folder that is none of its own. */
  async function run(place: 'alone' | 'beside', preset: string): Promise<Printed> {
    const program = join(folder, place, 'server', file);
    return new Promise((resolve, reject) => {
      execFile(
        process.execPath,
        [program, preset],
        { cwd: folder, env: { ...process.env, RAGPRESS_CACHE: join(folder, 'cache') }, timeout: 60_000 },
        (error, stdout, stderr) => {
          if (error) reject(new Error(stderr, { cause: error }));
          else
            resolve({
              ...(JSON.parse(stdout) as Omit<Printed, 'warnings'>),
              warnings: stderr.match(/in the main thread: .*--external:ragpress/g)?.length ?? 0,
            });
        },
      );
    });
  }

  test.each(['fast', 'balanced'])('beside its package it has its threads and weights: %s', async (preset) => {
    const { context, failed, warnings } = await run('beside', preset);
    expect(context).toContain('built in 1987 by Dunmore');
    expect({ failed, warnings }).toEqual({ failed: [], warnings: 0 });
  });

  test('alone it does without threads, and says so once', async () => {
    const { context, failed, warnings } = await run('alone', 'fast');
    expect(context).toContain('built in 1987 by Dunmore');
    expect({ failed, warnings }).toEqual({ failed: [], warnings: 1 });
  });

  test('alone it has no weights, and says what to do', async () => {
    const { name, message } = await run('alone', 'balanced');
    expect(name).toBe('ModelError');
    expect(message).toMatch(
      /there is no model evidence in .*bundled.*serverExternalPackages: \['ragpress'\]/,
    );
  });
});

async function symlinkedPackage(folder: string): Promise<void> {
  await mkdir(join(folder, 'node_modules'), { recursive: true });
  await symlink(root, join(folder, 'node_modules', 'ragpress'), 'junction');
}

async function bundle(format: Format, outfile: string): Promise<void> {
  await mkdir(dirname(outfile), { recursive: true });
  await build({
    stdin: { contents: PROGRAM, resolveDir: root },
    bundle: true,
    platform: 'node',
    format,
    outfile,
    logLevel: 'error',
    // As esbuild's users do for packages in CommonJS.
    ...(format === 'esm' && {
      banner: {
        js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
      },
    }),
  });
}

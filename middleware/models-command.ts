import type { Command } from 'commander';
import pc from 'picocolors';
import { ModelError } from '../models/model-error.js';
import { ModelRegistry, type ModelReport, type PullProgress } from '../models/registry.js';

interface PlaceOptions {
  readonly folder?: string;
  readonly cache?: string;
  readonly hub?: string;
  readonly json?: boolean;
}

/** Adds `models list | pull | verify` to a program. What goes wrong with a model is told on stderr, with exit code 1. */
export function addModelsCommand(program: Command): void {
  const models = program.command('models').description('the models that stages run');

  subcommand(models, 'list', 'which models there are, and where').action(
    reporting(async (options: PlaceOptions) => {
      const listed = await registryOf(options).list();
      if (options.json) {
        print(listed.map(({ manifest, ...model }) => ({ ...manifest, ...model })));
        return;
      }
      const rows = listed.map(({ name, place, folder, manifest, fault }) => [
        name,
        manifest?.kind ?? '?',
        manifest ? megabytes(manifest.files.reduce((sum, { size }) => sum + size, 0)) : '?',
        manifest?.license ?? '?',
        place,
        fault === undefined ? folder : pc.red(fault),
      ]);
      writeTable(['name', 'kind', 'size', 'licence', 'place', 'folder'], rows);
    }),
  );

  subcommand(models, 'pull', 'fetch models of the hub into the cache folder')
    .argument('<NAME...>', 'OWNER/NAME')
    .option('--graph <path>', 'the ONNX file wanted, by its path in the repository')
    .action(
      reporting(async (names: string[], options: PlaceOptions & { readonly graph?: string }) => {
        const interrupted = new AbortController();
        const onInterrupt = () => {
          interrupted.abort(new ModelError('hub', names.join(', '), 'interrupted; what has come is kept'));
        };
        process.once('SIGINT', onInterrupt);
        try {
          const pulled = [];
          for (const name of names) {
            const bar = progressBar();
            try {
              const { manifest, folder, place } = await registryOf(options).pull(name, {
                signal: interrupted.signal,
                ...(options.graph !== undefined && { graph: options.graph }),
                ...(bar && { onProgress: bar.show }),
              });
              pulled.push({ place, folder, ...manifest });
              if (!options.json) process.stdout.write(`${name}  ${folder}\n`);
            } finally {
              bar?.clear();
            }
          }
          if (options.json) print(pulled);
        } finally {
          process.off('SIGINT', onInterrupt);
        }
      }),
    );

  subcommand(models, 'verify', 'read every file of the models and compare its SHA-256')
    .argument('[NAME...]', 'default all')
    .action(
      reporting(async (names: string[], options: PlaceOptions) => {
        const reports = await registryOf(options).verify(names.length > 0 ? names : undefined);
        if (options.json) print(reports.map(({ manifest: _, ...report }) => report));
        else for (const report of reports) process.stdout.write(reportLines(report));
        if (reports.length === 0) process.stderr.write('ragpress: there are no models\n');
        if (reports.some(({ sound }) => !sound)) process.exitCode = 1;
      }),
    );
}

function subcommand(models: Command, name: string, description: string): Command {
  return models
    .command(name)
    .description(description)
    .option('--folder <path>', 'a folder of models, looked in first')
    .option('--cache <path>', 'cache folder (or set RAGPRESS_CACHE)')
    .option('--hub <url>', "the hub's address")
    .option('--json', 'as JSON');
}

function registryOf({ folder, cache, hub }: PlaceOptions): ModelRegistry {
  return new ModelRegistry({
    ...(folder !== undefined && { folder }),
    ...(cache !== undefined && { cacheFolder: cache }),
    ...(hub !== undefined && { hub }),
  });
}

function reporting<Arguments extends unknown[]>(
  action: (...given: Arguments) => Promise<void>,
): (...given: Arguments) => Promise<void> {
  return async (...given) => {
    try {
      await action(...given);
    } catch (error) {
      if (!(error instanceof ModelError)) throw error;
      process.stderr.write(`ragpress: ${error.message}\n`);
      process.exitCode = 1;
    }
  };
}

function print(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

function reportLines({ name, place, manifest, fault, files, sound }: ModelReport): string {
  const head = `${sound ? pc.green('ok    ') : pc.red('FAILED')}  ${pc.bold(name)}  ${manifest?.version ?? '?'}  (${place})`;
  const lines = files.map(({ path, fault }) =>
    fault === undefined ? `          ${path}` : pc.red(`  FAILED  ${path}: ${fault}`),
  );
  return `${[head, ...(fault === undefined ? [] : [pc.red(`  ${fault}`)]), ...lines].join('\n')}\n`;
}

function writeTable(columns: readonly string[], rows: readonly (readonly string[])[]): void {
  const widths = columns.map((column, index) =>
    Math.max(column.length, ...rows.map((row) => row[index]!.length)),
  );
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => cell.padEnd(widths[index]!))
      .join('  ')
      .trimEnd();
  process.stdout.write(`${[pc.dim(line(columns)), ...rows.map(line)].join('\n')}\n`);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

const BAR_WIDTH = 30;
const BAR_MILLISECONDS = 100;

/** On stderr where that is a terminal, and nothing otherwise. */
function progressBar(): { show: (progress: PullProgress) => void; clear: () => void } | undefined {
  const { stderr } = process;
  if (!stderr.isTTY) return undefined;
  let shown = 0;
  return {
    show({ file, received, size }) {
      if (performance.now() - shown < BAR_MILLISECONDS && received < size) return;
      shown = performance.now();
      const share = size === 0 ? 1 : received / size;
      const filled = Math.round(share * BAR_WIDTH);
      const bar = `${'█'.repeat(filled)}${'░'.repeat(BAR_WIDTH - filled)}`;
      const line = `${bar} ${(100 * share).toFixed(0).padStart(3)}%  ${megabytes(received)} of ${megabytes(size)}  ${file}`;
      stderr.write(`\r\x1b[K${line.slice(0, stderr.columns - 1)}`);
    },
    clear() {
      stderr.write('\r\x1b[K');
    },
  };
}

#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import {
  ConfigurationError,
  createPipeline,
  type CompressionResult,
  type SourceDocument,
} from '../compressors/index.js';
import { ModelError } from '../models/model-error.js';
import { packageFile } from '../models/package-file.js';
import { annotate } from './annotate.js';
import { explain, summaryOf } from './explain.js';
import { addModelsCommand } from './models-command.js';
import { readDocuments } from './read-documents.js';

interface CompressOptions {
  readonly query: string;
  readonly budget?: number;
  readonly ratio?: number;
  readonly preset?: string;
  readonly stages?: string[];
  readonly model?: string;
  readonly output?: 'markdown' | 'text' | 'html';
  readonly deadline?: number;
  readonly json?: boolean;
  readonly all?: boolean;
}

const { version } = JSON.parse(readFileSync(packageFile('package.json'), 'utf8')) as {
  version: string;
};

const KV_CACHE_BYTES = 2e9;

const program = new Command('ragpress')
  .description('Retrieved pages in, the part that answers the question out, under a token budget.')
  .version(version)
  .configureOutput({
    // One line, as for any other mistake.
    outputError: (message, write) => {
      write(
        `ragpress: ${message
          .trim()
          .replace(/^error: /, '')
          .replaceAll('\n', ' ')}\n`,
      );
    },
  })
  .exitOverride();

compressionCommand('compress', 'print the compressed context of the documents').action(
  async (files: string[], options: CompressOptions) => {
    const { result } = await run(files, options);
    if (options.json) printJson(result);
    else {
      process.stdout.write(`${result.context}\n`);
      process.stderr.write(`${[summaryOf(result), ...notes(result)].join('\n')}\n`);
    }
  },
);

compressionCommand('explain', 'a dry run: what is kept and what is dropped, in place, and why')
  .option('--all', 'every dropped piece, not a summary of each stretch')
  .action(async (files: string[], options: CompressOptions) => {
    const { documents, result } = await run(files, options);
    if (options.json) {
      const { tokens, stages } = result;
      const explained = documents.map((document) => ({ id: document.id, text: annotate(document, result) }));
      printJson({ query: options.query, tokens, stages, documents: explained });
      return;
    }
    const width = Math.min(140, Math.max(40, process.stdout.columns || 100));
    const colors = (process.stdout.isTTY || Boolean(process.env.FORCE_COLOR)) && pc.isColorSupported;
    process.stdout.write(
      explain(documents, result, { query: options.query, width, colors, all: options.all ?? false }),
    );
  });

program
  .command('serve')
  .description('an HTTP proxy in front of an OpenAI- or Anthropic-style API that compresses what passes')
  .requiredOption(
    '--upstream <url>',
    'the API to forward to, e.g. https://api.openai.com, or local: the embedded model answers',
  )
  .option('--port <number>', 'port to listen on', numeric('--port'), 8787)
  .option('--host <address>', 'address to listen on', '127.0.0.1')
  .option('--budget <tokens>', 'ceiling for the documents of one message', numeric('--budget'))
  .option('--preset <name>', 'which stages run')
  .option('--model <name>', 'whose tokens are counted')
  .option(
    '--kv-cache <folder>',
    `with the upstream local: keeps what the model has read in a folder, ${KV_CACHE_BYTES / 1e9} GB at most`,
  )
  .option('--key <secret>', 'ask callers for this key in x-ragpress-key (or set RAGPRESS_KEY)')
  .action(async (options: ServeOptions) => {
    const { serve } = await import('./proxy.js');
    const { upstream, port, host, budget, preset, model, kvCache } = options;
    const key = options.key ?? process.env.RAGPRESS_KEY;
    const server = await serve({
      upstream,
      port,
      host,
      ...(key !== undefined && { key }),
      ...(kvCache !== undefined && {
        decoder: { reuse: { disk: { folder: kvCache, bytes: KV_CACHE_BYTES } } },
      }),
      pipeline: {
        ...(budget !== undefined && { budget: { tokens: budget } }),
        ...(preset !== undefined && { preset }),
        ...(model !== undefined && { model }),
      },
    });
    const does = upstream === 'local' ? 'answers with the embedded model' : `forwards to ${upstream}`;
    process.stderr.write(`ragpress listens on ${server.url} and ${does}\n`);
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      process.once(signal, () => {
        void server.close();
      });
    }
  });

addModelsCommand(program);

interface ServeOptions {
  readonly upstream: string;
  readonly port: number;
  readonly host: string;
  readonly budget?: number;
  readonly preset?: string;
  readonly model?: string;
  readonly kvCache?: string;
  readonly key?: string;
}

function compressionCommand(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .argument('<FILE...>', 'files, - for standard input, or a JSON array of { id, content }')
    .requiredOption('--query <text>', 'what the context must answer')
    .option('--budget <tokens>', 'ceiling in tokens', numeric('--budget'))
    .option('--ratio <share>', 'ceiling as a share of the tokens that come in', numeric('--ratio'))
    .option('--preset <name>', 'which stages run')
    .option('--stages <names>', 'stages in place of a preset, by comma', (names: string) =>
      names.split(',').map((name) => name.trim()),
    )
    .option('--model <name>', 'whose tokens are counted, e.g. gpt-4o')
    .option('--output <format>', 'markdown, text or html')
    .option('--deadline <milliseconds>', 'past which what has been reached goes out', numeric('--deadline'))
    .option('--json', 'the whole result as JSON');
}

async function run(
  files: string[],
  options: CompressOptions,
): Promise<{ documents: SourceDocument[]; result: CompressionResult }> {
  const { query, budget, ratio, preset, stages, model, output, deadline } = options;
  if (query.trim() === '') throw new ConfigurationError('--query', query, 'say what the context must answer');
  const pipeline = await createPipeline({
    ...(preset !== undefined && { preset }),
    ...(stages && { stages }),
    ...(model !== undefined && { model }),
    ...(output && { output }),
    ...(deadline !== undefined && { deadline }),
    ...((budget !== undefined || ratio !== undefined) && {
      budget: { ...(budget !== undefined && { tokens: budget }), ...(ratio !== undefined && { ratio }) },
    }),
  });
  try {
    const documents = await readDocuments(files, process.stdin);
    return { documents, result: await pipeline.compress({ query, documents }) };
  } finally {
    await pipeline.close();
  }
}

function numeric(field: string): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === '' || Number.isNaN(value)) throw new ConfigurationError(field, text, 'give a number');
    return value;
  };
}

/** What passed through as it was, or that nothing was kept. */
function notes({ documents, decisions, stages }: CompressionResult): string[] {
  const unread = decisions
    .filter(({ stage, action, spans }) => stage === 'extract' && (action === 'kept' || spans.length === 0))
    .map(({ document, reason }) => `${document}: ${reason}`);
  const isEmpty = documents.length === 0 && stages[0]!.tokensBefore > 0;
  return isEmpty ? [...unread, 'nothing of the documents was kept'] : unread;
}

function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** The option that a field of the pipeline or the proxy is set with. */
function optionOf(field: string): string {
  const name =
    /^(?:budget\.)?(budget|ratio|tokens|preset|stages|model|output|deadline|query|upstream|port|host|key)\b/.exec(
      field,
    )?.[1];
  if (/^decoder\b|^store\.disk\b/.test(field)) return '--kv-cache';
  if (name === undefined) return field;
  return name === 'tokens' ? '--budget' : `--${name}`;
}

// A reader that has seen enough, such as head, closes the pipe.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else if (error instanceof ConfigurationError) {
    const { message } = new ConfigurationError(optionOf(error.field), error.value, error.remedy);
    process.stderr.write(`ragpress: ${message}\n`);
    process.exitCode = 2;
  } else if (error instanceof ModelError) {
    process.stderr.write(`ragpress: ${error.message}\n`);
    process.exitCode = 1;
  } else throw error;
}

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
import { annotate } from './annotate.js';
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
}

const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
  version: string;
};

const program = new Command('ragpress')
  .description('Retrieved pages in, the part that answers the question out, under a token budget.')
  .version(version)
  .exitOverride();

compressionCommand('compress', 'print the compressed context of the documents').action(
  async (files: string[], options: CompressOptions) => {
    const { result } = await run(files, options);
    if (options.json) {
      process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
      return;
    }
    process.stdout.write(`${result.context}\n`);
    process.stderr.write(`${summary(result)}\n`);
  },
);

compressionCommand('explain', 'a dry run: what is kept and what is dropped, in place, and why').action(
  async (files: string[], options: CompressOptions) => {
    const { documents, result } = await run(files, options);
    if (options.json) {
      const explained = documents.map((document) => ({ id: document.id, text: annotate(document, result) }));
      process.stdout.write(
        `${JSON.stringify({ tokens: result.tokens, stages: result.stages, documents: explained }, null, 2)}\n`,
      );
      return;
    }
    for (const document of documents) process.stdout.write(`${explained(document, result)}\n`);
    process.stdout.write(`${stageTable(result)}\n`);
  },
);

program
  .command('serve')
  .description('an HTTP proxy in front of an OpenAI-style API that compresses what passes')
  .requiredOption('--upstream <url>', 'the API to forward to, e.g. https://api.openai.com')
  .option('--port <number>', 'port to listen on', numeric('--port'), 8787)
  .option('--host <address>', 'address to listen on', '127.0.0.1')
  .option('--budget <tokens>', 'ceiling for the documents of one message', numeric('--budget'))
  .option('--preset <name>', 'which stages run')
  .option('--model <name>', 'whose tokens are counted')
  .option('--key <secret>', 'ask callers for this key in x-ragpress-key (or set RAGPRESS_KEY)')
  .action(async (options: ServeOptions) => {
    const { serve } = await import('./proxy.js');
    const { upstream, port, host, budget, preset, model } = options;
    const key = options.key ?? process.env.RAGPRESS_KEY;
    const server = await serve({
      upstream,
      port,
      host,
      ...(key !== undefined && { key }),
      pipeline: {
        ...(budget !== undefined && { budget: { tokens: budget } }),
        ...(preset !== undefined && { preset }),
        ...(model !== undefined && { model }),
      },
    });
    process.stderr.write(`ragpress listens on ${server.url} and forwards to ${upstream}\n`);
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
    .option('--stages <names>', 'stages in place of a preset, by comma', (names: string) => names.split(','))
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

function explained(document: SourceDocument, result: CompressionResult): string {
  const kept = result.documents.find(({ id }) => id === document.id);
  const tokens = kept ? `${kept.tokensBefore} → ${kept.tokensAfter} tokens` : 'nothing kept';
  const lines = [pc.bold(`${document.id}  (${tokens})`)];
  for (const { action, text, stage, reason, score } of annotate(document, result)) {
    const why =
      score === undefined ? `${stage}: ${reason}` : `${stage}: ${reason}, score ${score.toFixed(2)}`;
    lines.push(
      action === 'dropped'
        ? pc.dim(`- ${shortened(text)}  (${why})`)
        : `${pc.green(`+ ${text}`)}  ${pc.dim(`(${why})`)}`,
    );
  }
  return `${lines.join('\n')}\n`;
}

/** Dropped text is shown to be recognised, not to be read. */
function shortened(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > 160 ? `${line.slice(0, 150)}… [${line.length} characters]` : line;
}

function summary({ tokens, stages }: CompressionResult): string {
  const milliseconds = stages.reduce((total, stage) => total + stage.milliseconds, 0);
  const failures = stages
    .filter(({ error }) => error !== undefined)
    .map(({ name, error }) => `; ${name}: ${error}`);
  return `${tokens.before} → ${tokens.after} tokens (${tokens.counter}) in ${milliseconds.toFixed(0)} ms${failures.join('')}`;
}

function stageTable(result: CompressionResult): string {
  const rows = result.stages.map(
    ({ name, tokensBefore, tokensAfter, milliseconds, error }) =>
      `${name.padEnd(12)} ${String(tokensBefore).padStart(9)} → ${String(tokensAfter).padStart(7)} tokens ` +
      `${milliseconds.toFixed(1).padStart(8)} ms${error === undefined ? '' : `  ${error}`}`,
  );
  return [...rows, summary(result)].join('\n');
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode;
  else if (error instanceof ConfigurationError) {
    process.stderr.write(`ragpress: ${error.message}\n`);
    process.exitCode = 2;
  } else throw error;
}

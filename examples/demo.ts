import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, relative, resolve } from 'node:path';
import { isatty } from 'node:tty';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import picocolors from 'picocolors';
import { createPipeline, type CompressionResult, type SourceDocument } from 'ragpress';
import { ChunkDecoder } from 'ragpress/kvreuse';
import { readerMessages } from 'ragpress/models';
import { Bm25Retriever, readFolder } from 'ragpress/retrievers';
import { reportHtml, type ReportEntry } from '../middleware/report.js';

// npm run demo [-- --preset max], or npx tsx examples/demo.ts [--preset max] REPORT.html: pages are retrieved and compressed for three questions,
// stage by stage; the embedded model answers them, and a report shows what was kept and dropped. One more question is
// answered from documents that were read before, without reading them again.
const QUESTIONS = [
  // A cell of a table, with the headers above and beside it.
  'What does a day return to Corran cost with a car in the high season?',
  // The name stands on one page, the number on another.
  'Which ship took the Rowan’s place on the Innis route, and how many cars does she carry?',
  // A block of code, in the documentation of two versions.
  'How do I make kelpq retry a failed job with exponential backoff, at most five times?',
];

// Of the second question's context once more, its documents in another order.
const AGAIN = 'Which yard did the Sorrel come from?';

const MODEL = 'gpt-4o';
const BUDGET = 400;
const PAGES = 8;
// What the embedded model is to read at most, here: it could read twice as much, in several times the time.
const CONTEXT_TOKENS = 4_096;
const ANSWER_TOKENS = 48;

// Colours for a terminal alone: what is piped stays plain, in CI as well.
const pc = picocolors.createColors(isatty(1) && picocolors.isColorSupported);
const corpus = fileURLToPath(new URL('corpus', import.meta.url));
const {
  positionals: [report],
  values: { preset },
} = parseArgs({ allowPositionals: true, options: { preset: { type: 'string', default: 'balanced' } } });
const output = resolve(report ?? fileURLToPath(new URL('../out/demo.html', import.meta.url)));

const { documents: pages } = await readFolder(corpus);
const retriever = new Bm25Retriever();
await retriever.add(pages);
const pipeline = await createPipeline({ preset, model: MODEL, budget: { tokens: BUDGET } });
print(
  pc.bold('ragpress demo'),
  `${pages.length} pages in ${relative('.', corpus)}, found by BM25, compressed by preset ${preset} to at most ${BUDGET} tokens of ${MODEL}.`,
);

const decoder = await ChunkDecoder.load({ contextTokens: CONTEXT_TOKENS });
const entries: ReportEntry[] = [];
for (const [index, query] of QUESTIONS.entries()) {
  const documents = await retriever.retrieve(query, { limit: PAGES });
  const result = await pipeline.compress({ query, documents });
  entries.push({ query, documents, result });
  print(
    '',
    pc.bold(pc.cyan(`${index + 1}. ${query}`)),
    '',
    pc.bold('Retrieved'),
    ...retrieved(documents),
    '',
    pc.bold('Before') + pc.dim(`, the first lines of ${documents[0]!.id}`),
    ...beginning(documents[0]!.content),
    '',
    pc.bold('Stages'),
    ...stages(result),
    '',
    pc.bold('After') + pc.dim(`, all that goes into the prompt: ${result.tokens.after} of ${BUDGET} tokens`),
    ...quoted(result.context, pc.green),
    '',
    `${pc.bold('Saved')} ${count(result.tokens.before - result.tokens.after)} of ${count(result.tokens.before)} tokens, ${share(result)}.`,
    '',
    pc.bold('Answer') + pc.dim(` of the embedded model, ${decoder.model}`),
  );
  // The context first: it is there while the pages are still being read.
  print(await answered('context', query, result.context));
  print(await answered('pages', query, documents.map(({ content }) => content).join('\n\n')));
}
const documents = entries[1]!.result.context
  .split(/\n\n(?=\[\d+\] )/)
  .map((document) => document.replace(/^\[\d+\]/, ''));
const turned = documents.reverse().map((document, i) => `[${i + 1}]${document}`);
print(
  '',
  pc.bold(pc.cyan(`${QUESTIONS.length + 1}. ${AGAIN}`)),
  '',
  `The documents of question 2 again, the last one first: what the model made of them is kept, and moved.`,
  '',
  pc.bold('Answer'),
  await answered('context', AGAIN, turned.join('\n\n')),
);
await decoder.close();
await pipeline.close();

await mkdir(dirname(output), { recursive: true });
await writeFile(output, reportHtml('ragpress demo', entries));
print('', `Kept and dropped text in place: ${pc.underline(relative('.', output))}`);

function retrieved(documents: readonly SourceDocument[]): string[] {
  return documents.map(
    ({ id, content, score = 0 }, index) =>
      `  ${`[${index + 1}]`.padStart(4)} ${count(pipeline.counter.count(content)).padStart(6)} tokens  ${pc.dim(score.toFixed(1).padStart(5))}  ${id}`,
  );
}

/** What the embedded model says after as much of a text as it can read. */
async function answered(name: string, query: string, text: string): Promise<string> {
  const tokens = (await decoder.encode(text)).length;
  const room = CONTEXT_TOKENS - ANSWER_TOKENS - (await decoder.encode(query)).length - 100;
  const read = tokens <= room ? text : text.slice(0, Math.floor((text.length * room) / tokens / 1.1));
  const generation = decoder.generate(
    { messages: readerMessages(query, read) },
    { maxTokens: ANSWER_TOKENS },
  );
  const { text: said, promptTokens, milliseconds, reuse } = await generation.result;
  const cut = read === text ? '' : ` of ${count(tokens)}, the rest does not fit`;
  const saved = reuse && reuse.reused > 0 ? `, ${count(reuse.reused)} of them known before` : '';
  return (
    `  ${name.padEnd(8)} ${count(promptTokens).padStart(6)} tokens read in ${(milliseconds.firstToken / 1000).toFixed(2)} s` +
    `${pc.dim(cut)}${pc.green(saved)}: ${pc.bold(said.trim())}`
  );
}

/** What a model would begin to read without compression. */
function beginning(content: string): string[] {
  const lines = content.split('\n').filter((line) => line.trim() !== '');
  const shown = lines.slice(0, 8).map((line) => (line.length > 110 ? `${line.slice(0, 109)}…` : line));
  return [...quoted(shown.join('\n'), pc.dim), pc.dim(`  │ … ${lines.length - shown.length} more lines`)];
}

function stages(result: CompressionResult): string[] {
  return result.stages.map(
    ({ name, tokensBefore, tokensAfter, milliseconds, error }) =>
      `  ${name.padEnd(10)} ${count(tokensBefore).padStart(7)} → ${count(tokensAfter).padStart(6)} tokens ${milliseconds.toFixed(1).padStart(7)} ms${error === undefined ? '' : pc.red(`  ${error}`)}`,
  );
}

function quoted(text: string, colour: (line: string) => string): string[] {
  return text.split('\n').map((line) => `  ${pc.dim('│')} ${colour(line)}`);
}

function share({ tokens }: CompressionResult): string {
  return `${(100 * (1 - tokens.after / tokens.before)).toFixed(1)}%`;
}

function count(value: number): string {
  return value.toLocaleString('en');
}

function print(...lines: string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`);
}

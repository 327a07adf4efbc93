import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { readEvidence, shareLeft, type EvidenceQuestion, type Recalls } from './evidence.js';
import { openEvidence, recallsOf, scoresOf, type QuestionScores } from './evidence-model.js';
import { Decoder } from '../models/decoder/decoder.js';
import { chatAnswers } from './chat.js';
import { sharedData } from '../test/shared-data.js';
import {
  READER_CONTEXTS,
  READER_SETS,
  readerFigures,
  readerPipeline,
  readerQuestions,
  type ReaderContext,
  type ReaderFigures,
} from './reader.js';
import { printTable } from './table.js';

const USAGE = `npm run eval -- evidence FILE... --keep 0.3 [--json]    (FILE: rows of questions, .jsonl.gz)
       npm run eval -- reader [--questions 100] [--folder CHECKPOINT] [--contexts NAME,NAME] [--json]
       npm run eval -- chat [--folder CHECKPOINT]`;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    keep: { type: 'string', default: '0.3' },
    json: { type: 'boolean', default: false },
    questions: { type: 'string', default: '100' },
    folder: { type: 'string' },
    contexts: { type: 'string', default: READER_CONTEXTS.join(',') },
  },
});

/** Prints how often the reader's answer is right, by what it is given to read. */
async function reader(): Promise<void> {
  const contexts = values.contexts.split(',') as ReaderContext[];
  const count = Number(values.questions);
  if (!(count >= 1) || contexts.some((name) => !READER_CONTEXTS.includes(name))) {
    refuse(USAGE);
    return;
  }
  if (sharedData === undefined) {
    refuse('shared/data is not there');
    return;
  }
  const decoder = await Decoder.load(values.folder === undefined ? {} : { folder: values.folder });
  const pipeline = await readerPipeline();
  const figures: Record<string, Record<string, ReaderFigures>> = {};
  for (const set of READER_SETS) {
    const rows = readerQuestions(set, count);
    figures[set] = {};
    for (const context of contexts) {
      figures[set][context] = await readerFigures(decoder, pipeline, rows, context);
      if (!values.json) console.error(`${set}, ${context}`, figures[set][context]);
    }
  }
  await pipeline.close();
  await decoder.close();
  if (values.json) {
    console.log(JSON.stringify({ model: decoder.model, sets: figures }, null, 2));
    return;
  }
  printTable(
    `${decoder.model}: share of answers that hold the right one, by what was read; times with compression`,
    ['set', 'read', 'questions', 'right', 'declined', 'prompt tokens', 'first token ms', 'answer ms'],
    Object.entries(figures).flatMap(([set, of]) =>
      Object.entries(of).map(([context, { questions, right, declined, promptTokens, firstToken, total }]) => [
        set,
        context,
        String(questions),
        right.toFixed(2),
        declined.toFixed(2),
        ...[promptTokens, firstToken, total].map((value) => value.toFixed(0)),
      ]),
    ),
  );
}

/** Prints what the decoder says to ordinary requests. */
async function chat(): Promise<void> {
  const decoder = await Decoder.load(values.folder === undefined ? {} : { folder: values.folder });
  console.log(JSON.stringify({ model: decoder.model, answers: await chatAnswers(decoder) }, null, 2));
  await decoder.close();
}

/** Prints how much of the evidence in files of questions is kept with a share of their words. */
async function evidence(files: readonly string[]): Promise<void> {
  const keep = Number(values.keep);
  if (files.length === 0 || !(keep > 0 && keep <= 1)) {
    refuse(USAGE);
    return;
  }
  const sets = new Map<string, EvidenceQuestion[]>();
  for (const file of files) {
    try {
      sets.set(file, readEvidence(file));
    } catch (error) {
      refuse(`${file} cannot be read: ${(error as Error).message}`);
      return;
    }
  }
  const encoder = await openEvidence();
  if (!encoder) {
    process.exitCode = 1;
    return;
  }
  const figures: Record<string, Recalls & { questions: number; left: number }> = {};
  for (const [file, questions] of sets) {
    const scores: QuestionScores[] = [];
    for (const question of questions) scores.push(await scoresOf(encoder, question));
    const recalls = recallsOf(questions, scores, keep);
    figures[file] = { questions: questions.length, ...recalls, left: shareLeft(recalls) };
  }
  await encoder.close();
  if (values.json) {
    console.log(JSON.stringify({ model: encoder.model, keep, files: figures }, null, 2));
    return;
  }
  printTable(
    `${encoder.model}: evidence recall with ${(100 * keep).toFixed(0)}% of the words kept, whole sentences; left: of what BM25 misses and the oracle does not, the share still missed`,
    ['file', 'questions', 'BM25', 'model', 'oracle', 'left'],
    Object.entries(figures).map(([file, { questions, bm25, model, oracle, left }]) => [
      basename(file),
      String(questions),
      ...[bm25, model, oracle].map((recall) => recall.toFixed(3)),
      left.toFixed(2),
    ]),
  );
}

function refuse(reason: string): void {
  console.error(`eval: ${reason}`);
  process.exitCode = 2;
}

const [what, ...files] = positionals;
if (what === 'reader' && files.length === 0) await reader();
else if (what === 'chat' && files.length === 0) await chat();
else if (what === 'evidence') await evidence(files);
else refuse(USAGE);

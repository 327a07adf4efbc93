import { writeFileSync } from 'node:fs';
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
import { STANDING, TCRA_SETS, tcraLoss, type TcraLoss } from './eval-tcra.js';
import { XRAG_CONTEXTS, xragFigures, type XragContext, type XragFigures } from './eval-xrag.js';
import { measurePolicies, openLab, policies, printPolicies, recordGate } from './kvreuse.js';
import { reusePlot } from './reuse-plot.js';
import { printTable } from './table.js';

const USAGE = `npm run eval -- evidence FILE... --keep 0.3 [--json]    (FILE: rows of questions, .jsonl.gz)
       npm run eval -- reader [--questions 100] [--folder CHECKPOINT] [--contexts NAME,NAME] [--json]
       npm run eval -- chat [--folder CHECKPOINT]
       npm run eval -- kvreuse [--policy all|headline] [--questions 48] [--answers] [--folder CHECKPOINT]
                               [--teacher CHECKPOINT] [--plot FILE.svg] [--record] [--json]
       npm run eval -- tcra [--questions 100] [--keep 0.8] [--mode fast|exact] [--json]
       npm run eval -- xrag [--questions 40] [--keep 0.1] [--projector FOLDER] [--json]`;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    keep: { type: 'string' },
    mode: { type: 'string', default: 'fast' },
    json: { type: 'boolean', default: false },
    questions: { type: 'string' },
    folder: { type: 'string' },
    policy: { type: 'string', default: 'all' },
    answers: { type: 'boolean', default: false },
    teacher: { type: 'string' },
    plot: { type: 'string' },
    projector: { type: 'string' },
    record: { type: 'boolean', default: false },
    contexts: { type: 'string', default: READER_CONTEXTS.join(',') },
  },
});

/** Prints how often the reader's answer is right, by what it is given to read. */
async function reader(): Promise<void> {
  const contexts = values.contexts.split(',') as ReaderContext[];
  const count = Number(values.questions ?? 100);
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

/** Prints how often the answer stands in what EXIT keeps, before and after words were dropped. */
async function tcra(): Promise<void> {
  const { mode } = values;
  const [count, ratio] = [Number(values.questions ?? 100), Number(values.keep ?? 0.8)];
  if (!(count >= 1) || !(ratio > 0 && ratio <= 1) || (mode !== 'fast' && mode !== 'exact')) {
    refuse(USAGE);
    return;
  }
  if (sharedData === undefined) {
    refuse('shared/data is not there');
    return;
  }
  const figures: Record<string, TcraLoss> = {};
  for (const set of TCRA_SETS) figures[set] = await tcraLoss(set, { count, mode, ratio });
  if (values.json) {
    console.log(JSON.stringify({ mode, keep: ratio, sets: figures }, null, 2));
    return;
  }
  printTable(
    `tcra, ${mode}: answer-string recall after EXIT, and after sentences were cut to ${(100 * ratio).toFixed(0)}% of their tokens; words that still stand`,
    ['set', 'questions', 'EXIT', 'TCRA', 'lost', 'tokens left', ...STANDING],
    Object.entries(figures).map(([set, { questions, exit, tcra, tokens, standing }]) => [
      set,
      String(questions),
      ...[exit, tcra, exit - tcra, tokens].map((value) => value.toFixed(3)),
      ...STANDING.map((kind) => standing[kind].toFixed(4)),
    ]),
  );
}

/** Prints how often the reader is right where documents are embeddings, beside none and beside their text. */
async function xrag(): Promise<void> {
  const [count, ratio] = [Number(values.questions ?? 40), Number(values.keep ?? 0.1)];
  if (!(count >= 1) || !(ratio > 0 && ratio <= 1)) {
    refuse(USAGE);
    return;
  }
  if (sharedData === undefined) {
    refuse('shared/data is not there');
    return;
  }
  const decoder = await Decoder.load();
  const figures: Record<string, Record<XragContext, XragFigures>> = {};
  for (const set of READER_SETS)
    figures[set] = await xragFigures(
      decoder,
      set,
      { count, ratio, projector: values.projector },
      (name, measured) => {
        if (!values.json) console.error(`${set}, ${name}`, measured);
      },
    );
  await decoder.close();
  if (values.json) {
    console.log(JSON.stringify({ model: decoder.model, keep: ratio, sets: figures }, null, 2));
    return;
  }
  printTable(
    `${decoder.model}: share of answers that hold the right one, by what was read; the budget is ${(100 * ratio).toFixed(0)}% of ten documents`,
    ['set', 'read', 'right', 'declined', 'prompt tokens', 'embeddings', 'first token ms'],
    Object.entries(figures).flatMap(([set, of]) =>
      XRAG_CONTEXTS.map((name) => {
        const { right, declined, promptTokens, embeddings, firstToken } = of[name];
        return [
          set,
          name,
          right.toFixed(3),
          declined.toFixed(3),
          promptTokens.toFixed(0),
          embeddings.toFixed(1),
          firstToken.toFixed(0),
        ];
      }),
    ),
  );
}

/** Prints what prompts from caches of their chunks are, beside the same prompts read whole. */
async function kvreuse(): Promise<void> {
  const { policy, plot } = values;
  const count = Number(values.questions ?? 48);
  if (!(count >= 1) || (policy !== 'all' && policy !== 'headline')) {
    refuse(USAGE);
    return;
  }
  if (sharedData === undefined) {
    refuse('shared/data is not there');
    return;
  }
  const lab = await openLab(values.folder);
  const chosen = policies(policy);
  const teacher = values.teacher === undefined ? lab : await openLab(values.teacher);
  const figures = await measurePolicies(lab, lab.questions(count), chosen, () => values.answers, teacher);
  if (plot !== undefined) writeFileSync(plot, reusePlot(figures));
  if (values.record) await recordGate(lab, chosen);
  await lab.decoder.close();
  if (values.json) console.log(JSON.stringify({ reuse: figures }, null, 2));
  else printPolicies(figures);
}

/** Prints how much of the evidence in files of questions is kept with a share of their words. */
async function evidence(files: readonly string[]): Promise<void> {
  const keep = Number(values.keep ?? 0.3);
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
else if (what === 'tcra' && files.length === 0) await tcra();
else if (what === 'xrag' && files.length === 0) await xrag();
else if (what === 'kvreuse' && files.length === 0) await kvreuse();
else if (what === 'evidence') await evidence(files);
else refuse(USAGE);

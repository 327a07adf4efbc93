import { writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { readEvidence, shareLeft, type EvidenceQuestion, type Recalls } from './evidence.js';
import { openEvidence, recallsOf, scoresOf, type QuestionScores } from './evidence-model.js';
import { Decoder } from '../models/decoder/decoder.js';
import { chatAnswers } from './chat.js';
import { createPipeline } from 'ragpress';
import { sharedData } from '../test/shared-data.js';
import {
  READER_CONTEXTS,
  READER_SETS,
  readerFigures,
  readerQuestions,
  type ReaderContext,
  type ReaderFigures,
} from './reader.js';
import { STANDING, TCRA_SETS, tcraLoss, type TcraLoss } from './eval-tcra.js';
import { XRAG_CONTEXTS, xragFigures, type XragContext, type XragFigures } from './eval-xrag.js';
import { KV_SPLITS } from './kv-questions.js';
import { measurePolicies, openLab, policies, POLICY_SETS, printPolicies, recordGate } from './kvreuse.js';
import { layoutFigures, type LayoutFigures } from './eval-layouts.js';
import { PAGE_PRESETS, pageFigures, type PageFigures } from './eval-pages.js';
import { reusePlot } from './reuse-plot.js';
import { ANSWER_BUDGETS, presetAnswers, type PresetAnswers } from './eval-answers.js';
import { measureCurves } from './eval-curves.js';
import {
  guardFigures,
  hostileFigures,
  summaryFigures,
  type GuardFigures,
  type HostileFigures,
  type SummaryFigures,
} from './eval-summaries.js';
import { printTable } from './table.js';

const USAGE = `npm run eval -- evidence FILE... --keep 0.3 [--json]    (FILE: rows of questions, .jsonl.gz)
       npm run eval -- reader [--questions 100] [--folder CHECKPOINT] [--contexts NAME;NAME] [--declines 0.1] [--json]
       npm run eval -- chat [--folder CHECKPOINT]
       npm run eval -- kvreuse [--policy all|headline|default] [--split dev|train] [--questions 48] [--answers]
                               [--folder CHECKPOINT] [--teacher CHECKPOINT] [--plot FILE.svg] [--record] [--json]
       npm run eval -- tcra [--questions 100] [--keep 0.8] [--mode fast|exact] [--json]
       npm run eval -- summaries [--questions 40] [--keep 0.35] [--folder CHECKPOINT | --guard] [--json]
       npm run eval -- curves [--questions 500] [--summaries 6] [--record] [--json]
       npm run eval -- answers [--questions 500] [--all] [--json]
       npm run eval -- pages [--json]
       npm run eval -- layouts [--json]
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
    split: { type: 'string', default: 'dev' },
    answers: { type: 'boolean', default: false },
    teacher: { type: 'string' },
    plot: { type: 'string' },
    projector: { type: 'string' },
    record: { type: 'boolean', default: false },
    all: { type: 'boolean', default: false },
    guard: { type: 'boolean', default: false },
    summaries: { type: 'string', default: '6' },
    contexts: { type: 'string', default: READER_CONTEXTS.join(';') },
    declines: { type: 'string' },
  },
});

/** Prints how often the reader's answer is right, by what it is given to read. */
async function reader(): Promise<void> {
  const contexts = values.contexts.split(';') as ReaderContext[];
  const count = Number(values.questions ?? 100);
  const declines = values.declines === undefined ? undefined : Number(values.declines);
  if (!(count >= 1) || contexts.some((name) => !READER_CONTEXTS.includes(name))) {
    refuse(USAGE);
    return;
  }
  if (sharedData === undefined) {
    refuse('shared/data is not there');
    return;
  }
  const decoder = await Decoder.load(values.folder === undefined ? {} : { folder: values.folder });
  const pipeline = await createPipeline({ preset: 'balanced' });
  const figures: Record<string, Record<string, ReaderFigures>> = {};
  for (const set of READER_SETS) {
    const rows = readerQuestions(set, count);
    figures[set] = {};
    for (const context of contexts) {
      figures[set][context] = await readerFigures(decoder, pipeline, rows, context, declines);
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
    ['set', 'questions', 'EXIT', 'TCRA', 'lost', 'answer words', 'lost', 'tokens left', ...STANDING],
    Object.entries(figures).map(([set, { questions, exit, tcra, answerWords: words, tokens, standing }]) => [
      set,
      String(questions),
      ...[exit, tcra, exit - tcra, words.tcra, words.exit - words.tcra, tokens].map((value) =>
        value.toFixed(3),
      ),
      ...STANDING.map((kind) => standing[kind].toFixed(4)),
    ]),
  );
}

/** Prints what the guard of summaries lets pass, and what a decoder's summaries are worth. */
async function summaries(): Promise<void> {
  const [count, ratio] = [Number(values.questions ?? 40), Number(values.keep ?? 0.35)];
  if (!(count >= 1) || !(ratio > 0 && ratio < 1)) {
    refuse(USAGE);
    return;
  }
  if (sharedData === undefined) {
    refuse('shared/data is not there');
    return;
  }
  // What the guard lets pass is no matter of the checkpoint.
  const guarded =
    values.folder === undefined
      ? { guard: guardFigures(300), hostile: await hostileFigures(500) }
      : undefined;
  const figures: Record<string, SummaryFigures> = {};
  if (!values.guard) {
    const decoder = await Decoder.load(values.folder === undefined ? {} : { folder: values.folder });
    for (const set of TCRA_SETS) {
      figures[set] = await summaryFigures(set, decoder, count, ratio);
      if (!values.json) console.error(set, figures[set]);
    }
    await decoder.close();
  }
  if (values.json) {
    console.log(JSON.stringify({ ...guarded, keep: ratio, sets: figures }, null, 2));
    return;
  }
  if (guarded) printGuard(guarded);
  if (values.guard) return;
  printTable(
    `${Object.values(figures)[0]!.model}: summaries of at most ${(100 * ratio).toFixed(0)}% of EXIT's extract`,
    [
      'set',
      'questions',
      'summaries',
      'tokens left',
      'extract',
      'summary',
      'lost',
      'stand',
      'refused',
      'unsupported',
      'before the guard',
      'ms',
    ],
    Object.entries(figures).map(([set, each]) => [
      set,
      String(each.questions),
      String(each.summaries),
      ...[each.tokens, each.extract, each.summary, each.extract - each.summary].map((share) =>
        share.toFixed(3),
      ),
      ...[each.standing, each.refused, each.unsupported, each.unsupportedRaw].map(String),
      each.milliseconds.toFixed(0),
    ]),
  );
}

interface Guarded {
  readonly guard: Readonly<Record<string, GuardFigures>>;
  readonly hostile: HostileFigures;
}

function printGuard({ guard, hostile }: Guarded): void {
  printTable(
    'sentences of dev documents, rewritten: what the guard lets pass',
    ['rewritten', 'sentences', 'let pass', 'share'],
    Object.entries(guard).map(([kind, { cases, passed }]) => [
      kind,
      String(cases),
      String(passed),
      (passed / cases).toFixed(3),
    ]),
  );
  const others = Object.entries(guard).flatMap(([kind, each]) => (kind.startsWith('other: ') ? [each] : []));
  const [cases, passed] = [
    others.reduce((sum, each) => sum + each.cases, 0),
    others.reduce((sum, each) => sum + each.passed, 0),
  ];
  console.log(
    `of other kinds than those that it was built on: ${cases}, let pass ${passed} (${(passed / cases).toFixed(4)})`,
  );
  for (const [kind, { examples }] of Object.entries(guard))
    for (const example of examples) console.log(`  ${kind}: ${example}`);
  console.log(
    `\na generator that writes nothing true: ${hostile.summaries} summaries, ${hostile.written} sentences, of which ${hostile.standing} stand; unsupported numbers and names in what stands: ${hostile.unsupported}`,
  );
  for (const example of hostile.examples) console.log(`  ${example}`);
}

/** Measures what shortening costs, on every second dev question, and writes it where `allot` reads it. */
async function curves(): Promise<void> {
  const count = Number(values.questions ?? 500);
  if (!(count >= 1)) {
    refuse(USAGE);
    return;
  }
  if (sharedData === undefined) {
    refuse('shared/data is not there');
    return;
  }
  const measured = await measureCurves(count, Number(values.summaries));
  const json = `${JSON.stringify(measured, null, 2)}\n`;
  if (values.record) writeFileSync(new URL('../compressors/loss-curves.json', import.meta.url), json);
  if (values.json) {
    process.stdout.write(json);
    return;
  }
  printTable(
    `answers that stand in the best sentences by EXIT, of ${measured.questions} questions whose answer stands in all`,
    ['tokens kept', 'answers'],
    measured.extract.map(({ share, answers }) => [share.toFixed(2), answers.toFixed(3)]),
  );
  printTable(
    'answers lost of those that stood, when what was kept is shortened',
    ['stage', 'tokens kept', 'lost'],
    Object.entries(measured.treatments).flatMap(([stage, points]) =>
      points.map(({ share, lost }) => [stage, share.toFixed(3), lost.toFixed(3)]),
    ),
  );
}

/** Prints how often the answer stands in the context of `max` and of `balanced`, by budget. */
async function answers(): Promise<void> {
  const count = Number(values.questions ?? 500);
  if (!(count >= 1)) {
    refuse(USAGE);
    return;
  }
  if (sharedData === undefined) {
    refuse('shared/data is not there');
    return;
  }
  const figures: Record<string, PresetAnswers> = {};
  for (const half of values.all ? (['held out', 'fitted'] as const) : (['held out'] as const))
    for (const set of TCRA_SETS) {
      const name = `${set}, ${half}`;
      figures[name] = await presetAnswers(set, half, count);
      if (!values.json) console.error(name, figures[name]);
    }
  if (values.json) {
    console.log(JSON.stringify({ budgets: ANSWER_BUDGETS, sets: figures }, null, 2));
    return;
  }
  printTable(
    'questions whose answer stands in the context, balanced → max, by budget as a share of the tokens that came in',
    ['set', 'questions', ...ANSWER_BUDGETS.map((ratio) => `${(100 * ratio).toFixed(0)}%`)],
    Object.entries(figures).map(([set, { questions, balanced, max }]) => [
      set,
      String(questions),
      ...balanced.map((share, at) => `${share.toFixed(3)} → ${max[at]!.toFixed(3)}`),
    ]),
  );
}

/** Prints how often the answer stands in what a preset keeps of fetched pages, and how much of that is their articles. */
async function pages(): Promise<void> {
  if (sharedData === undefined) {
    refuse('shared/data is not there');
    return;
  }
  const figures: Record<string, PageFigures[]> = {};
  for (const preset of PAGE_PRESETS) {
    figures[preset] = await pageFigures(preset);
    if (!values.json) console.error(preset, figures[preset]);
  }
  if (values.json) {
    console.log(JSON.stringify({ presets: figures }, null, 2));
    return;
  }
  printTable(
    'five fetched pages, one of which answers: the answer stands in the context; share of its words that are of the marked articles',
    ['preset', 'budget', 'questions', 'tokens before', 'after', 'answers', 'of the articles'],
    Object.entries(figures).flatMap(([preset, of]) =>
      of.map(({ budget, questions, answers, article, tokensBefore, tokensAfter }) => [
        preset,
        budget === undefined ? 'none' : String(budget),
        String(questions),
        tokensBefore.toFixed(0),
        tokensAfter.toFixed(0),
        answers.toFixed(2),
        article.toFixed(2),
      ]),
    ),
  );
}

/** Prints how often the answer stands in what is kept of tables, lists, records and threads. */
async function layouts(): Promise<void> {
  const presets: Record<string, LayoutFigures[]> = {};
  for (const preset of PAGE_PRESETS) presets[preset] = await layoutFigures(preset);
  if (values.json) {
    console.log(JSON.stringify({ presets }, null, 2));
    return;
  }
  printTable(
    'tables, lists, records and threads: all of the answer stands in the context',
    ['preset', 'budget', 'questions', 'its document alone', 'among all'],
    Object.entries(presets).flatMap(([preset, of]) =>
      of.map(({ budget, questions, alone, amongAll }) => [
        preset,
        String(budget),
        String(questions),
        alone.toFixed(2),
        amongAll.toFixed(2),
      ]),
    ),
  );
  for (const [preset, of] of Object.entries(presets))
    console.log(`\n${preset}, missed alone at ${of.at(-1)!.budget}:\n${of.at(-1)!.missed.join('\n')}`);
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
  const { plot } = values;
  const policy = POLICY_SETS.find((name) => name === values.policy);
  const split = KV_SPLITS.find((name) => name === values.split);
  const count = Number(values.questions ?? 48);
  if (!(count >= 1) || policy === undefined || split === undefined) {
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
  const questions = lab.questions(count, split);
  const figures = await measurePolicies(lab, questions, chosen, () => values.answers, teacher);
  if (plot !== undefined) writeFileSync(plot, reusePlot(figures));
  if (values.record) await recordGate(lab, chosen);
  await lab.decoder.close();
  if (values.json) console.log(JSON.stringify({ reuse: figures }, null, 2));
  else printPolicies(figures, split);
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
else if (what === 'summaries' && files.length === 0) await summaries();
else if (what === 'curves' && files.length === 0) await curves();
else if (what === 'answers' && files.length === 0) await answers();
else if (what === 'pages' && files.length === 0) await pages();
else if (what === 'layouts' && files.length === 0) await layouts();
else if (what === 'xrag' && files.length === 0) await xrag();
else if (what === 'kvreuse' && files.length === 0) await kvreuse();
else if (what === 'evidence') await evidence(files);
else refuse(USAGE);

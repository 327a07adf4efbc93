import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { windows, type EncodedText, type WindowRules } from '../compressors/exit/windows.js';
import { EvidenceScorer } from '../compressors/exit/evidence-scorer.js';
import { sentences } from '../compressors/exit/sentences.js';
import { createPipeline } from '../compressors/pipeline.js';
import { EvidenceEncoder } from '../models/encoder/evidence-encoder.js';
import { contextOf } from '../test/compressors/exit/given-sentences.js';
import { sharedData } from '../test/shared-data.js';
import { evidenceQuestions, shareLeft, type EvidenceQuestion, type Recalls } from './evidence.js';
import {
  evidenceModel,
  openEvidence,
  recallsOf,
  scoresOf,
  stateOfQuestion,
  type QuestionScores,
} from './evidence-model.js';
import { median, printTable } from './table.js';

const BUDGETS = {
  hotpot: [0.1, 0.3],
  'hotpot-answer': [0.1, 0.3],
  selqa: [0.2, 0.3],
  nq: [0.1, 0.3],
} as const;

type Set = keyof typeof BUDGETS;

/** Of each set, for questions asked of another's documents. */
const FOREIGN = 60;
/** Of each set, for the cost of one pass a sentence. */
const COST_QUESTIONS = 4;
const COST_SETS = ['hotpot', 'nq', 'selqa'] as const;
const PASSAGES = 10;
const PASSAGE_WORDS = 130;
const REQUESTS = 40;

interface AtThreshold {
  /** Share of the evidence sentences that are kept. */
  readonly recall: number;
  /** Share of the words that is kept. */
  readonly words: number;
  /** The same where the documents are another question's. */
  readonly foreign: number;
}

/**
 * EXIT: how much of the evidence is kept under a budget and at the model's threshold, and what it costs. The model is
 * `evidence`, or the folder in RAGPRESS_EVIDENCE; undefined where there is none.
 */
export async function benchExit(): Promise<unknown> {
  const encoder = await openEvidence();
  if (!encoder) return undefined;
  if (sharedData === undefined) {
    console.log('exit: shared/data is not here; nothing is measured');
    return undefined;
  }
  console.log(`\n${encoder.model}`);
  const budget: Partial<Record<Set, Record<string, Recalls & { left: number }>>> = {};
  const threshold: Partial<Record<Set, AtThreshold>> = {};
  const counts: Partial<Record<Set, number>> = {};
  for (const set of Object.keys(BUDGETS) as Set[]) {
    const questions = evidenceQuestions(set);
    const scores: QuestionScores[] = [];
    for (const question of questions) scores.push(await scoresOf(encoder, question));
    counts[set] = questions.length;
    budget[set] = Object.fromEntries(
      BUDGETS[set].map((share) => {
        const recalls = recallsOf(questions, scores, share);
        return [percent(share), { ...recalls, left: shareLeft(recalls) }];
      }),
    );
    threshold[set] = await atThreshold(encoder, questions, scores);
  }
  printBudget(budget, counts);
  printThreshold(threshold, counts, encoder.settings);
  const cost = await costBesideOneASentence();
  await encoder.close();
  return { model: encoder.model, questions: counts, budget, threshold, cost, latency: await latency() };
}

function printBudget(
  budget: Partial<Record<Set, Record<string, Recalls & { left: number }>>>,
  counts: Partial<Record<Set, number>>,
): void {
  printTable(
    'evidence recall with a share of the words kept, whole sentences; left: of what BM25 misses and the oracle does not, the share still missed',
    ['set', 'questions', 'words', 'BM25', 'model', 'oracle', 'left'],
    Object.entries(budget).flatMap(([set, byShare]) =>
      Object.entries(byShare).map(([share, { bm25, model, oracle, left }]) => [
        set,
        String(counts[set as Set]),
        share,
        ...[bm25, model, oracle].map((recall) => recall.toFixed(3)),
        left.toFixed(2),
      ]),
    ),
  );
}

function printThreshold(
  threshold: Partial<Record<Set, AtThreshold>>,
  counts: Partial<Record<Set, number>>,
  { tau, least }: EvidenceEncoder['settings'],
): void {
  printTable(
    `without a budget: every sentence from ${tau} on, where the best is at ${least} or more`,
    ['set', 'questions', 'recall', 'words kept', 'of another question’s documents'],
    Object.entries(threshold).map(([set, { recall, words, foreign }]) => [
      set,
      String(counts[set as Set]),
      recall.toFixed(3),
      percent(words, 1),
      percent(foreign, 1),
    ]),
  );
}

async function atThreshold(
  encoder: EvidenceEncoder,
  questions: readonly EvidenceQuestion[],
  scores: readonly QuestionScores[],
): Promise<AtThreshold> {
  const { tau, least } = encoder.settings;
  const strangers = foreignQuestions(questions);
  const foreign: QuestionScores[] = [];
  for (const question of strangers) foreign.push(await scoresOf(encoder, question));
  const keeps = (probabilities: ArrayLike<number>, index: number) =>
    probabilities[index]! >= tau && highest(probabilities) >= least;
  const marked = questions.flatMap(({ sentences }, at) =>
    sentences.flatMap(({ isEvidence }, index) =>
      isEvidence ? [keeps(scores[at]!.probabilities, index)] : [],
    ),
  );
  return {
    recall: marked.filter(Boolean).length / marked.length,
    words: wordsKept(questions, scores, keeps),
    foreign: wordsKept(strangers, foreign, keeps),
  };
}

function wordsKept(
  questions: readonly EvidenceQuestion[],
  scores: readonly QuestionScores[],
  keeps: (probabilities: ArrayLike<number>, index: number) => boolean,
): number {
  let kept = 0;
  let all = 0;
  for (const [at, { sentences }] of questions.entries()) {
    for (const [index, { words }] of sentences.entries()) {
      all += words;
      if (keeps(scores[at]!.probabilities, index)) kept += words;
    }
  }
  return kept / all;
}

function highest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((most, value) => Math.max(most, value), 0);
}

/** Questions over the documents of another one, with which their own share no title. */
function foreignQuestions(questions: readonly EvidenceQuestion[]): EvidenceQuestion[] {
  const step = Math.max(1, Math.floor(questions.length / FOREIGN));
  const titles = questions.map(({ sentences }) => new Set(sentences.map(({ title }) => title)));
  const out: EvidenceQuestion[] = [];
  for (let at = 0; at < questions.length && out.length < FOREIGN; at += step) {
    for (let ahead = 1; ahead < questions.length; ahead++) {
      const other = (at + ahead * 7) % questions.length;
      if (![...titles[other]!].some((title) => titles[at]!.has(title))) {
        out.push({ question: questions[at]!.question, sentences: questions[other]!.sentences });
        break;
      }
    }
  }
  return out;
}

interface Cost {
  tokens: number;
  milliseconds: number;
}

/**
 * Tokens and time beside the paper's way with the same encoder: a pass for each sentence, which reads the question, the
 * sentence and its document; of a document longer than a window the first window alone.
 */
async function costBesideOneASentence() {
  // Nothing remembered from before.
  const encoder = await EvidenceEncoder.load(evidenceModel());
  await encoder.warm();
  const scorer = new EvidenceScorer(encoder, { maxTokens: 1_000_000 });
  const figures: Record<string, { passes: number; ours: Cost; each: Cost }> = {};
  for (const set of COST_SETS) {
    const ours: Cost = { tokens: 0, milliseconds: 0 };
    const each: Cost = { tokens: 0, milliseconds: 0 };
    let passes = 0;
    for (const question of evidenceQuestions(set).slice(0, COST_QUESTIONS)) {
      const state = stateOfQuestion(question);
      await spend(encoder, ours, async () => {
        await scorer.score(state.query, state.units, state, contextOf());
      });
      await spend(encoder, each, async () => {
        passes += await readEachSentence(encoder, question);
      });
    }
    figures[set] = { passes, ours, each };
  }
  await encoder.close();
  printTable(
    `cost beside one pass a sentence, ${COST_QUESTIONS} questions of each set`,
    ['set', 'sentences', 'tokens, one a sentence', 'exit', 'ratio', 'ms, one a sentence', 'exit', 'ratio'],
    Object.entries(figures).map(([set, { passes, ours, each }]) => [
      set,
      String(passes),
      String(each.tokens),
      String(ours.tokens),
      (each.tokens / ours.tokens).toFixed(1),
      each.milliseconds.toFixed(0),
      ours.milliseconds.toFixed(0),
      (each.milliseconds / ours.milliseconds).toFixed(1),
    ]),
  );
  return figures;
}

async function spend(encoder: EvidenceEncoder, cost: Cost, work: () => Promise<void>): Promise<void> {
  const tokens = encoder.tokensRead;
  const began = performance.now();
  await work();
  cost.milliseconds += performance.now() - began;
  cost.tokens += encoder.tokensRead - tokens;
}

async function readEachSentence(encoder: EvidenceEncoder, question: EvidenceQuestion): Promise<number> {
  const { window, tokens, kinds } = encoder.settings;
  const rules: WindowRules = { ...window, ...tokens, plain: kinds.plain, asked: kinds.query };
  const encode = (text: string): EncodedText => {
    const ids = text.match(/\S+/g)?.flatMap((chunk) => encoder.chunkIds(chunk)) ?? [];
    return { ids, kinds: ids.map(() => kinds.plain) };
  };
  const texts = question.sentences.map(({ text }) => encode(text));
  const query = encode(question.question);
  for (const [index, { document, title }] of question.sentences.entries()) {
    const sentences = question.sentences.flatMap((sentence, at) =>
      sentence.document === document ? [{ index: at, text: texts[at]! }] : [],
    );
    const section = { title: encode(title), sentences };
    await encoder.read(windows(query, [section], rules, texts[index])[0]!);
  }
  return texts.length;
}

/** A request of ten passages in a warm pipeline, each with passages and a question of its own. */
async function latency() {
  const passages = passagesOfWords();
  const queries = evidenceQuestions('nq').map(({ question }) => question);
  const encoder = await EvidenceEncoder.load(evidenceModel());
  await encoder.warm();
  // The stage exit, with an encoder that tells its tokens.
  const scorer = new EvidenceScorer(encoder, { maxTokens: 6_144 });
  const pipeline = await createPipeline({
    stages: [sentences({ scorer })],
    cache: false,
    deadline: Infinity,
    budget: { ratio: 0.3 },
  });
  const times: number[] = [];
  for (let request = 0; request < REQUESTS; request++) {
    const documents = passages
      .slice(request * PASSAGES, (request + 1) * PASSAGES)
      .map((content, at) => ({ id: String(at), content, format: 'text' as const }));
    const began = performance.now();
    await pipeline.compress({ query: queries[request]!, documents });
    // The first ones make the processor and the runtime's buffers warm.
    if (request >= REQUESTS / 4) times.push(performance.now() - began);
  }
  const rss = process.memoryUsage().rss / 2 ** 20;
  const tokens = encoder.tokensRead / REQUESTS;
  await pipeline.close();
  await encoder.close();
  const p50 = median(times);
  const p95 = [...times].sort((a, b) => a - b)[Math.floor(0.95 * times.length)]!;
  printTable(
    `a request of ${PASSAGES} passages of ${PASSAGE_WORDS} words, warm, ${times.length} requests`,
    ['p50 ms', 'p95 ms', 'encoder tokens', 'RSS of this process, MB'],
    [[p50.toFixed(0), p95.toFixed(0), tokens.toFixed(0), rss.toFixed(0)]],
  );
  return { requests: times.length, p50, p95, tokens, rss };
}

/** Paragraphs put together to passages of a length. */
function passagesOfWords(): string[] {
  const file = gunzipSync(readFileSync(join(sharedData!, 'passages.jsonl.gz'))).toString('utf8');
  const passages: string[] = [];
  let words: string[] = [];
  for (const line of file.split('\n')) {
    if (line === '') continue;
    words.push(...(JSON.parse(line) as { text: string }).text.split(/\s+/));
    if (words.length < PASSAGE_WORDS) continue;
    passages.push(words.slice(0, PASSAGE_WORDS).join(' '));
    words = [];
    if (passages.length === PASSAGES * REQUESTS) break;
  }
  return passages;
}

function percent(share: number, digits = 0): string {
  return `${(100 * share).toFixed(digits)}%`;
}

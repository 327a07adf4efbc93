import { bm25 } from '../compressors/bm25.js';
import { indexTerms, queryTerms } from '../compressors/words.js';
import { AVAILABLE_CODECS, type CodecName } from '../compressors/zipfit/codecs.js';
import {
  DEFAULT_CODEC,
  rankByCompression,
  type RankOptions,
} from '../compressors/zipfit/rank-by-compression.js';
import {
  EVIDENCE_SETS,
  evidenceQuestions,
  evidenceRecall,
  oracleRecall,
  type EvidenceQuestion,
  type EvidenceSet,
} from './evidence.js';
import { median, printTable } from './table.js';

const SHARE = 0.3;
const SHARES = [0.1, 0.2, SHARE, 0.5];
/** Of each set, for times; recall is over all. */
const TIMED_QUESTIONS = 40;
const ROUNDS = 9;
const WARM_UP = 2;
/** A codec whose mean recall is so near to the best one's is as good. */
const AS_GOOD = 0.01;

const FAST: RankOptions = { mode: 'fast' };
const AUTHORS: RankOptions = { mode: 'exact', codec: 'gzip' };

type BySet = Readonly<Record<EvidenceSet, number>>;

export interface ZipfitFigures {
  /** Candidates a second on one core, fast mode over the authors' way; a candidate is `title: sentence`. */
  readonly fastVsExact: number;
  readonly fastVsExactBySet: BySet;
  /** The same where a candidate is a whole paragraph; of the sets that have several a question. */
  readonly fastVsExactParagraphs: number;
  /** Spearman's, of the scores of one question's candidates, averaged. */
  readonly rankCorrelation: number;
  /** Evidence recall at 30% of words. */
  readonly recallExact: BySet;
  readonly recallExactDefaultCodec: BySet;
  readonly recallFast: BySet;
  readonly recallBm25: BySet;
  /** What the exact mode uses by default, and what the table of codecs says it should. */
  readonly codec: CodecName;
  readonly codecByTable: CodecName;
  readonly codecs: Readonly<Record<string, { readonly microseconds: number; readonly recall: number }>>;
}

interface Ranking {
  readonly question: string;
  readonly candidates: readonly string[];
}

/** ZIP-FIT's two modes and the codecs of the exact one, on the questions of the shared data. */
export async function benchZipfit(): Promise<ZipfitFigures | undefined> {
  const questions = bySet((set) => evidenceQuestions(set));
  if (questions.hotpot.length === 0) return undefined;
  const rankings = bySet((set) => questions[set].map(ofSentences));

  const scores = (options: RankOptions) =>
    bySet((set) => rankings[set].map((ranking) => scoresOf(ranking, options)));
  const recall = (scored: Readonly<Record<EvidenceSet, readonly ArrayLike<number>[]>>, share = SHARE) =>
    bySet((set) => evidenceRecall(questions[set], scored[set], share));
  const byBm25 = {} as Record<EvidenceSet, Float64Array[]>;
  for (const set of EVIDENCE_SETS) byBm25[set] = await Promise.all(rankings[set].map(bm25Scores));
  printTable(
    'BM25 over title and sentence: evidence recall by share of words kept (the best possible)',
    ['set', 'questions', ...SHARES.map((share) => `${100 * share}%`)],
    EVIDENCE_SETS.map((set) => [
      set,
      String(questions[set].length),
      ...SHARES.map(
        (share) => `${figure(recall(byBm25, share)[set])} (${figure(oracleRecall(questions[set], share))})`,
      ),
    ]),
  );

  const byFast = scores(FAST);
  const byCodec = Object.fromEntries(
    AVAILABLE_CODECS.map((codec) => [codec, scores({ mode: 'exact', codec })]),
  ) as Record<CodecName, ReturnType<typeof scores>>;
  const figuresOf = {
    'exact, gzip': recall(byCodec.gzip),
    [`exact, ${DEFAULT_CODEC}`]: recall(byCodec[DEFAULT_CODEC]),
    fast: recall(byFast),
    BM25: recall(byBm25),
    possible: bySet((set) => oracleRecall(questions[set], SHARE)),
  };
  printTable(
    `evidence recall at ${100 * SHARE}% of words`,
    ['', ...EVIDENCE_SETS],
    Object.entries(figuresOf).map(([name, figures]) => [
      name,
      ...EVIDENCE_SETS.map((set) => figure(figures[set])),
    ]),
  );
  const correlations = EVIDENCE_SETS.flatMap((set) =>
    byFast[set].map((fast, index) => rankCorrelation(fast, byCodec.gzip[set][index]!)),
  );
  const correlation = mean(correlations);
  console.log(`rank correlation of the fast and the exact mode (gzip): ${figure(correlation)}`);

  const timed = bySet((set) => rankings[set].slice(0, TIMED_QUESTIONS));
  const sentenceTimes = bySet((set) => timesOf(timed[set], [FAST, AUTHORS]));
  const severalDocuments = EVIDENCE_SETS.filter((set) => set !== 'selqa');
  const paragraphs = severalDocuments.map(
    (set) =>
      [set, timesOf(questions[set].slice(0, TIMED_QUESTIONS).map(ofParagraphs), [FAST, AUTHORS])] as const,
  );
  const timeRow = (name: string, [fast, exact]: readonly Times[]) => [
    name,
    microseconds(exact!),
    microseconds(fast!),
    ratio(exact!, fast!).toFixed(1),
  ];
  printTable(
    'processor time a candidate, the target prepared for each question, in one run',
    ['candidates', 'exact, gzip', 'fast', 'times faster'],
    [
      ...EVIDENCE_SETS.map((set) => timeRow(`${set}, sentences`, sentenceTimes[set])),
      timeRow('all sentences', together(Object.values(sentenceTimes))),
      ...paragraphs.map(([set, times]) => timeRow(`${set}, paragraphs`, times)),
      timeRow('all paragraphs', together(paragraphs.map(([, times]) => times))),
    ],
  );

  const codecTimes = together(
    EVIDENCE_SETS.map((set) =>
      timesOf(
        timed[set],
        AVAILABLE_CODECS.map((codec) => ({ mode: 'exact', codec })),
      ),
    ),
  );
  const codecs = Object.fromEntries(
    AVAILABLE_CODECS.map((codec, index) => [
      codec,
      { microseconds: median(codecTimes[index]!), recall: mean(Object.values(recall(byCodec[codec]))) },
    ]),
  ) as Record<CodecName, { microseconds: number; recall: number }>;
  printTable(
    `codecs of the exact mode: time a candidate, and evidence recall at ${100 * SHARE}% of words`,
    ['codec', 'time', 'mean', ...EVIDENCE_SETS],
    AVAILABLE_CODECS.map((codec) => [
      codec,
      `${codecs[codec].microseconds.toFixed(1)} µs`,
      figure(codecs[codec].recall),
      ...EVIDENCE_SETS.map((set) => figure(recall(byCodec[codec])[set])),
    ]),
  );
  const codecByTable = chosenCodec(codecs);
  console.log(
    `the fastest codec whose mean recall is within ${AS_GOOD} of the best: ${codecByTable}; used by default: ${DEFAULT_CODEC}`,
  );

  const [fast, exact] = together(Object.values(sentenceTimes));
  const [fastParagraphs, exactParagraphs] = together(paragraphs.map(([, times]) => times));
  return {
    fastVsExact: ratio(exact!, fast!),
    fastVsExactBySet: bySet((set) => ratio(sentenceTimes[set][1]!, sentenceTimes[set][0]!)),
    fastVsExactParagraphs: ratio(exactParagraphs!, fastParagraphs!),
    rankCorrelation: correlation,
    recallExact: figuresOf['exact, gzip'],
    recallExactDefaultCodec: figuresOf[`exact, ${DEFAULT_CODEC}`]!,
    recallFast: figuresOf.fast,
    recallBm25: figuresOf.BM25,
    codec: DEFAULT_CODEC,
    codecByTable,
    codecs,
  };
}

function bySet<Value>(of: (set: EvidenceSet) => Value): Record<EvidenceSet, Value> {
  return Object.fromEntries(EVIDENCE_SETS.map((set) => [set, of(set)])) as Record<EvidenceSet, Value>;
}

function ofSentences({ question, sentences }: EvidenceQuestion): Ranking {
  return { question, candidates: sentences.map(({ title, text }) => `${title}: ${text}`) };
}

function ofParagraphs({ question, sentences }: EvidenceQuestion): Ranking {
  const paragraphs = new Map<number, string>();
  for (const { document, title, text } of sentences)
    paragraphs.set(document, `${paragraphs.get(document) ?? `${title}:`} ${text}`);
  return { question, candidates: [...paragraphs.values()] };
}

function scoresOf({ question, candidates }: Ranking, options: RankOptions): Float64Array {
  const scores = new Float64Array(candidates.length);
  for (const { index, score } of rankByCompression([question], candidates, options)) scores[index] = score;
  return scores;
}

function bm25Scores({ question, candidates }: Ranking): Promise<Float64Array> {
  return bm25(queryTerms(question), candidates.map(indexTerms), () => Promise.resolve());
}

/** Microseconds of processor time a candidate, by round. */
type Times = readonly number[];

/** Ranks with each of the ways in turn, round by round, so that whatever slows the machine slows all of them. */
function timesOf(rankings: readonly Ranking[], ways: readonly RankOptions[]): Times[] {
  const candidates = rankings.reduce((sum, ranking) => sum + ranking.candidates.length, 0);
  const times = ways.map((): number[] => []);
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    for (const [way, options] of ways.entries()) {
      const before = process.cpuUsage();
      for (const ranking of rankings) rankByCompression([ranking.question], ranking.candidates, options);
      const { user, system } = process.cpuUsage(before);
      if (round >= 0) times[way]!.push((user + system) / candidates);
    }
  }
  return times;
}

/** By way and round, the mean over several measurements. */
function together(measurements: readonly (readonly Times[])[]): Times[] {
  return measurements[0]!.map((times, way) =>
    times.map((_, round) => mean(measurements.map((measured) => measured[way]![round]!))),
  );
}

/** How many times the one takes as long as the other, round by round. */
function ratio(slow: Times, fast: Times): number {
  return median(slow.map((time, round) => time / fast[round]!));
}

function microseconds(times: Times): string {
  return `${median(times).toFixed(1)} µs`;
}

function chosenCodec(
  codecs: Readonly<Record<CodecName, { microseconds: number; recall: number }>>,
): CodecName {
  const best = Math.max(...AVAILABLE_CODECS.map((codec) => codecs[codec].recall));
  return AVAILABLE_CODECS.filter((codec) => codecs[codec].recall >= best - AS_GOOD).sort(
    (a, b) => codecs[a].microseconds - codecs[b].microseconds,
  )[0]!;
}

/** Spearman's rank correlation, ties sharing their mean rank; 0 where one of the two ranks nothing. */
function rankCorrelation(one: ArrayLike<number>, other: ArrayLike<number>): number {
  const [a, b] = [ranksOf(one), ranksOf(other)];
  const middle = (a.length - 1) / 2;
  let [product, squaresA, squaresB] = [0, 0, 0];
  for (const [index, rank] of a.entries()) {
    product += (rank - middle) * (b[index]! - middle);
    squaresA += (rank - middle) ** 2;
    squaresB += (b[index]! - middle) ** 2;
  }
  return squaresA === 0 || squaresB === 0 ? 0 : product / Math.sqrt(squaresA * squaresB);
}

function ranksOf(values: ArrayLike<number>): number[] {
  const order = Array.from(values, (_, index) => index).sort((a, b) => values[a]! - values[b]!);
  const ranks = new Array<number>(values.length).fill(0);
  for (let start = 0, end: number; start < order.length; start = end) {
    for (end = start + 1; end < order.length && values[order[end]!] === values[order[start]!];) end++;
    for (let i = start; i < end; i++) ranks[order[i]!] = (start + end - 1) / 2;
  }
  return ranks;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function figure(value: number): string {
  return value.toFixed(3);
}

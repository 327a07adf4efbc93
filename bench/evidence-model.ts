import { basename, dirname, resolve } from 'node:path';
import { EvidenceScorer } from '../compressors/exit/evidence-scorer.js';
import { pageSections, sectionScores } from '../compressors/exit/page-sections.js';
import { queryTerms } from '../compressors/words.js';
import { EvidenceEncoder } from '../models/encoder/evidence-encoder.js';
import { ModelError } from '../models/model-error.js';
import { ModelRegistry } from '../models/registry.js';
import { contextOf, stateOf } from '../test/compressors/exit/given-sentences.js';
import { evidenceRecall, oracleRecall, type EvidenceQuestion, type Recalls } from './evidence.js';

/** Name and place of the model to be measured: the folder in RAGPRESS_EVIDENCE, else `evidence` as ragpress finds it. */
export function evidenceModel(): { readonly model: string; readonly registry: ModelRegistry } {
  const folder = process.env.RAGPRESS_EVIDENCE;
  if (!folder) return { model: 'evidence', registry: new ModelRegistry() };
  const path = resolve(folder);
  return { model: basename(path), registry: new ModelRegistry({ folder: dirname(path) }) };
}

/** Undefined where there is none, which it says. */
export async function openEvidence(): Promise<EvidenceEncoder | undefined> {
  try {
    const encoder = await EvidenceEncoder.load(evidenceModel());
    await encoder.warm();
    return encoder;
  } catch (error) {
    if (!(error instanceof ModelError) || error.code !== 'missing') throw error;
    console.log(`no model to measure: ${error.message}; or name its folder in RAGPRESS_EVIDENCE`);
    return undefined;
  }
}

/** More than any question has: nothing is left out. */
const ALL_TOKENS = 1_000_000;
const ANY_BUDGET = 1_000;

/** By sentence. */
export interface QuestionScores {
  readonly bm25: ArrayLike<number>;
  /** What a budget goes by. */
  readonly ranks: ArrayLike<number>;
  /** What the threshold goes by. */
  readonly probabilities: ArrayLike<number>;
}

/** What the exit stage makes of a question's sentences, cut as they are given. */
export async function scoresOf(
  encoder: EvidenceEncoder,
  question: EvidenceQuestion,
): Promise<QuestionScores> {
  const state = stateOfQuestion(question);
  const scorer = new EvidenceScorer(encoder, { maxTokens: ALL_TOKENS });
  const bm25 = await sectionScores(
    queryTerms(state.query),
    state,
    state.units,
    pageSections(state, state.units),
    contextOf(),
  );
  const probabilities = await scorer.score(state.query, state.units, state, contextOf());
  // What the encoder said is remembered.
  const ranks = await scorer.score(state.query, state.units, state, contextOf({ budget: ANY_BUDGET }));
  return { bm25, ranks: ranks.scores, probabilities: probabilities.scores };
}

export function stateOfQuestion({ question, sentences }: EvidenceQuestion): ReturnType<typeof stateOf> {
  const titles: string[] = [];
  for (const { document, title } of sentences) titles[document] = title;
  return stateOf(
    question,
    Array.from(titles, (title: string | undefined) => title ?? ''),
    sentences,
  );
}

/** Evidence recall with a share of the words kept. */
export function recallsOf(
  questions: readonly EvidenceQuestion[],
  scores: readonly QuestionScores[],
  share: number,
): Recalls {
  return {
    bm25: evidenceRecall(
      questions,
      scores.map(({ bm25 }) => bm25),
      share,
    ),
    model: evidenceRecall(
      questions,
      scores.map(({ ranks }) => ranks),
      share,
    ),
    oracle: oracleRecall(questions, share),
  };
}

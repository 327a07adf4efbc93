import { z } from 'zod';
import type { Compressor, Decision, StageContext, State, Unit } from '../contract.js';
import { blockKey, sentenceUnits } from '../unit.js';
import { validate } from '../validate.js';
import { lexicalScorer } from './lexical-scorer.js';

/** How sentences are judged: the seam that a model fills. */
export interface SentenceScorer {
  readonly name: string;
  /**
   * @param units sentences, and blocks that stay whole, of all documents in order
   * @returns a score for each unit, comparable over documents, higher is better, 0 for one that says nothing of the query
   */
  score(
    query: string,
    units: readonly Unit[],
    state: State,
    context: StageContext,
  ): Promise<ArrayLike<number>>;
}

export interface SentencesOptions {
  /** Default BM25. */
  readonly scorer?: SentenceScorer;
  /** Share of the best score below which a sentence is dropped where there is no budget. Default 0.35. */
  readonly threshold?: number;
}

const optionsSchema = z.strictObject({
  scorer: z
    .custom<SentenceScorer>(
      (value) => typeof (value as SentenceScorer | null)?.score === 'function',
      'give { name, score }',
    )
    .optional(),
  threshold: z.number().min(0).max(1).default(0.35),
});

/**
 * Splits blocks into sentences and scores each against the query, as EXIT does (Hwang et al. 2024, arXiv 2412.12559,
 * section 3) with a scorer of choice. With a budget the best are chosen by the pipeline; without one those above
 * the threshold stay, in order, each with the headings and table headers that govern it.
 */
export function sentences(options: SentencesOptions = {}): Compressor {
  const { scorer = lexicalScorer(), threshold } = validate(optionsSchema, options, 'sentences');
  return {
    name: 'sentences',
    async compress(state, context) {
      const units: Unit[] = [];
      for (const [index, unit] of state.units.entries()) {
        const page = state.pages[unit.document];
        if (page) units.push(...sentenceUnits(unit, page, context.counter));
        else units.push(unit);
        if (index % 16 === 0) await context.breathe();
      }
      const scores = await scorer.score(state.query, units, state, context);
      const scored = units.map((unit, index) =>
        state.pages[unit.document] && unit.layout.type !== 'heading'
          ? { ...unit, score: scores[index]! }
          : unit,
      );
      if (context.budget !== undefined) return { ...state, units: scored };
      return { ...state, ...aboveThreshold({ ...state, units: scored }, threshold, scorer.name) };
    },
  };
}

function aboveThreshold(
  state: State,
  threshold: number,
  scorer: string,
): { units: Unit[]; decisions: Decision[] } {
  const best = state.units.reduce((highest, unit) => Math.max(highest, unit.score ?? 0), 0);
  const floor = threshold * best;
  const chosen = new Set(
    state.units.filter(({ score, layout }) =>
      score === undefined ? layout.type !== 'heading' : score > 0 && score >= floor,
    ),
  );
  const needed = new Set<number>();
  for (const unit of chosen) for (const block of unit.needs) needed.add(blockKey(unit.document, block));
  const units: Unit[] = [];
  const decisions = [...state.decisions];
  for (const unit of state.units) {
    if (chosen.has(unit) || needed.has(blockKey(unit.document, unit.block))) {
      units.push(unit);
      continue;
    }
    decisions.push({
      document: state.documents[unit.document]!.id,
      action: 'dropped',
      stage: 'sentences',
      spans: unit.spans.map(({ start, end }) => ({ start, end })),
      ...(unit.score !== undefined && { score: unit.score }),
      reason:
        unit.score === undefined
          ? 'a heading of nothing kept'
          : unit.score > 0
            ? `${scorer} below ${threshold} of the best, ${best.toFixed(2)}`
            : `${scorer} finds nothing of the query in it`,
    });
  }
  return { units, decisions };
}

import type { Decision, StageContext, State, Unit } from '../contract.js';
import { blockKey, sentenceUnits } from '../unit.js';
import type { Judgement, SentenceScorer } from './sentence-scorer.js';

/**
 * Splits blocks into sentences and scores each against the query, as EXIT does (Hwang et al. 2024, arXiv 2412.12559,
 * section 3) with a scorer of choice. With a budget the pipeline chooses the best; without one those from the scorer's
 * floor on stay, in order, each with the headings and table headers that govern it, and nothing where none is.
 * @param stage its name in decisions
 * @param cut `blocks`: a block is not split, and its score is that of its best sentence
 * @throws TypeError for a scorer that gives no number for each unit
 */
export async function selectSentences(
  stage: string,
  scorer: SentenceScorer,
  state: State,
  context: StageContext,
  cut: 'sentences' | 'blocks' = 'sentences',
): Promise<State> {
  const units: Unit[] = [];
  /** Of each unit the place of the block that it was cut from. */
  const blocks: number[] = [];
  for (const [index, unit] of state.units.entries()) {
    const page = state.pages[unit.document];
    if (page) units.push(...sentenceUnits(unit, page, context.counter));
    else units.push(unit);
    while (blocks.length < units.length) blocks.push(index);
    if (index % 16 === 0) await context.breathe();
  }
  const judgement = await scorer.score(state.query, units, state, context);
  checkScores(judgement, scorer, units);
  const scored = units.map((unit, index) =>
    state.pages[unit.document] && unit.layout.type !== 'heading'
      ? { ...unit, score: judgement.scores[index]!, answers: reachesFloor(judgement, index) }
      : unit,
  );
  const judged = {
    ...state,
    units: cut === 'blocks' ? wholeBlocks(state.units, scored, blocks) : scored,
    ...(judgement.isHurried && { isHurried: true }),
  };
  return context.budget === undefined
    ? fromFloor(judged, judgement, stage, judgement.by ?? scorer.name)
    : { ...judged, decisions: [...state.decisions, ...unusual(judged, judgement, stage)] };
}

function reachesFloor({ scores, floor, probabilities, nothing }: Judgement, index: number): boolean {
  const held = (probabilities ?? scores)[index]!;
  return nothing === undefined && held > 0 && held >= floor;
}

/** Blocks as they came, each with the best score of its sentences. */
function wholeBlocks(
  blocks: readonly Unit[],
  sentences: readonly Unit[],
  placeOf: readonly number[],
): Unit[] {
  const best = new Map<number, number>();
  const answering = new Set<number>();
  sentences.forEach(({ score, answers }, i) => {
    if (score !== undefined) best.set(placeOf[i]!, Math.max(score, best.get(placeOf[i]!) ?? -Infinity));
    if (answers) answering.add(placeOf[i]!);
  });
  return blocks.map((block, place) => {
    const score = best.get(place);
    return score === undefined ? block : { ...block, score, answers: answering.has(place) };
  });
}

function checkScores({ scores }: Judgement, { name }: SentenceScorer, units: readonly Unit[]): void {
  const given = (scores as ArrayLike<number> | undefined)?.length;
  if (given !== units.length)
    throw new TypeError(`${name} gave ${given ?? 'no'} scores for ${units.length} units`);
  for (let index = 0; index < units.length; index++) {
    if (!Number.isFinite(scores[index]))
      throw new TypeError(`${name} gave ${String(scores[index])} as the score of unit ${index}`);
  }
}

function fromFloor(state: State, { floor, nothing, zero }: Judgement, stage: string, by: string): State {
  const chosen = new Set(
    state.units.filter(({ score, layout, answers }) =>
      score === undefined ? layout.type !== 'heading' : answers,
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
      stage,
      spans: unit.spans.map(({ start, end }) => ({ start, end })),
      ...(unit.score !== undefined && { score: unit.score }),
      reason:
        unit.score === undefined
          ? 'a heading of nothing kept'
          : unit.score > 0
            ? `${by}: ${nothing ?? `below ${floor < 0.1 ? floor.toPrecision(2) : floor.toFixed(2)}`}`
            : `${by}: ${zero ?? 'nothing of the query in it'}`,
    });
  }
  return { ...state, units, decisions };
}

/** Where another than the scorer judged, each document's record says so: the budget's decisions name no scorer. */
function unusual(state: State, { by }: Judgement, stage: string): Decision[] {
  if (by === undefined) return [];
  return [...new Set(state.units.map(({ document }) => document))].map((document) => ({
    document: state.documents[document]!.id,
    action: 'kept',
    stage,
    spans: [],
    reason: `scored by ${by}`,
  }));
}

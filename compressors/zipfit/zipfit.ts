import { z } from 'zod';
import type { Compressor, Decision, State, StageContext, Unit } from '../contract.js';
import { blockKey, blockText } from '../unit.js';
import { validate } from '../../settings/validate.js';
import { NearDuplicates } from './near-duplicates.js';
import { alignmentSchema, createAlignment, type AlignmentOptions } from './rank-by-compression.js';

export interface ZipfitOptions extends AlignmentOptions {
  /** More of what is looked for, beside the query: example questions or answers, a sample of the domain. */
  readonly examples?: readonly string[];
  /** How many times the token budget the kept blocks may hold, for later stages to choose from. Default 3. */
  readonly breadth?: number;
  /** Share of the best score below which a block is dropped where there is no budget. Default 0: those that share nothing. */
  readonly threshold?: number;
  /** Share of a block that an earlier one must hold for it to be dropped as its copy; false for none. Default 0.8. */
  readonly duplicates?: number | false;
}

const optionsSchema = alignmentSchema.extend({
  examples: z.array(z.string()).default([]),
  breadth: z.number().min(1, 'give a number of 1 or more').default(3),
  threshold: z.number().min(0).max(1).default(0),
  duplicates: z
    .union([z.number().gt(0).max(1), z.literal(false)], 'give a share above 0 and up to 1, or false')
    .default(0.8),
});

/**
 * Drops blocks that repeat an earlier one, then those that align least with the query, by compression alone
 * (ZIP-FIT, Obbad et al. 2024, arXiv 2410.18194). Each block is read below its title and headings.
 * @throws ConfigurationError
 */
export function zipfit(options: ZipfitOptions = {}): Compressor {
  const { examples, breadth, threshold, duplicates, ...alignment } = validate(
    optionsSchema,
    options,
    'zipfit',
  );
  createAlignment(['a codec that is not there is found at start'], alignment, 'zipfit.');
  return {
    name: 'zipfit',
    async compress(state, context) {
      const distinct = duplicates === false ? state : await withoutDuplicates(state, duplicates, context);
      const judged = distinct.units.filter(
        (unit) => distinct.pages[unit.document] && unit.layout.type !== 'heading',
      );
      const aligned = createAlignment([state.query, ...examples], alignment);
      const texts = new Contexts(distinct);
      for (const [index, unit] of judged.entries()) {
        aligned.add(texts.of(unit));
        if (index % 16 === 0) await context.breathe();
      }
      const scores = aligned.scores();
      const best = scores.reduce((highest, score) => Math.max(highest, score), 0);
      // Where nothing aligns there is nothing to choose by.
      if (best === 0) return distinct;
      const kept =
        context.budget === undefined
          ? atLeast(scores, threshold * best)
          : bestWithin(scores, judged, breadth * context.budget);
      const rule =
        context.budget === undefined ? `below ${threshold} of the best` : `beyond ${breadth} × the budget`;
      return select(distinct, judged, scores, kept, rule);
    },
  };
}

async function withoutDuplicates(state: State, similarity: number, context: StageContext): Promise<State> {
  const known = new NearDuplicates(similarity);
  const seen: Unit[] = [];
  const originals = new Map<Unit, Unit>();
  const needed = new Set<number>();
  for (const [index, unit] of state.units.entries()) {
    if (index % 16 === 0) await context.breathe();
    // A row or a line of code may repeat another and mean something else by where it stands.
    const comparable =
      state.pages[unit.document] &&
      (unit.layout.type === 'paragraph' || unit.layout.type === 'item' || unit.layout.type === 'quote');
    if (comparable) {
      const original = known.add(unit.text, unit.terms);
      seen.push(unit);
      if (original >= 0) {
        originals.set(unit, seen[original]!);
        continue;
      }
    }
    for (const block of unit.needs) needed.add(blockKey(unit.document, block));
  }
  const units: Unit[] = [];
  const decisions = [...state.decisions];
  for (const unit of state.units) {
    const original = originals.get(unit);
    if (original && !needed.has(blockKey(unit.document, unit.block))) {
      const { id } = state.documents[original.document]!;
      decisions.push(dropped(state, unit, `repeats a block of ${id}`));
    } else units.push(unit);
  }
  return { ...state, units, decisions };
}

/** What stands above a block, and the block. */
class Contexts {
  readonly #state: State;
  readonly #above = new Map<string, string>();

  constructor(state: State) {
    this.#state = state;
  }

  of(unit: Unit): string {
    const page = this.#state.pages[unit.document]!;
    const key = `${unit.document}:${unit.needs.join()}`;
    let above = this.#above.get(key);
    if (above === undefined) {
      const title = this.#state.documents[unit.document]!.title ?? page.title ?? '';
      const headings = unit.needs.map((block) => blockText(page, block));
      above = [title, ...headings].join('\n');
      this.#above.set(key, above);
    }
    return `${above}\n${unit.text}`;
  }
}

function atLeast(scores: Float64Array, floor: number): Set<number> {
  return new Set([...scores.keys()].filter((index) => scores[index]! > 0 && scores[index]! >= floor));
}

/** The best until they hold the tokens asked for; the last may overshoot. */
function bestWithin(scores: Float64Array, units: readonly Unit[], tokens: number): Set<number> {
  const order = [...scores.keys()].sort((a, b) => scores[b]! - scores[a]! || a - b);
  const kept = new Set<number>();
  let total = 0;
  for (const index of order) {
    if (total >= tokens) break;
    kept.add(index);
    total += units[index]!.tokens;
  }
  return kept;
}

function select(
  state: State,
  judged: readonly Unit[],
  scores: Float64Array,
  kept: ReadonlySet<number>,
  rule: string,
): State {
  const scoreOf = new Map(judged.map((unit, index) => [unit, index]));
  const needed = new Set<number>();
  for (const index of kept)
    for (const block of judged[index]!.needs) needed.add(blockKey(judged[index]!.document, block));
  const units: Unit[] = [];
  const decisions: Decision[] = [...state.decisions];
  for (const unit of state.units) {
    const index = scoreOf.get(unit);
    const isNeeded = needed.has(blockKey(unit.document, unit.block));
    if (index === undefined) {
      if (unit.layout.type !== 'heading' || isNeeded) units.push(unit);
      else decisions.push(dropped(state, unit, 'a heading of nothing kept'));
    } else if (kept.has(index) || isNeeded) {
      units.push({ ...unit, score: scores[index]! });
    } else {
      decisions.push(
        dropped(state, unit, scores[index] === 0 ? 'shares nothing with the query' : rule, scores[index]),
      );
    }
  }
  return { ...state, units, decisions };
}

function dropped(state: State, unit: Unit, reason: string, score?: number): Decision {
  return {
    document: state.documents[unit.document]!.id,
    action: 'dropped',
    stage: 'zipfit',
    spans: unit.spans.map(({ start, end }) => ({ start, end })),
    ...(score !== undefined && { score }),
    reason,
  };
}

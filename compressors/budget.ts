import type { Budget, Decision, SourceDocument, State, Unit } from './contract.js';
import { ConfigurationError } from '../settings/configuration-error.js';
import { documentHeader, render, type Output, type Rendering } from './render.js';
import { blockKey } from './unit.js';
import type { TokenCounter } from '../models/token-counter.js';

/**
 * @returns the ceiling in tokens, or undefined where there is none
 * @throws ConfigurationError for a negative or fractional number of tokens, or a ratio outside 0 to 1
 */
export function budgetTokens(budget: Budget | undefined, before: number): number | undefined {
  const ceilings: number[] = [];
  if (budget?.tokens !== undefined) ceilings.push(budget.tokens);
  if (budget?.ratio !== undefined) ceilings.push(Math.floor(budget.ratio * before));
  return ceilings.length > 0 ? Math.min(...ceilings) : undefined;
}

/** @throws ConfigurationError */
export function checkBudget(budget: Budget | undefined, root = 'budget'): void {
  if (budget === undefined) return;
  if (typeof budget !== 'object' || (budget as unknown) === null) {
    throw new ConfigurationError(root, budget, 'give { tokens } or { ratio }');
  }
  const unknown = Object.keys(budget).find((key) => key !== 'tokens' && key !== 'ratio');
  if (unknown !== undefined) {
    throw new ConfigurationError(
      `${root}.${unknown}`,
      budget[unknown as keyof Budget],
      'give tokens or ratio',
    );
  }
  const { tokens, ratio } = budget;
  if (tokens !== undefined && (!Number.isSafeInteger(tokens) || tokens < 0)) {
    throw new ConfigurationError(`${root}.tokens`, tokens, 'give a whole number of tokens, 0 or more');
  }
  if (ratio !== undefined && !(ratio >= 0 && ratio <= 1)) {
    throw new ConfigurationError(
      `${root}.ratio`,
      ratio,
      'give a share of the tokens that come in, from 0 to 1',
    );
  }
}

export interface Fitting {
  readonly units: readonly Unit[];
  readonly rendering: Rendering;
  readonly decisions: readonly Decision[];
}

/** Share of the best score up to which a unit has none but words that all the others have, too. */
const NEXT_TO_NOTHING = 0.02;

/** How often room that is left is filled again, and the largest budget for which it is: it costs a count of the whole. */
const TOP_UPS = 4;
const LARGEST_TOPPED_UP = 16_384;

/** Tokens that the number before an embedding is reckoned to cost. */
const EMBEDDING_LABEL = 4;

/** Tokens that a selection may be reckoned to cost too much: at first it is filled beyond the budget by so many. */
const MARKS = 48;

/**
 * The one place where a token budget is decided: the best units that fit, each with what it needs (its heading,
 * table header, list parent), counted as rendered. A unit that does not fit is passed over for the next best.
 * @param budget ceiling in tokens; everything is kept where undefined
 */
export function fitBudget(
  state: State,
  budget: number | undefined,
  output: Output,
  counter: TokenCounter,
): Fitting {
  const { units } = state;
  const order = rank(state);
  const rankOf = new Map(order.map((index, rank) => [index, rank]));
  if (budget === undefined) {
    return { units, rendering: render(state, units, output, counter), decisions: kept(state, units, rankOf) };
  }

  const selection = new Selection(state, counter);
  const best = units.reduce((highest, { score }) => Math.max(highest, score ?? 0), 0);
  const saysNothing = ({ score, embedding }: Unit) =>
    best > 0 && score !== undefined && score <= NEXT_TO_NOTHING * best && !embedding;
  const fill = (limit: number) => {
    for (const index of order) {
      // It only fills gaps: beside a part of its block that was chosen.
      if (saysNothing(units[index]!) && !selection.holdsBlockOf(units[index]!)) continue;
      selection.addWithin(index, limit);
    }
  };
  fill(budget + Math.min(budget, MARKS));
  let rendering = fitted(selection, budget, output);
  // What the parts were reckoned to cost and do not is room for more.
  for (let round = 0; round < TOP_UPS && rendering.tokens < budget && budget <= LARGEST_TOPPED_UP; round++) {
    const { size, cost } = selection;
    fill(size === 0 ? budget : cost + ((budget - rendering.tokens) * cost) / rendering.tokens);
    if (selection.size === size) break;
    rendering = fitted(selection, budget, output);
  }

  const chosenUnits = selection.units();
  const isKept = new Set(chosenUnits);
  const keptUnits = withRoom(state, chosenUnits, rendering, budget, output, counter, rankOf);
  rendering = keptUnits.rendering;
  const decisions: Decision[] = [...kept(state, chosenUnits, rankOf, selection.chosen(), keptUnits.whole)];
  for (const [index, unit] of units.entries()) {
    if (isKept.has(unit)) continue;
    decisions.push({
      document: state.documents[unit.document]!.id,
      action: 'dropped',
      stage: 'budget',
      spans: unit.spans.map(({ start, end }) => ({ start, end })),
      ...(unit.score !== undefined && { score: unit.score }),
      reason:
        unit.layout.type === 'heading' && unit.score === undefined
          ? 'a heading of nothing kept'
          : unit.tokens > budget
            ? `${unit.tokens} tokens alone are over the budget of ${budget}`
            : saysNothing(unit)
              ? 'next to nothing of the query in it'
              : `rank ${rankOf.get(index)! + 1} of ${units.length}: no room in ${budget} tokens`,
    });
  }
  return { units: keptUnits.units, rendering, decisions };
}

/** How often restoring less is tried, where the whole is over the budget. */
const RESTORINGS = 6;

/** What was shortened stands whole again, the best first, where there is room for it. */
function withRoom(
  state: State,
  units: readonly Unit[],
  rendering: Rendering,
  budget: number,
  output: Output,
  counter: TokenCounter,
  rankOf: ReadonlyMap<number, number>,
): { units: readonly Unit[]; rendering: Rendering; whole: ReadonlyMap<Unit, Unit> } {
  const indexOf = new Map(state.units.map((unit, index) => [unit, index]));
  const place = (unit: Unit) => rankOf.get(indexOf.get(unit)!)!;
  const shortened = units.filter(({ whole }) => whole !== undefined).sort((a, b) => place(a) - place(b));
  let room = budget - rendering.tokens;
  for (let round = 0; round < RESTORINGS && room > 0 && shortened.length > 0; round++) {
    const whole = new Map<Unit, Unit>();
    let left = room;
    for (const unit of shortened) {
      const cost = unit.whole!.tokens - unit.tokens;
      if (cost > left) continue;
      left -= cost;
      whole.set(unit, unit.whole!);
    }
    if (whole.size === 0) break;
    const restored = units.map((unit) => whole.get(unit) ?? unit);
    const rendered = render(state, restored, output, counter);
    if (rendered.tokens <= budget) return { units: restored, rendering: rendered, whole };
    // Parts are not reckoned to the token.
    room = Math.min(room - 1, room - (rendered.tokens - budget));
  }
  return { units, rendering, whole: new Map() };
}

/** How often the last unit alone is given up, where that is too little, before it is more at once. */
const SINGLE_STEPS = 8;

/** Renders a selection, and gives up the last of it until the whole fits. */
function fitted(selection: Selection, budget: number, output: Output): Rendering {
  let rendering = selection.render(output);
  for (let round = 0; rendering.tokens > budget; round++) {
    const surplus = ((rendering.tokens - budget) * selection.cost) / rendering.tokens;
    selection.removeLast(surplus, Math.max(1, round - SINGLE_STEPS));
    rendering = selection.render(output);
  }
  return rendering;
}

/** What the last of the retriever's documents loses of its units' scores. */
const RETRIEVER_WEIGHT = 0.3;

/**
 * Indices of units, best first; unscored ones last; ties in order. The retriever has its say: where documents carry
 * scores, a unit's score is weighted by its document's place among them.
 */
export function rank({ units, documents }: State): number[] {
  const weights = documentWeights(documents);
  const worth = units.map(({ score = -Infinity, document }) =>
    score > 0 ? score * weights[document]! : score / weights[document]!,
  );
  return units.map((_, index) => index).sort((a, b) => worth[b]! - worth[a]! || a - b);
}

function documentWeights(documents: readonly SourceDocument[]): number[] {
  const scores = documents.map(({ score }) => (Number.isFinite(score) ? score! : -Infinity));
  const places = [...new Set(scores)].sort((a, b) => b - a);
  return scores.map((score) => 1 - (RETRIEVER_WEIGHT * places.indexOf(score)) / (places.length - 1 || 1));
}

/**
 * @param chosen those kept on their own merit; all where absent
 * @param whole of those that stand whole again what they stand as
 */
function kept(
  state: State,
  units: readonly Unit[],
  rankOf: ReadonlyMap<number, number>,
  chosen: ReadonlySet<Unit> = new Set(units),
  whole: ReadonlyMap<Unit, Unit> = new Map(),
): Decision[] {
  const indexOf = new Map(state.units.map((unit, index) => [unit, index]));
  const reason = (unit: Unit) => {
    if (!chosen.has(unit)) return 'needed by what is kept';
    return unit.score === undefined
      ? 'not scored'
      : `rank ${rankOf.get(indexOf.get(unit)!)! + 1} of ${state.units.length}${whole.has(unit) ? ', whole: there is room for it' : ''}`;
  };
  const stands = (unit: Unit) => whole.get(unit) ?? unit;
  return units.map((unit) => ({
    document: state.documents[unit.document]!.id,
    action: stands(unit).origin === undefined ? 'kept' : 'replaced',
    stage: 'budget',
    spans: stands(unit).spans.map(({ start, end }) => ({ start, end })),
    ...(unit.score !== undefined && { score: unit.score }),
    reason: reason(unit),
  }));
}

/** Units chosen on their own merit, in that order, and with them what they need. */
class Selection {
  readonly #state: State;
  readonly #counter: TokenCounter;
  readonly #byBlock = new Map<number, number[]>();
  readonly #governors = new Set<number>();
  readonly #chosen: { document: number; members: readonly number[]; cost: number }[] = [];
  /** Units that are chosen, or do not fit even alone. */
  readonly #isTried = new Set<number>();
  /** How many of the chosen units keep a unit here, itself included. */
  readonly #holders = new Map<number, number>();
  readonly #documents = new Map<number, number>();
  #cost = 0;

  constructor(state: State, counter: TokenCounter) {
    this.#state = state;
    this.#counter = counter;
    for (const [index, unit] of state.units.entries()) {
      const key = blockKey(unit.document, unit.block);
      const group = this.#byBlock.get(key);
      if (group) group.push(index);
      else this.#byBlock.set(key, [index]);
      for (const block of unit.needs) this.#governors.add(blockKey(unit.document, block));
    }
  }

  get size(): number {
    return this.#chosen.length;
  }

  /** As reckoned from the parts. */
  get cost(): number {
    return this.#cost;
  }

  render(output: Output): Rendering {
    return render(this.#state, this.units(), output, this.#counter);
  }

  /** Chooses a unit, with what it needs, where it is reckoned to fit. */
  addWithin(index: number, budget: number): void {
    if (this.#cost >= budget || this.#isTried.has(index)) return;
    const unit = this.#state.units[index]!;
    if (unit.tokens + this.#cost > budget || this.#leadsIn(unit)) return;
    const closure = this.#closure(index);
    // Rather the answer without its headings than the headings of what did not fit.
    const bare = closure.filter((member) => this.#state.units[member]!.layout.type !== 'heading');
    if (!this.#add(unit.document, closure, budget) && bare[0] === index && bare.length < closure.length)
      this.#add(unit.document, bare, budget);
  }

  /** Whether a part of the unit's block has been chosen. */
  holdsBlockOf({ document, block }: Unit): boolean {
    return this.#byBlock.get(blockKey(document, block))!.some((index) => this.#holders.has(index));
  }

  #add(document: number, members: readonly number[], budget: number): boolean {
    const first = this.#state.units[members[0]!]!;
    let cost = this.#documents.has(document) ? 0 : this.#headerCost(first);
    for (const member of members)
      if (!this.#holders.has(member)) cost += unitCost(this.#state.units[member]!);
    if (this.#cost + cost > budget) return false;
    this.#cost += cost;
    this.#chosen.push({ document, members, cost });
    this.#isTried.add(members[0]!);
    for (const member of members) this.#holders.set(member, (this.#holders.get(member) ?? 0) + 1);
    this.#documents.set(document, (this.#documents.get(document) ?? 0) + 1);
    return true;
  }

  /** Gives up chosen units from the last: at least `count`, and as many as are reckoned to cost no more than `tokens`. */
  removeLast(tokens: number, count: number): void {
    let free = 0;
    for (let removed = 0; this.#chosen.length > 0; removed++) {
      if (removed >= count && free + this.#chosen.at(-1)!.cost > tokens) return;
      const { document, members, cost } = this.#chosen.pop()!;
      free += cost;
      this.#cost -= cost;
      // What does not fit alone is not tried again.
      if (this.#chosen.length > 0) this.#isTried.delete(members[0]!);
      for (const member of members) release(this.#holders, member);
      release(this.#documents, document);
    }
  }

  /** The units kept on their own merit: without what others need. */
  chosen(): Set<Unit> {
    return new Set(this.#chosen.map(({ members }) => this.#state.units[members[0]!]!));
  }

  units(): Unit[] {
    return this.#state.units.filter((_, index) => this.#holders.has(index));
  }

  /** The unit and what it needs that is still there. Of a governor that was split, its last part leads in. */
  #closure(index: number): number[] {
    const unit = this.#state.units[index]!;
    const members = [index];
    for (const block of unit.needs) {
      const last = this.#byBlock.get(blockKey(unit.document, block))?.at(-1);
      if (last !== undefined) members.push(last);
    }
    return members;
  }

  /** A heading and a header row stand with what they lead in to, and by themselves only where that is nothing. */
  #leadsIn({ layout, score, document, block }: Unit): boolean {
    const leads = layout.type === 'row' ? layout.header : layout.type === 'heading' && score === undefined;
    return leads && this.#governors.has(blockKey(document, block));
  }

  #headerCost({ document, embedding }: Unit): number {
    if (embedding) return EMBEDDING_LABEL;
    const header = documentHeader(document, this.#state.documents[document]!, this.#state.pages[document]);
    return this.#counter.count(header) + 2;
  }
}

function release(counts: Map<number, number>, key: number): void {
  const count = counts.get(key)! - 1;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}

/** Tokens of a unit with the marks and line breaks that rendering puts around it. */
function unitCost(unit: Unit): number {
  if (unit.kind === 'sentence') return unit.tokens + 1;
  return (
    unit.tokens +
    (unit.layout.type === 'code' ? 8 : unit.layout.type === 'row' && unit.layout.header ? 10 : 3)
  );
}

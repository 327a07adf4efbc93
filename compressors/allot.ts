import { z } from 'zod';
import { validate } from '../settings/validate.js';
import { rank } from './budget.js';
import type { Compressor, Decision, State, Treatment, Unit } from './contract.js';
import { inSentences } from './in-sentences.js';
import measured from './loss-curves.json' with { type: 'json' };

/** What shortening costs, as measured (`npm run eval -- curves`). Shares are of tokens, ascending. */
export interface LossCurves {
  /** Of the questions whose answer stands in all that could be kept, the share whose answer stands in the best of it. */
  readonly extract: readonly { readonly share: number; readonly answers: number }[];
  /**
   * By the stage that shortens: the share of their tokens that texts keep, and the share of the answers in them that is
   * lost. A stage without points is never given anything.
   */
  readonly treatments: Readonly<Record<string, readonly { readonly share: number; readonly lost: number }[]>>;
}

export interface AllotOptions {
  /** The stages that come after this one and shorten what they are given. Default `['tcra']`. */
  readonly treatments?: readonly string[];
  /** Default what was measured of ragpress's own stages. Give yours where a generator or projector is your own. */
  readonly curves?: LossCurves;
}

const share = z.number().min(0).max(1);

const optionsSchema = z.strictObject({
  treatments: z.array(z.string().min(1)).default(['tcra']),
  curves: z
    .object({
      extract: z.array(z.object({ share, answers: share })),
      treatments: z.record(z.string(), z.array(z.object({ share: share.gt(0), lost: share }))),
    })
    .default(measured),
});

/**
 * Shares a budget out over the stages that come after it, for the least loss by measured curves: what is kept as it is,
 * what each stage is to shorten and by how much, and what is not going to be kept. It comes behind a stage that scores,
 * and does nothing without a budget, or where all fits.
 * @throws ConfigurationError
 */
export function allot(options: AllotOptions = {}): Compressor {
  const { treatments, curves } = validate(optionsSchema, options, 'allot');
  return {
    name: 'allot',
    async compress(given, context) {
      if (context.budget === undefined) return given;
      const state = await inSentences(given, context);
      const order = rank(state);
      const left = state.units.reduce((sum, { tokens }) => sum + tokens, 0);
      if (left <= context.budget) return given;
      // What stages before this one have dropped stood behind what is left.
      const total = Math.max(left, context.tokens ?? left);
      const shares = allotment(curves, treatments, context.budget / total);
      const units = [...state.units];
      let before = 0;
      for (const index of order) {
        const unit = units[index]!;
        const part = shares.find(({ to }) => before / total < to);
        before += unit.tokens;
        if (part?.treatment) units[index] = { ...unit, treatment: part.treatment };
      }
      return {
        ...state,
        units,
        isAllotted: true,
        decisions: [...state.decisions, ...allotted(state, units)],
      };
    },
  };
}

/** A stretch of the ranking, as a share of all tokens, and what is done with it. */
export interface Allotted {
  readonly to: number;
  /** Kept as it is where absent. */
  readonly treatment?: Treatment;
}

/** What sums of shares are out by, at most. */
const ROUNDING = 1e-9;

interface Option {
  readonly cost: number;
  /** Share of its answers that is kept. */
  readonly value: number;
  readonly treatment?: Treatment;
}

/**
 * What to do with the best of a ranking, from its beginning, so that the least is lost: a knapsack over stretches of the
 * ranking, each with as many answers as the curve of extraction says, and over what can be done with each. As the answers
 * that a token holds grow fewer down the ranking, taking the steps that keep most for their tokens is the optimum.
 * @param budget share of all tokens
 */
export function allotment(curves: LossCurves, treatments: readonly string[], budget: number): Allotted[] {
  const options = frontier(curves, treatments);
  const steps = stretches(curves.extract).flatMap(({ from, to, density }, stretch) =>
    options.slice(1).map((option, index) => {
      const cost = option.cost - options[index]!.cost;
      const worth = (density * (option.value - options[index]!.value)) / cost;
      return { stretch, from, to, option, cost: cost * (to - from), worth };
    }),
  );
  steps.sort((a, b) => b.worth - a.worth || a.from - b.from || a.option.cost - b.option.cost);
  const chosen: Allotted[][] = [];
  let left = budget;
  for (const { stretch, from, to, option, cost } of steps) {
    const isPart = cost > left + ROUNDING;
    const until = isPart ? from + ((to - from) * left) / cost : to;
    const before = chosen[stretch]?.[0];
    const treatment = option.treatment && { treatment: option.treatment };
    // What is left of a stretch stays at the step before.
    chosen[stretch] = [{ to: until, ...treatment }, ...(isPart && before ? [before] : [])];
    left -= cost;
    if (left <= ROUNDING) break;
  }
  return chosen.flat();
}

/** What can be done with a text by cost, from dropping to keeping all, without what is worse than a mixture of others. */
function frontier({ treatments: curves }: LossCurves, treatments: readonly string[]): Option[] {
  const points = treatments.flatMap((stage) =>
    (Object.hasOwn(curves, stage) ? curves[stage]! : []).map(({ share, lost }): Option => ({
      cost: share,
      value: 1 - lost,
      treatment: { stage, share },
    })),
  );
  return envelope(
    [{ cost: 0, value: 0 }, ...points.filter(({ cost }) => cost < 1), { cost: 1, value: 1 }],
    ({ cost }) => cost,
    ({ value }) => value,
  );
}

/** Stretches of a ranking with the share of answers that a share of tokens holds there, which falls from each to the next. */
function stretches(extract: LossCurves['extract']): { from: number; to: number; density: number }[] {
  const points = envelope(
    [
      { share: 0, answers: 0 },
      ...extract.filter(({ share }) => share > 0 && share < 1),
      { share: 1, answers: 1 },
    ],
    ({ share }) => share,
    ({ answers }) => answers,
  );
  return points.slice(1).map(({ share: to, answers }, index) => {
    const { share: from, answers: before } = points[index]!;
    return { from, to, density: (answers - before) / (to - from) };
  });
}

/** The upper concave envelope of points: Andrew's monotone chain (1979). */
function envelope<Point>(
  points: readonly Point[],
  xOf: (point: Point) => number,
  yOf: (point: Point) => number,
): Point[] {
  const hull: Point[] = [];
  const isBelow = (a: Point, b: Point, c: Point) =>
    (yOf(b) - yOf(a)) * (xOf(c) - xOf(a)) <= (yOf(c) - yOf(a)) * (xOf(b) - xOf(a));
  for (const point of [...points].sort((a, b) => xOf(a) - xOf(b) || yOf(b) - yOf(a))) {
    if (hull.length > 0 && xOf(hull.at(-1)!) === xOf(point)) continue;
    while (hull.length > 1 && isBelow(hull.at(-2)!, hull.at(-1)!, point)) hull.pop();
    hull.push(point);
  }
  return hull;
}

/** One decision a document and treatment. */
function allotted({ documents }: State, units: readonly Unit[]): Decision[] {
  const groups = new Map<string, { document: number; treatment: Treatment; members: Unit[] }>();
  for (const unit of units) {
    if (!unit.treatment) continue;
    const { stage, share } = unit.treatment;
    const key = `${unit.document} ${stage} ${share}`;
    const group = groups.get(key);
    if (group) group.members.push(unit);
    else groups.set(key, { document: unit.document, treatment: unit.treatment, members: [unit] });
  }
  return [...groups.values()].map(({ document, treatment, members }) => ({
    document: documents[document]!.id,
    action: 'kept',
    stage: 'allot',
    spans: members.flatMap(({ spans }) => spans.map(({ start, end }) => ({ start, end }))),
    reason: `${treatment.stage} is to shorten it to ${(100 * treatment.share).toFixed(0)}%`,
  }));
}

import type { StageContext, State } from '../contract.js';
import { render } from '../render.js';

/** Sentences of so many times the budget are looked at: those beyond are not going to be chosen. */
export const BUDGETS = 2;

/** By how many tokens everything together is over the budget; 0 where it fits, Infinity where there is none. */
export function surplusTokens(state: State, { budget, counter }: StageContext): number {
  if (budget === undefined) return Infinity;
  const tokens = state.units.reduce((sum, unit) => sum + unit.tokens, 0);
  if (tokens > BUDGETS * budget) return tokens - budget;
  return Math.max(0, render(state, state.units, 'markdown', counter).tokens - budget);
}

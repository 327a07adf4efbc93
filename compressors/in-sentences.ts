import type { StageContext, State, Unit } from './contract.js';
import { sentenceUnits } from './unit.js';

/** The same state with its blocks of prose cut into sentences. */
export async function inSentences(state: State, context: StageContext): Promise<State> {
  const units: Unit[] = [];
  for (const [index, unit] of state.units.entries()) {
    const page = state.pages[unit.document];
    if (page) units.push(...sentenceUnits(unit, page, context.counter));
    else units.push(unit);
    if (index % 16 === 0) await context.breathe();
  }
  return { ...state, units };
}

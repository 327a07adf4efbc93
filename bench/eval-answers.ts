import { allot, type LossCurves } from '../compressors/allot.js';
import type { Compressor } from '../compressors/contract.js';
import { createPipeline } from '../compressors/pipeline.js';
import { exit } from '../compressors/exit/exit.js';
import { htmlrag } from '../compressors/htmlrag/htmlrag.js';
import { tcra } from '../compressors/tcra/tcra.js';
import { zipfit } from '../compressors/zipfit/zipfit.js';
import { halfOf } from './eval-curves.js';
import type { TcraSet } from './eval-tcra.js';
import { holdsAnswer } from './reader.js';

/** Shares of the tokens that came in. */
export const ANSWER_BUDGETS = [0.05, 0.1, 0.2, 0.3] as const;

export interface PresetAnswers {
  readonly questions: number;
  /** By budget, share of the questions whose answer stands in the context. */
  readonly balanced: readonly number[];
  readonly max: readonly number[];
}

/** How often the answer stands in the context of `max`, beside `balanced` under the same budget, on questions that no curve was measured on. */
export async function presetAnswers(
  set: TcraSet,
  half: 'fitted' | 'held out',
  count: number,
  curves?: LossCurves,
): Promise<PresetAnswers> {
  // What comes first is the same: it is done once for both.
  const first = [htmlrag(), zipfit(), exit()];
  let known: { key: string; state: Awaited<ReturnType<Compressor['compress']>> } | undefined;
  const scored: Compressor = {
    name: 'scored',
    async compress(given, context) {
      const key = `${given.query} ${context.budget}`;
      if (known?.key !== key) {
        let state = given;
        for (const stage of first) state = await stage.compress(state, context);
        known = { key, state };
      }
      return known.state;
    },
  };
  const options = { deadline: Infinity, cache: false };
  const pipelines = {
    balanced: await createPipeline({ ...options, stages: [scored] }),
    max: await createPipeline({ ...options, stages: [scored, allot(curves ? { curves } : {}), tcra()] }),
  };
  const asked = halfOf(set, half, count);
  const right = { balanced: ANSWER_BUDGETS.map(() => 0), max: ANSWER_BUDGETS.map(() => 0) };
  for (const { question, answers, documents } of asked) {
    for (const [at, ratio] of ANSWER_BUDGETS.entries()) {
      for (const preset of ['balanced', 'max'] as const) {
        const { context } = await pipelines[preset].compress({
          query: question,
          documents,
          budget: { ratio },
        });
        right[preset][at]! += Number(holdsAnswer(context, answers));
      }
    }
  }
  await Promise.all([...Object.values(pipelines), ...first].map(async (each) => each.close?.()));
  const shares = (counts: readonly number[]) => counts.map((count) => count / asked.length);
  return { questions: asked.length, balanced: shares(right.balanced), max: shares(right.max) };
}

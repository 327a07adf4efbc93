import { createPipeline } from 'ragpress';
import { LAYOUT_DOCUMENTS, LAYOUT_QUESTIONS } from './layout-documents.js';

/** Tokens of gpt-4o. */
const BUDGETS = [60, 120, 200] as const;

/** Of one budget, over all questions. */
export interface LayoutFigures {
  readonly budget: number;
  readonly questions: number;
  /** Share of the questions all of whose answer stands in the context of the document that has it. */
  readonly alone: number;
  /** The same where all the documents were given. */
  readonly amongAll: number;
  /** Questions that the document by itself does not answer. */
  readonly missed: readonly string[];
}

/** What a preset keeps of tables, lists, records and threads. */
export async function layoutFigures(preset: 'fast' | 'balanced'): Promise<LayoutFigures[]> {
  const documents = Object.entries(LAYOUT_DOCUMENTS).map(([id, content]) => ({ id, content }));
  const pipeline = await createPipeline({ preset, model: 'gpt-4o', deadline: Infinity });
  const figures: LayoutFigures[] = [];
  for (const tokens of BUDGETS) {
    const missed: string[] = [];
    let amongAll = 0;
    for (const { document, question, answers } of LAYOUT_QUESTIONS) {
      const isAnswered = async (given: typeof documents) => {
        const { context } = await pipeline.compress({
          query: question,
          documents: given,
          budget: { tokens },
        });
        return answers.every((answer) => context.includes(answer));
      };
      if (!(await isAnswered(documents.filter(({ id }) => id === document)))) missed.push(question);
      amongAll += Number(await isAnswered(documents));
    }
    const questions = LAYOUT_QUESTIONS.length;
    figures.push({
      budget: tokens,
      questions,
      alone: 1 - missed.length / questions,
      amongAll: amongAll / questions,
      missed,
    });
  }
  await pipeline.close();
  return figures;
}

import { createPipeline } from 'ragpress';
import { Bm25Retriever } from 'ragpress/retrievers';
import { PAGE_QUESTIONS } from './page-questions.js';
import { fetchedPages } from './pages.js';
import { holdsAnswer } from './reader.js';

export const PAGE_PRESETS = ['fast', 'balanced'] as const;

/** Tokens of gpt-4o; undefined: no budget. */
export const PAGE_BUDGETS = [200, 400, 800, undefined] as const;

/** Pages that stand together, as a retriever returns them: the one that answers, and those nearest to the question. */
const RETRIEVED = 5;

/** Of one budget, over all questions. */
export interface PageFigures {
  readonly budget: number | undefined;
  readonly questions: number;
  /** Share of the questions whose answer stands in the context. */
  readonly answers: number;
  /** Share of the context's words that stand so in the articles that people marked. */
  readonly article: number;
  /** Means. */
  readonly tokensBefore: number;
  readonly tokensAfter: number;
}

/** What a preset keeps of fetched pages, menus, captions and all, for questions that one of them answers. */
export async function pageFigures(
  preset: (typeof PAGE_PRESETS)[number],
  budgets: readonly (number | undefined)[] = PAGE_BUDGETS,
): Promise<PageFigures[]> {
  const pages = fetchedPages();
  const byKey = new Map(pages.map((page) => [page.key, page]));
  const retriever = new Bm25Retriever();
  await retriever.add(pages.map(({ key, html }) => ({ id: key, content: html })));
  const pipeline = await createPipeline({ preset, model: 'gpt-4o', deadline: Infinity });
  const sums = budgets.map(() => ({ answers: 0, article: 0, tokensBefore: 0, tokensAfter: 0 }));
  for (const { page, question, answer } of PAGE_QUESTIONS) {
    const gold = pages.find(({ key }) => key.startsWith(page))!.key;
    const nearest = (await retriever.retrieve(question, { limit: RETRIEVED })).map(({ id }) => id);
    const keys = [gold, ...nearest.filter((id) => id !== gold)].slice(0, RETRIEVED).sort();
    const marked = runsOf(keys.map((key) => byKey.get(key)!.article).join('\n\n'));
    for (const [at, tokens] of budgets.entries()) {
      const result = await pipeline.compress({
        query: question,
        documents: keys.map((id) => ({ id, content: byKey.get(id)!.html })),
        ...(tokens !== undefined && { budget: { tokens } }),
      });
      const of = sums[at]!;
      of.answers += Number(holdsAnswer(result.context, [answer]));
      of.article += shareIn(marked, result.context);
      of.tokensBefore += result.tokens.before;
      of.tokensAfter += result.tokens.after;
    }
  }
  await pipeline.close();
  const questions = PAGE_QUESTIONS.length;
  return sums.map((of, at) => ({
    budget: budgets[at],
    questions,
    answers: of.answers / questions,
    article: of.article / questions,
    tokensBefore: of.tokensBefore / questions,
    tokensAfter: of.tokensAfter / questions,
  }));
}

/** Words in a row by which a text is found in another. */
const RUN = 3;

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

function runsOf(text: string): ReadonlySet<string> {
  const words = wordsOf(text);
  return new Set(words.map((_, i) => words.slice(i, i + RUN).join(' ')));
}

/** Share of a text's words that stand in one of the runs; 1 of no words. */
function shareIn(runs: ReadonlySet<string>, text: string): number {
  const words = wordsOf(text);
  const isFound = words.map(() => false);
  for (let i = 0; i + RUN <= words.length; i++)
    if (runs.has(words.slice(i, i + RUN).join(' '))) isFound.fill(true, i, i + RUN);
  return words.length === 0 ? 1 : isFound.filter(Boolean).length / words.length;
}

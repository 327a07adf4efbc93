import { exit } from '../compressors/exit/exit.js';
import { createPipeline } from '../compressors/pipeline.js';
import type { Budget, CompressionResult, Span } from '../compressors/contract.js';
import { tcra } from '../compressors/tcra/tcra.js';
import { indexTerms, queryTerms, tellingTerms } from '../compressors/words.js';
import { evidenceDocuments, type AskedDocuments } from './evidence-documents.js';
import { holdsAnswer } from './reader.js';

/** Those whose questions have short answers. */
export const TCRA_SETS = ['hotpot', 'hotpot-answer', 'nq', 'qed'] as const;

export type TcraSet = (typeof TCRA_SETS)[number];

/** Kinds of words that must stand, as found by rules of this file alone. */
export const STANDING = ['numbers', 'negations', 'names', 'query'] as const;

export interface TcraLoss {
  readonly questions: number;
  /** Share of the questions whose answer, or one of them, stands in the context. */
  readonly exit: number;
  readonly tcra: number;
  /** Mean share of the answer's telling words, of the one that has most, that stand in the context. */
  readonly answerWords: { readonly exit: number; readonly tcra: number };
  /** Of the tokens of EXIT's contexts, the share that is left. */
  readonly tokens: number;
  /** Of the words of a kind that EXIT kept, the share that TCRA kept. */
  readonly standing: Readonly<Record<(typeof STANDING)[number], number>>;
}

export interface TcraLossOptions {
  readonly count: number;
  readonly mode: 'fast' | 'exact';
  readonly ratio: number;
  /** Default none: what EXIT's threshold keeps. */
  readonly budget?: Budget;
}

/** Answer-string recall of what EXIT keeps, before and after words were dropped. */
export async function tcraLoss(
  set: TcraSet,
  { count, mode, ratio, budget }: TcraLossOptions,
): Promise<TcraLoss> {
  const options = { deadline: Infinity, ...(budget && { budget }) };
  // One for both pipelines, so that what it has read once is remembered.
  const selection = exit();
  const before = await createPipeline({ ...options, stages: [selection] });
  const after = await createPipeline({ ...options, stages: [selection, tcra({ mode, ratio })] });
  const asked = evidenceDocuments(set)
    .filter(({ answers }) => answers.length > 0)
    .slice(0, count);
  const right = { exit: 0, tcra: 0 };
  const answerWords = { exit: 0, tcra: 0 };
  const tokens = { exit: 0, tcra: 0 };
  const words = STANDING.map(() => ({ exit: 0, tcra: 0 }));
  for (const one of asked) {
    const request = { query: one.question, documents: one.documents };
    const results = { exit: await before.compress(request), tcra: await after.compress(request) };
    for (const stage of ['exit', 'tcra'] as const) {
      right[stage] += Number(holdsAnswer(results[stage].context, one.answers));
      answerWords[stage] += shareOfAnswer(results[stage].context, one.answers);
      tokens[stage] += results[stage].tokens.after;
    }
    for (const [at, { exit, tcra }] of wordsThatStand(results, one).entries()) {
      words[at]!.exit += exit;
      words[at]!.tcra += tcra;
    }
  }
  await Promise.all([before.close(), after.close()]);
  return {
    questions: asked.length,
    exit: right.exit / asked.length,
    tcra: right.tcra / asked.length,
    answerWords: {
      exit: answerWords.exit / asked.length,
      tcra: answerWords.tcra / asked.length,
    },
    tokens: tokens.tcra / tokens.exit,
    standing: Object.fromEntries(
      STANDING.map((kind, at) => [kind, words[at]!.exit === 0 ? 1 : words[at]!.tcra / words[at]!.exit]),
    ) as TcraLoss['standing'],
  };
}

/** What a reader needs of an answer that is a clause: an article that went breaks the string, and no more. */
function shareOfAnswer(context: string, answers: readonly string[]): number {
  const said = new Set(indexTerms(context).terms);
  return Math.max(
    ...answers.map((answer) => {
      const telling = [...tellingTerms(indexTerms(answer).terms)];
      return telling.filter((term) => said.has(term)).length / Math.max(1, telling.length);
    }),
  );
}

/** A name is what has a capital after a word in small letters: the first word of a sentence has one whatever it is. */
const STANDING_FORMS: Readonly<Record<Exclude<(typeof STANDING)[number], 'query'>, RegExp>> = {
  numbers: /\S*\p{N}\S*/gu,
  negations: /(?<!\S)(?:no|not|never|none|nor|without|cannot|\w+n['’]t)(?!\S)/giu,
  names: /(?<=[\p{Ll},] )\p{Lu}\S*/gu,
};

/** How many words of each kind, as they stand in the sources, EXIT kept, and of these TCRA. */
function wordsThatStand(
  results: Readonly<Record<'exit' | 'tcra', CompressionResult>>,
  { question, documents }: AskedDocuments,
): { exit: number; tcra: number }[] {
  const query = new Set(queryTerms(question));
  return STANDING.map((kind) => {
    const count = { exit: 0, tcra: 0 };
    for (const { id, content } of documents) {
      const spans = (stage: 'exit' | 'tcra') =>
        results[stage].documents.find((document) => document.id === id)?.spans ?? [];
      const words = [...content.matchAll(kind === 'query' ? /\S+/g : STANDING_FORMS[kind])].filter(
        ([word]) => kind !== 'query' || indexTerms(word).terms.some((term) => query.has(term)),
      );
      for (const { 0: word, index } of words) {
        const isIn = ({ start, end }: Span) => start <= index && index + word.length <= end;
        if (!spans('exit').some(isIn)) continue;
        count.exit++;
        if (spans('tcra').some(isIn)) count.tcra++;
      }
    }
    return count;
  });
}

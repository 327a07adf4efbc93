import { join } from 'node:path';
import type { Pipeline, SourceDocument } from 'ragpress';
import { Decoder } from '../models/decoder/decoder.js';
import { NO_ANSWER, readerMessages } from '../models/decoder/reader-prompt.js';
import { Bm25Retriever } from 'ragpress/retrievers';
import { sharedData } from '../test/shared-data.js';
import { jsonLines } from './json-lines.js';

export const READER_SETS = ['hotpot', 'nq'] as const;

export type ReaderSet = (typeof READER_SETS)[number];

/** What the reader is given of a question's documents. */
export const READER_CONTEXTS = [
  'all',
  'compressed',
  'gold and three',
  'gold and three, compressed',
  'gold',
  'closed book',
  'without gold',
  'without gold, compressed',
] as const;

export type ReaderContext = (typeof READER_CONTEXTS)[number];

export interface ReaderFigures {
  readonly questions: number;
  /** Share of the questions whose answer, or one of them, stands in what the reader says. */
  readonly right: number;
  /** Share of the questions that it says the documents do not answer. */
  readonly declined: number;
  /** Mean, of the whole prompt. */
  readonly promptTokens: number;
  /** Mean milliseconds until the first token, compression included. */
  readonly firstToken: number;
  /** Mean milliseconds until the last token, compression included. */
  readonly total: number;
}

export interface ReaderQuestion {
  readonly question: string;
  readonly answers: readonly string[];
  readonly documents: readonly { readonly title: string; readonly sentences: readonly string[] }[];
  readonly evidence: readonly (readonly [document: number, sentence: number])[];
}

/** The documents that hold the answer. */
export function goldContext(row: ReaderQuestion): string {
  return rendered(row, goldPlaces(row));
}

function goldPlaces({ evidence }: ReaderQuestion): number[] {
  return [...new Set(evidence.map(([document]) => document))].sort((a, b) => a - b);
}

/** The first `count` dev questions of a set that have short answers. */
export function readerQuestions(set: ReaderSet, count: number): ReaderQuestion[] {
  return jsonLines<ReaderQuestion>(join(sharedData!, 'evidence', `${set}.dev.jsonl.gz`))
    .filter(({ answers }) => answers.length > 0)
    .slice(0, count);
}

/** Answers the questions from one kind of context. */
export async function readerFigures(
  decoder: Decoder,
  pipeline: Pipeline,
  rows: readonly ReaderQuestion[],
  context: ReaderContext,
  /** Of the text that declines, from which on it does. Default where nothing is likelier. */
  declinesFrom?: number,
): Promise<ReaderFigures> {
  const sums = { right: 0, declined: 0, promptTokens: 0, firstToken: 0, total: 0 };
  for (const row of rows) {
    const places = await placesOf(row, context);
    const began = performance.now();
    const isCompressed = context.endsWith('compressed');
    const text = isCompressed ? await compressed(pipeline, row, places, context) : rendered(row, places);
    const compression = isCompressed ? performance.now() - began : 0;
    const { result } = decoder.generate(
      { messages: readerMessages(row.question, text) },
      {
        maxTokens: 32,
        ...(declinesFrom !== undefined && { abstention: { text: NO_ANSWER, probability: declinesFrom } }),
      },
    );
    const { text: said, promptTokens, milliseconds } = await result;
    sums.right += Number(holdsAnswer(said, row.answers));
    sums.declined += Number(said.includes(NO_ANSWER.slice(0, -1)));
    sums.promptTokens += promptTokens;
    sums.firstToken += compression + milliseconds.firstToken;
    sums.total += compression + milliseconds.total;
  }
  const mean = (sum: number) => sum / rows.length;
  return {
    questions: rows.length,
    right: mean(sums.right),
    declined: mean(sums.declined),
    promptTokens: mean(sums.promptTokens),
    firstToken: mean(sums.firstToken),
    total: mean(sums.total),
  };
}

/** Of the ten documents' tokens; of fewer documents what stands out is kept, without a budget. */
const BUDGET = { ratio: 0.3 };

async function compressed(
  pipeline: Pipeline,
  row: ReaderQuestion,
  places: readonly number[],
  context: ReaderContext,
): Promise<string> {
  const documents = places.map((place): SourceDocument => {
    const { title, sentences } = row.documents[place]!;
    return { id: String(place), title, content: textOf(sentences), format: 'text' };
  });
  const { question: query } = row;
  const budget = context === 'compressed' ? { budget: BUDGET } : {};
  return (await pipeline.compress({ query, documents, ...budget })).context;
}

/** Which documents are read, in their order. */
async function placesOf(row: ReaderQuestion, context: ReaderContext): Promise<number[]> {
  const gold = goldPlaces(row);
  const others = (await nearest(row)).filter((place) => !gold.includes(place));
  const chosen = () => {
    switch (context) {
      case 'all':
      case 'compressed':
        return [...row.documents.keys()];
      case 'gold and three':
      case 'gold and three, compressed':
        return [...gold, ...others.slice(0, 3)];
      case 'without gold':
      case 'without gold, compressed':
        return others.slice(0, 3 + gold.length);
      case 'gold':
        return gold;
      case 'closed book':
        return [];
    }
  };
  return chosen().sort((a, b) => a - b);
}

function rendered({ documents }: ReaderQuestion, places: readonly number[]): string {
  return places
    .map(
      (place, index) => `[${index + 1}] ${documents[place]!.title}\n${textOf(documents[place]!.sentences)}`,
    )
    .join('\n\n');
}

function textOf(sentences: readonly string[]): string {
  return sentences.map((sentence) => sentence.trim()).join(' ');
}

/** Places of the documents that share a word with the question, by BM25 the nearest first, then the others. */
async function nearest({ question, documents }: ReaderQuestion): Promise<number[]> {
  const retriever = new Bm25Retriever();
  await retriever.add(
    documents.map(({ title, sentences }, place) => ({
      id: String(place),
      title,
      content: textOf(sentences),
    })),
  );
  const ranked = (await retriever.retrieve(question, { limit: documents.length })).map(({ id }) =>
    Number(id),
  );
  return [...new Set([...ranked, ...documents.keys()])];
}

/** Whether one of the answers stands in a text, word for word, whatever case and punctuation. */
export function holdsAnswer(text: string, answers: readonly string[]): boolean {
  const said = ` ${wordsOf(text)} `;
  return answers.some((answer) => said.includes(` ${wordsOf(answer)} `));
}

function wordsOf(text: string): string {
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{N}]+/gu) ?? []
  ).join(' ');
}

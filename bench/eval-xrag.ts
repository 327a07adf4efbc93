import { exit } from '../compressors/exit/exit.js';
import { createPipeline } from '../compressors/pipeline.js';
import { xrag } from '../compressors/xrag/xrag.js';
import type { Decoder } from '../models/decoder/decoder.js';
import { DocumentEncoder } from '../models/decoder/document-encoder.js';
import { embeddingMarker } from '../models/decoder/embedding-marker.js';
import type { PlacedEmbeddings } from '../models/decoder/generation.js';
import { NO_ANSWER, readerMessages } from '../models/decoder/reader-prompt.js';
import { goldContext, holdsAnswer, readerQuestions, type ReaderQuestion, type ReaderSet } from './reader.js';

/** What the reader is given. The foreign tokens are the control: what a token does that says nothing of the question. */
export const XRAG_CONTEXTS = [
  'closed book',
  'foreign tokens',
  'gold as tokens',
  'gold as text',
  'text in the budget',
  'mixed in the budget',
] as const;

export type XragContext = (typeof XRAG_CONTEXTS)[number];

export interface XragFigures {
  /** Share of the questions whose answer, or one of them, stands in what the reader says. */
  readonly right: number;
  /** Share of the questions that it says the documents do not answer. */
  readonly declined: number;
  /** Mean, of the whole prompt. */
  readonly promptTokens: number;
  /** Mean documents that are embeddings. */
  readonly embeddings: number;
  /** Mean milliseconds from the prompt to its first token: without retrieval, compression and embedding. */
  readonly firstToken: number;
}

export interface XragOptions {
  readonly count: number;
  /** The budget, as a share of the tokens of all ten documents. */
  readonly ratio: number;
  /** Folder of a projector. Default the embedded one. */
  readonly projector: string | undefined;
}

interface Given {
  readonly context: string;
  readonly embeddings?: PlacedEmbeddings;
}

/**
 * Answers the first dev questions of a set from each kind of context.
 * @param onFigures told of each kind as it is done
 */
export async function xragFigures(
  decoder: Decoder,
  set: ReaderSet,
  { count, ratio, projector }: XragOptions,
  onFigures: (name: XragContext, figures: XragFigures) => void = () => undefined,
): Promise<Record<XragContext, XragFigures>> {
  const encoderOptions = { reader: decoder, ...(projector !== undefined && { folder: projector }) };
  const encoder = await DocumentEncoder.load(encoderOptions);
  const options = { deadline: Infinity, budget: { ratio }, model: 'smollm2' };
  // One for both pipelines, so that what it has read once is remembered.
  const selection = exit();
  const text = await createPipeline({ ...options, stages: [selection] });
  const mixed = await createPipeline({ ...options, stages: [selection, xrag(encoderOptions)] });
  const rows = readerQuestions(set, count);
  const contexts: Record<XragContext, (row: ReaderQuestion, index: number) => Promise<Given> | Given> = {
    'closed book': () => ({ context: '' }),
    'foreign tokens': ({ question }, index) => asTokens(encoder, question, rows[(index + 1) % rows.length]!),
    'gold as tokens': (row) => asTokens(encoder, row.question, row),
    'gold as text': (row) => ({ context: goldContext(row) }),
    'text in the budget': (row) => text.compress(requestOf(row)),
    'mixed in the budget': (row) => mixed.compress(requestOf(row)),
  };
  const figures: Partial<Record<XragContext, XragFigures>> = {};
  for (const name of XRAG_CONTEXTS) {
    const sums = { right: 0, declined: 0, promptTokens: 0, embeddings: 0, firstToken: 0 };
    for (const [index, row] of rows.entries()) {
      const { context, embeddings } = await contexts[name](row, index);
      const messages = readerMessages(row.question, context);
      const input = { messages, ...(embeddings && { embeddings }) };
      const {
        text: said,
        promptTokens,
        milliseconds,
      } = await decoder.generate(input, { maxTokens: 32 }).result;
      sums.right += Number(holdsAnswer(said, row.answers));
      sums.declined += Number(said.includes(NO_ANSWER.slice(0, -1)));
      sums.promptTokens += promptTokens;
      sums.embeddings += embeddings?.rows.length ?? 0;
      sums.firstToken += milliseconds.firstToken;
    }
    figures[name] = {
      right: sums.right / rows.length,
      declined: sums.declined / rows.length,
      promptTokens: sums.promptTokens / rows.length,
      embeddings: sums.embeddings / rows.length,
      firstToken: sums.firstToken / rows.length,
    };
    onFigures(name, figures[name]);
  }
  await Promise.all([text.close(), mixed.close(), encoder.close()]);
  return figures as Record<XragContext, XragFigures>;
}

/** The documents that answer a question, each as its label and its embedding. */
async function asTokens(encoder: DocumentEncoder, question: string, row: ReaderQuestion): Promise<Given> {
  const gold = [...new Set(row.evidence.map(([document]) => document))].map(
    (document) => row.documents[document]!,
  );
  const marker = embeddingMarker([question]);
  return {
    context: gold.map((_, index) => `[${index + 1}] ${marker}`).join('\n\n'),
    embeddings: {
      marker,
      rows: await encoder.encode(gold.map(({ title, sentences }) => ({ title, text: textOf(sentences) }))),
    },
  };
}

function requestOf({ question, documents }: ReaderQuestion) {
  return {
    query: question,
    documents: documents.map(({ title, sentences }, index) => ({
      id: String(index),
      title,
      content: textOf(sentences),
      format: 'text' as const,
    })),
  };
}

function textOf(sentences: readonly string[]): string {
  return sentences.map((sentence) => sentence.trim()).join(' ');
}

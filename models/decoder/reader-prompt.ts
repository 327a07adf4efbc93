import type { ChatMessage } from './generation.js';

/** What the reader says where the documents hold no answer. */
export const NO_ANSWER = 'The documents do not say.';

/** What the reader was trained to be told (training/reader_data.py). */
const INSTRUCTION =
  'Answer the question from the documents, as briefly as possible. ' +
  `If they do not hold the answer, say: ${NO_ANSWER}`;

/** Puts a question and what is to answer it as the reader knows them best. */
export function readerMessages(question: string, context: string): ChatMessage[] {
  return [
    { role: 'system', content: INSTRUCTION },
    { role: 'user', content: `${context}\n\nQuestion: ${question}` },
  ];
}

import type { Abstention, ChatMessage, DecoderInput } from './generation.js';

/** What the reader says where the documents hold no answer. */
export const NO_ANSWER = 'The documents do not say.';

/**
 * From when on the reader says so: what it thinks so likely is seldom wrong, while the likeliest answer beside it often is
 * (`npm run eval -- reader`).
 */
export const READER_ABSTENTION: Abstention = { text: NO_ANSWER, probability: 0.2 };

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

/** Of messages as `readerMessages` puts them. */
export function abstentionFor(input: DecoderInput): Abstention | undefined {
  const isReading = 'messages' in input && input.messages[0]?.content === INSTRUCTION;
  return isReading ? READER_ABSTENTION : undefined;
}

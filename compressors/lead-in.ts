/** What a text that leads in to the next is: a question, or what ends in a colon. */
export type LeadIn = 'question' | 'colon';

/** What may stand behind the last mark of a text, emphasis in Markdown included. */
const CLOSING = String.raw`["'”’»)\]*_\s]*$`;
const MARK = new RegExp(`([?？؟:：])${CLOSING}`);
const FULL_STOP = new RegExp(`[.!?…。！？]${CLOSING}`);

/** A longer paragraph that ends in a question asks it in passing. */
const LONGEST_QUESTION = 200;

/** How much of the end of a text tells. */
export const ENDING_LENGTH = 16;

/**
 * Whether what follows a text answers it or goes on from it, so that neither says much alone.
 * @param ending its last ENDING_LENGTH code units, or more
 */
export function leadInOf(ending: string, length: number): LeadIn | undefined {
  const mark = MARK.exec(ending.slice(-ENDING_LENGTH))?.[1];
  if (mark === undefined) return undefined;
  if (mark === ':' || mark === '：') return 'colon';
  return length <= LONGEST_QUESTION ? 'question' : undefined;
}

/** A paragraph of at most this many code units that ends in no full stop is a line. */
const LONGEST_LINE = 80;

/** Whether a paragraph is but a line, which leads in to a list right below it. */
export function isLine(ending: string, length: number): boolean {
  return length <= LONGEST_LINE && !FULL_STOP.test(ending.slice(-ENDING_LENGTH));
}

import type { ChatMessage } from '../../models/decoder/generation.js';
import { readerMessages } from '../../models/decoder/reader-prompt.js';
import type { DocumentText } from '../requests/document-text.js';

/** A message, and what its text asks about. */
export interface AskingMessage extends ChatMessage {
  readonly documents?: readonly Pick<DocumentText, 'title' | 'text'>[];
}

/**
 * Puts documents before the text that asks about them, as the reader was trained to have them, under its instruction
 * where there is none.
 */
export function withDocuments(messages: readonly AskingMessage[]): ChatMessage[] {
  let instruction: ChatMessage | undefined;
  const put = messages.map(({ role, content, documents = [] }): ChatMessage => {
    const context = documents
      .filter(({ text }) => text.trim() !== '')
      .map(({ text, title }, index) => `[${index + 1}]${title ? ` ${title}` : ''}\n${text}`)
      .join('\n\n');
    if (context === '') return { role, content };
    const [instructing, asking] = readerMessages(content, context);
    instruction = instructing;
    return { role, content: asking!.content };
  });
  return instruction === undefined || put.some(({ role }) => role === 'system') ? put : [instruction, ...put];
}

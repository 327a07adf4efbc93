import type { Passage } from '../passage.js';

/** The first sentences of LlamaIndex's question-answering, summary and refine prompts. */
const INTRODUCTION =
  /^(?:Context information (?:from multiple sources )?is below\.|We have the opportunity to refine the original answer .{0,200})$/m;
const RULE = /^-{8,}[ \t]*$/gm;

/**
 * LlamaIndex: `Context information is below.`, then the context between two rules of dashes. A rule inside the
 * context ends it early, and what follows is left alone.
 */
export function findRuledContext(text: string): Passage[] {
  const introduction = INTRODUCTION.exec(text);
  if (!introduction) return [];
  RULE.lastIndex = introduction.index;
  const opening = RULE.exec(text);
  if (!opening || text.slice(introduction.index + introduction[0].length, opening.index).trim() !== '')
    return [];
  const start = RULE.lastIndex + 1;
  const closing = RULE.exec(text);
  if (!closing) return [];
  const span = { start, end: Math.max(start, closing.index - 1) };
  return [{ outer: span, inner: span }];
}

import type { Passage } from '../passage.js';
import { opensLine } from './tag.js';

const OPEN = '<context>';
const CLOSE = '</context>';

/** `<context>…</context>` on lines of its own: LangChain's retrieval-qa-chat prompt, and many applications' own. */
export function findContextElement(text: string): Passage[] {
  const passages: Passage[] = [];
  let from = 0;
  for (;;) {
    const start = text.indexOf(OPEN, from);
    const close = start < 0 ? -1 : text.indexOf(CLOSE, start);
    if (close < 0) return passages;
    from = close + CLOSE.length;
    if (!opensLine(text, start)) continue;
    const inner = { start: start + OPEN.length, end: close };
    if (text.slice(inner.start, inner.end).trim() !== '') passages.push({ outer: inner, inner });
  }
}

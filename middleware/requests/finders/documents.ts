import type { Span } from '../../../compressors/contract.js';
import type { Passage } from '../passage.js';
import { opensLine, readTag, titleAndUrl } from './tag.js';

const CLOSE = '</document>';

/**
 * The form that Anthropic advises for long contexts: `<documents><document index="1"><source>…</source>
 * <document_content>…</document_content></document></documents>`; and `<document …>…</document>` alone, where it has
 * attributes. Without either, `<document>` may be what the user asks about.
 */
export function findDocuments(text: string): Passage[] {
  const list = listOfDocuments(text);
  const passages: Passage[] = [];
  let from = 0;
  for (;;) {
    const start = text.indexOf('<document', from);
    if (start < 0) return passages;
    from = start + 1;
    const tag = opensLine(text, start) ? readTag(text, start, '<document') : undefined;
    if (!tag || (tag.attributes.size === 0 && !(start > list.start && start < list.end))) continue;
    const close = text.indexOf(CLOSE, tag.end);
    if (close < 0) return passages;
    const { inner, source } = parts(text, tag.end, close);
    const { attributes } = tag;
    passages.push({
      outer: { start, end: close + CLOSE.length },
      inner,
      ...titleAndUrl(source ?? attributes.get('title') ?? attributes.get('name') ?? attributes.get('source')),
    });
    from = close + CLOSE.length;
  }
}

function listOfDocuments(text: string): Span {
  const start = text.indexOf('<documents>');
  const end = start < 0 ? -1 : text.lastIndexOf('</documents>');
  return end > start ? { start, end } : { start: text.length, end: text.length };
}

/** The content of an element, and the source that it names before it. */
function parts(text: string, start: number, end: number): { inner: Span; source?: string } {
  const element = text.slice(start, end);
  const open = element.indexOf('<document_content>');
  const close = element.lastIndexOf('</document_content>');
  if (open < 0 || close < open) return { inner: { start, end } };
  const inner = { start: start + open + '<document_content>'.length, end: start + close };
  const sourceOpen = element.indexOf('<source>');
  const sourceClose = element.indexOf('</source>');
  if (sourceOpen < 0 || sourceClose < sourceOpen || sourceClose > open) return { inner };
  return { inner, source: element.slice(sourceOpen + '<source>'.length, sourceClose) };
}

import type { Span } from '../../compressors/contract.js';

/** A document inside a text. Offsets are UTF-16 code units of that text. */
export interface Passage {
  /** With its markers: what goes where nothing of the document is kept. */
  readonly outer: Span;
  /** The document itself. */
  readonly inner: Span;
  readonly title?: string | undefined;
  readonly url?: string | undefined;
}

/**
 * Finds the documents that one kind of application puts into a text.
 * @param role of the message that the text is from
 * @returns ascending and disjoint; none where the text is not of that kind
 */
export type Finder = (text: string, role: string) => Passage[];

/** A text that is a document from end to end. */
export function wholeText(text: string): Passage {
  const span = { start: 0, end: text.length };
  return { outer: span, inner: span };
}

/** Without the blanks at the ends of the document: they belong to the text around it. */
export function trimPassage(text: string, passage: Passage): Passage {
  const { start, end } = passage.inner;
  const document = text.slice(start, end);
  const inner = { start: end - document.trimStart().length, end: start + document.trimEnd().length };
  return { ...passage, inner, outer: isMarked(passage) ? passage.outer : inner };
}

function isMarked({ outer, inner }: Passage): boolean {
  return outer.start < inner.start || inner.end < outer.end;
}

/** Stands for a text of which nothing was kept: an empty one is refused by some model servers. */
const NOTHING_KEPT = '…';

export interface Replaced {
  readonly text: string;
  /** From the first document's marker to the last one's. */
  readonly region: string;
}

/**
 * Puts what was kept of each document in its place and changes nothing else.
 * @param passages at least one
 * @param contents by passage; undefined for a document that goes, with its markers and the line breaks after them
 */
export function replacePassages(
  text: string,
  passages: readonly Passage[],
  contents: readonly (string | undefined)[],
): Replaced {
  const start = passages[0]!.outer.start;
  const end = passages.at(-1)!.outer.end;
  let region = '';
  let position = start;
  for (const [index, passage] of passages.entries()) {
    const content = contents[index];
    if (content === undefined) {
      region += text.slice(position, passage.outer.start);
      position = passage.outer.end;
      while (isMarked(passage) && position < end && text[position] === '\n') position++;
    } else {
      region += text.slice(position, passage.inner.start) + content;
      position = passage.inner.end;
    }
  }
  region += text.slice(position, end);
  const replaced = text.slice(0, start) + region + text.slice(end);
  return replaced.trim() === '' ? { text: NOTHING_KEPT, region: NOTHING_KEPT } : { text: replaced, region };
}

import type { Span } from '../contract.js';

/** What closes what was opened; a mark that opens in one language closes in another. */
const CLOSING: Readonly<Record<string, string>> = {
  '“': '”"',
  '„': '“”"',
  '«': '»',
  '»': '«',
  '‹': '›',
  '›': '‹',
  '‘': '’',
  '‚': '‘’',
  '"': '"”',
  "'": "'",
};

/** Single marks are apostrophes as well: a quotation between them is no longer than this. */
const LONGEST_SINGLE = 300;

const SINGLE = /['‘‚‹›]/;
const OPENS_AFTER = /[\s\p{Ps}\p{Pi}\p{Pd}]/u;

/**
 * What stands between quotation marks in a text, the marks included, ascending. One that is never closed goes on to the
 * end: a paragraph of a longer quotation.
 */
export function quotations(text: string): Span[] {
  const found: Span[] = [];
  for (let at = 0; at < text.length; at++) {
    const closing = CLOSING[text[at]!];
    if (closing === undefined || !opens(text, at)) continue;
    const end = closingMark(text, at, closing);
    if (end === undefined) {
      if (SINGLE.test(text[at]!)) continue;
      found.push({ start: at, end: text.length });
      return found;
    }
    found.push({ start: at, end: end + 1 });
    at = end;
  }
  return found;
}

function opens(text: string, at: number): boolean {
  const before = text[at - 1] ?? ' ';
  const after = text[at + 1] ?? ' ';
  if (text[at] === '“' || text[at] === '„' || text[at] === '«') return true;
  return OPENS_AFTER.test(before) && !/\s/.test(after);
}

function closingMark(text: string, opening: number, closing: string): number | undefined {
  const isSingle = SINGLE.test(text[opening]!);
  const limit = isSingle ? Math.min(text.length, opening + LONGEST_SINGLE) : text.length;
  for (let at = opening + 1; at < limit; at++) {
    if (!closing.includes(text[at]!)) continue;
    // An apostrophe stands before a letter.
    if (isSingle && (/\s/.test(text[at - 1]!) || /[\p{L}\p{N}]/u.test(text[at + 1] ?? ' '))) continue;
    return at;
  }
  return undefined;
}

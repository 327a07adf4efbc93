import { isSpace } from '../words.js';

/** What stands between white space in a text: a word with the marks that touch it. UTF-16 offsets, half-open. */
export interface SentenceWord {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

export function sentenceWords(text: string): SentenceWord[] {
  const words: SentenceWord[] = [];
  let at = 0;
  while (at < text.length) {
    if (isSpace(text.charCodeAt(at))) {
      at++;
      continue;
    }
    const start = at;
    while (at < text.length && !isSpace(text.charCodeAt(at))) at++;
    words.push({ start, end: at, text: text.slice(start, at) });
  }
  return words;
}

import type { PageBuilder } from '../page-builder.js';
import { isSpaced } from '../words.js';

/** A line of a source without its line break, and without white space at its end. */
export interface Line {
  readonly start: number;
  readonly end: number;
  /** Columns of white space at its start, a tab counting to the next multiple of four. */
  readonly indent: number;
  /** Where its text begins. */
  readonly text: number;
}

const BYTE_ORDER_MARK = '\ufeff';

export function* linesOf(source: string): Generator<Line> {
  for (let start = source.startsWith(BYTE_ORDER_MARK) ? 1 : 0; start <= source.length;) {
    let next = source.indexOf('\n', start);
    if (next < 0) next = source.length;
    let end = next;
    while (end > start && source.charCodeAt(end - 1) <= 32) end--;
    yield lineBetween(source, start, end, 0);
    start = next + 1;
  }
}

/** @param column of `start`, for tabs */
export function lineBetween(source: string, start: number, end: number, column: number): Line {
  let text = start;
  let indent = column;
  for (; text < end && (source[text] === ' ' || source[text] === '\t'); text++) {
    indent += source[text] === '\t' ? 4 - (indent % 4) : 1;
  }
  return { start, end, indent, text };
}

export function isBlank(line: Line): boolean {
  return line.text >= line.end;
}

/** Adds lines to the open block as one running text. */
export function addRunningText(source: string, lines: readonly Line[], builder: PageBuilder): void {
  for (const [index, { text, end }] of lines.entries()) {
    const before = lines[index - 1];
    if (!before || isSpaced(source[before.end - 1]!, source[text]!)) builder.joiner(' ');
    builder.raw(text, end);
  }
}

/** A line of a source without its line break, and without white space at its end. */
export interface Line {
  readonly start: number;
  readonly end: number;
  /** Columns of white space at its start, a tab counting to the next multiple of four. */
  readonly indent: number;
  /** Where its text begins. */
  readonly text: number;
}

export function* linesOf(source: string): Generator<Line> {
  for (let start = 0; start <= source.length;) {
    let next = source.indexOf('\n', start);
    if (next < 0) next = source.length;
    let end = next;
    while (end > start && source.charCodeAt(end - 1) <= 32) end--;
    let text = start;
    let indent = 0;
    for (; text < end && (source[text] === ' ' || source[text] === '\t'); text++) {
      indent += source[text] === '\t' ? 4 - (indent % 4) : 1;
    }
    yield { start, end, indent, text };
    start = next + 1;
  }
}

export function isBlank(line: Line): boolean {
  return line.text >= line.end;
}

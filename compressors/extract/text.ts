import type { PageBuilder } from '../page-builder.js';
import { addRunningText, isBlank, linesOf, type Line } from './lines.js';

const ITEM = /^(?:[-*+•·–]|\d{1,4}[.)])(?=\s)/;
/** An item that ends a paragraph above it: not "… in\n1986. What a year". */
const INTERRUPTING_ITEM = /^(?:[-*+•·–]|1[.)])\s/;

/** How many lines tell whether a text is comma-separated values. */
const SAMPLE_LINES = 20;

/** Paragraphs by blank lines; list items, rows of tab- or comma-separated values, verses and records by line. */
export function extractText(source: string, builder: PageBuilder): void {
  const lines = [...linesOf(source)];
  const separator = valueSeparator(source, lines);
  if (separator !== undefined) {
    addTable(
      1,
      lines.filter((line) => !isBlank(line)).map((line) => cellsOf(source, line, separator)),
      source,
      builder,
    );
    return;
  }
  const isRow = (line: Line) => source.slice(line.text, line.end).includes('\t');
  const begins = (pattern: RegExp, line: Line) => pattern.test(source.slice(line.text, line.text + 8));
  const linesWhile = (from: number, goesOn: (line: Line) => boolean) => {
    let end = from + 1;
    while (end < lines.length && !isBlank(lines[end]!) && goesOn(lines[end]!)) end++;
    return lines.slice(from, end);
  };
  let table = 0;
  for (let at = 0; at < lines.length;) {
    const line = lines[at]!;
    let taken = [line];
    if (isRow(line)) {
      taken = linesWhile(at, isRow);
      const rows = taken.map((row) => cellsOf(source, row, '\t'));
      addTable(++table, rows, source, builder);
    } else if (begins(ITEM, line)) {
      taken = linesWhile(at, (next) => next.indent >= 2 && !isRow(next) && !begins(ITEM, next));
      addItem(taken, source, builder);
    } else if (!isBlank(line)) {
      taken = linesWhile(at, (next) => !isRow(next) && !begins(INTERRUPTING_ITEM, next));
      addParagraphs(taken, source, builder);
    }
    at += taken.length;
  }
}

function addItem(lines: readonly Line[], source: string, builder: PageBuilder): void {
  const [line, ...others] = lines as [Line, ...Line[]];
  const marker = ITEM.exec(source.slice(line.text, line.text + 8))![0];
  const start = line.text + marker.length;
  builder.open({ layout: { type: 'item', depth: Math.min(8, line.indent >> 1), marker } });
  builder.omit('list marker', line.text, start);
  addRunningText(source, [{ ...line, text: start }, ...others], builder);
  builder.close();
}

function addParagraphs(lines: readonly Line[], source: string, builder: PageBuilder): void {
  for (const paragraph of isWrapped(lines, source) ? [lines] : lines.map((line) => [line])) {
    builder.open({ layout: { type: 'paragraph' } });
    addRunningText(source, paragraph, builder);
    builder.close();
  }
}

/**
 * Whether lines are one paragraph wrapped by hand: most end where the next line's first word would not have fitted.
 * The lines of verses, addresses and logs end where they please, and those of verses begin with capitals.
 */
function isWrapped(lines: readonly Line[], source: string): boolean {
  const width = lines.reduce((widest, line) => Math.max(widest, line.end - line.start), 0);
  let full = 0;
  let capitals = 0;
  for (const [index, next] of lines.slice(1).entries()) {
    const line = lines[index]!;
    const word = /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]|\S*/u.exec(
      source.slice(next.text, Math.min(next.end, next.text + width)),
    )![0];
    if (line.end - line.start + 1 + word.length > width) full++;
    if (/^\p{Lu}/u.test(word)) capitals++;
  }
  if (lines.length > 3 && capitals === lines.length - 1) return false;
  return full >= 0.75 * (lines.length - 1);
}

type Cells = readonly (readonly [start: number, end: number])[];

/** The first row names the columns where it says something in each and has no number. */
function addTable(table: number, rows: readonly Cells[], source: string, builder: PageBuilder): void {
  const [first] = rows;
  const named = first!.every(([start, end]) => /^[^\d]*[^\d\s][^\d]*$/.test(source.slice(start, end)));
  const hasHeader = rows.length > 2 && first!.length > 1 && named;
  let governor = -1;
  for (const [index, cells] of rows.entries()) {
    const header = hasHeader && index === 0;
    builder.open({ layout: { type: 'row', table, header }, governor });
    for (const [start, end] of cells) {
      builder.cell();
      builder.raw(start, end);
    }
    const block = builder.close();
    if (header) governor = block;
  }
}

/** Quotes around a value are part of it, and separators inside them do not separate (RFC 4180). */
function cellsOf(source: string, line: Line, separator: string): Cells {
  const cells: [number, number][] = [];
  let start = line.start;
  let isQuoted = false;
  for (let at = start; at < line.end; at++) {
    const character = source[at];
    if (character === '"' && separator !== '\t') isQuoted = !isQuoted;
    else if (character === separator && !isQuoted) {
      cells.push([start, at]);
      start = at + 1;
    }
  }
  cells.push([start, line.end]);
  return cells;
}

/** The mark between the values of a text that has as many on every line, and no space after it. */
function valueSeparator(source: string, lines: readonly Line[]): string | undefined {
  const sample = lines.filter((line) => !isBlank(line)).slice(0, SAMPLE_LINES);
  if (sample.length < 3) return undefined;
  return [',', ';'].find((separator) => {
    const rows = sample.map((line) => cellsOf(source, line, separator));
    const count = rows[0]!.length;
    return (
      count > 1 &&
      rows.every(
        (cells) =>
          cells.length === count && cells.every(([start], index) => index === 0 || source[start] !== ' '),
      )
    );
  });
}

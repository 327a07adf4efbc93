import type { PageBuilder } from '../page.js';
import { isBlank, linesOf, type Line } from './lines.js';

/** Lines this short on average are lines of their own (verse, logs, addresses), not a paragraph wrapped by hand. */
const SHORT_LINE = 50;

/** Paragraphs by blank lines, list items and tab-separated rows by line. */
export function extractText(source: string, builder: PageBuilder): void {
  let paragraph: Line[] = [];
  let table = 0;
  let inTable = false;
  const flush = () => {
    addParagraph(paragraph, builder);
    paragraph = [];
  };
  for (const line of linesOf(source)) {
    const text = source.slice(line.text, Math.min(line.end, line.text + 12));
    const isRow = source.slice(line.text, line.end).includes('\t');
    if (isBlank(line)) {
      flush();
    } else if (isRow) {
      flush();
      if (!inTable) table++;
      builder.open({ layout: { type: 'row', table, header: false } });
      addCells(source, line, builder);
    } else {
      const marker = /^(?:[-*+•·–]|\d{1,4}[.)])(?=\s)/.exec(text)?.[0];
      if (marker !== undefined) {
        flush();
        builder.open({ layout: { type: 'item', depth: Math.min(8, line.indent >> 1), marker } });
        builder.omit('list marker', line.text, line.text + marker.length);
        builder.raw(line.text + marker.length, line.end);
        paragraph = [];
      } else if (paragraph.length === 0 && !isBlank(line) && line.indent >= 2 && continuesItem(builder)) {
        builder.joiner(' ');
        builder.raw(line.text, line.end);
      } else {
        if (paragraph.length === 0) builder.close();
        paragraph.push(line);
      }
    }
    inTable = isRow;
  }
  flush();
}

/** An indented line right after a list item belongs to it. */
function continuesItem(builder: PageBuilder): boolean {
  return builder.openLayout?.type === 'item';
}

function addParagraph(lines: readonly Line[], builder: PageBuilder): void {
  if (lines.length === 0) {
    builder.close();
    return;
  }
  const average = lines.reduce((length, { text, end }) => length + end - text, 0) / lines.length;
  const apart = lines.length > 2 && average < SHORT_LINE;
  for (const [index, line] of lines.entries()) {
    if (index === 0 || apart) builder.open({ layout: { type: 'paragraph' } });
    builder.joiner(' ');
    builder.raw(line.text, line.end);
  }
  builder.close();
}

function addCells(source: string, line: Line, builder: PageBuilder): void {
  for (let at = line.start; at <= line.end;) {
    const tab = source.indexOf('\t', at);
    const end = tab < 0 || tab > line.end ? line.end : tab;
    builder.cell();
    builder.raw(at, end);
    at = end + 1;
  }
}

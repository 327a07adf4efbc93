import { isLine } from '../lead-in.js';
import type { Layout } from '../page.js';
import type { PageBuilder } from '../page-builder.js';
import { addRunningText, isBlank, lineBetween, linesOf, type Line } from './lines.js';

const ITEM = /^([-*+]|\d{1,9}[.)])(?=\s|$)/;
/** An item that ends a paragraph without a blank line (CommonMark 0.31 §5.2): not "… in\n1986. What a year". */
const INTERRUPTING_ITEM = /^(?:[-*+]|1[.)])\s+\S/;
const FENCE = /^(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^(#{1,6})(?:\s|$)/;
const QUOTE = /^(?:> ?){1,100}/;
const RULE = /^(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const SETEXT = /^(?:=+|-{2,})$/;
/** A footnote is text, not a link. */
const DEFINITION = /^\[(?!\^)[^\]\n]{1,999}\]:\s*\S+(?:\s+(?:"[^"]*"|'[^']*'|\([^)]*\)))?$/;
const FOOTNOTE = /^\[\^[^\]\n]{1,200}\]:/;
const DELIMITER_CELL = /^:?-+:?$/;
const FRONT_MATTER = /^[\w.-]+\s*:(?:\s|$)/;
const STRONG = /^(\*\*|__)(?!\s)(?:(?!\1).)+\1:?$/;
/** Elements that begin a block of HTML, and a line of nothing but tags (CommonMark 0.31 §4.6, kinds 6 and 7). */
const HTML =
  /^<\/?(?:address|article|aside|blockquote|body|center|dd|details|dialog|div|dl|dt|fieldset|figcaption|figure|footer|form|h[1-6]|header|hr|html|iframe|li|main|nav|ol|p|section|summary|table|tbody|td|tfoot|th|thead|tr|ul)(?=[\s/>]|$)|^(?:<\/?[a-z][\w-]*(?:\s[^<>]*)?>\s*)+$|^<(?:script|style)\b/i;
const SCRIPT = /^<(script|style)\b/i;
const TAG = /<!--(?:(?!<!--)[^])*?-->|<\/?([a-z][\w-]*)(?=[\s/>])[^<>]*>/gi;
const INLINE_TAG = /^(?:a|abbr|b|code|em|i|kbd|mark|q|s|small|span|strong|sub|sup|u)$/i;

/** Items nested deeper than this are set as deep as this, and markers in a row beyond it are text. */
const DEEPEST = 16;

/** A line of a block quote has its marks taken off. */
interface MarkdownLine extends Line {
  /** How many block quotes it is in. */
  readonly level: number;
  /** Column where the text of the quote begins. */
  readonly base: number;
}

interface Item {
  /** Where its text begins; what is indented less is not part of it. */
  readonly column: number;
  readonly level: number;
  /** The block that governs what is in it. */
  readonly block: number;
}

/**
 * Markdown by its blocks (CommonMark 0.31 with GFM's tables), read line by line. Only the block structure is read:
 * the text inside stays as it is written.
 */
export function extractMarkdown(source: string, builder: PageBuilder): void {
  new MarkdownReader(source, builder).read();
}

class MarkdownReader {
  readonly #source: string;
  readonly #builder: PageBuilder;
  readonly #lines: MarkdownLine[];
  #at = 0;
  /** Index of the last block of each heading level, 1 to 6; -1 for none. */
  readonly #headings: number[] = [-1, -1, -1, -1, -1, -1, -1];
  #heading = -1;
  /** Open list items, outermost first. */
  #items: Item[] = [];
  /** A paragraph that leads into the list right below it: it ends in a colon, or is a line. */
  #lead = -1;
  #tables = 0;

  constructor(source: string, builder: PageBuilder) {
    this.#source = source;
    this.#builder = builder;
    this.#lines = Array.from(linesOf(source), (line) => ({ ...line, level: 0, base: 0 }));
  }

  read(): void {
    this.#frontMatter();
    while (this.#at < this.#lines.length) this.#block(this.#lines[this.#at]!);
    this.#builder.close();
  }

  #block(line: MarkdownLine): void {
    if (isBlank(line)) {
      this.#at++;
      return;
    }
    const text = this.#start(line);
    const isItem = ITEM.test(text);
    this.#closeItems(line);
    const isIndented = line.indent >= this.#column(line) + 4 && !(isItem && this.#items.length > 0);
    if (isIndented) this.#indented(line);
    else if (text.startsWith('>')) this.#unquote(line);
    else if (isItem && !this.#isRule(line)) this.#item(line);
    else if (text.startsWith('<!--')) this.#comment(line);
    else if (DEFINITION.test(text)) this.#omitLine('link definition');
    else {
      if (this.#items.length === 0) this.#lead = -1;
      if (this.#isRule(line)) this.#omitLine('thematic break');
      else if (FENCE.test(text)) this.#fenced(line);
      else if (HEADING.test(text)) this.#headingLine(line);
      else if (this.#isTable(this.#at)) this.#table();
      else if (HTML.test(text) && line.level === 0) this.#html(line);
      else this.#paragraph();
    }
  }

  /** The beginning of a line's text: what decides its kind. */
  #start(line: Line): string {
    return this.#source.slice(line.text, Math.min(line.end, line.text + 200));
  }

  #text(line: Line): string {
    return this.#source.slice(line.text, line.end);
  }

  #governor(): number {
    return this.#items.at(-1)?.block ?? this.#heading;
  }

  /** Where the text of the container begins that a line is in. */
  #column(line: MarkdownLine): number {
    return Math.max(this.#items.at(-1)?.column ?? 0, line.base);
  }

  /** Ends the items that a line is not part of. */
  #closeItems(line: MarkdownLine): void {
    for (let item = this.#items.at(-1); item; item = this.#items.at(-1)) {
      if (line.level >= item.level && line.indent >= item.column) return;
      this.#items.pop();
    }
  }

  #omitLine(reason: string): void {
    const line = this.#lines[this.#at]!;
    this.#builder.omit(reason, line.text, line.end);
    this.#at++;
  }

  #frontMatter(): void {
    const isFence = (line: Line | undefined) =>
      line !== undefined && /^(?:---|\.\.\.)$/.test(this.#text(line));
    if (!isFence(this.#lines[0])) return;
    const first = this.#lines.findIndex((line, index) => index > 0 && !isBlank(line));
    const end = this.#lines.findIndex((line, index) => index > 0 && isFence(line));
    if (end < 0 || !FRONT_MATTER.test(this.#start(this.#lines[first]!))) return;
    const lines = this.#lines.slice(first, end);
    const title = lines.map((line) => /^title\s*:\s*(.+)$/i.exec(this.#text(line))?.[1]).find(Boolean);
    this.#builder.title ??= title?.replace(/^(["'])(.*)\1$/, '$2');
    this.#omitLine('front matter fence');
    this.#preformatted('yaml', first, end);
    this.#at = end;
    this.#omitLine('front matter fence');
  }

  #fenced(line: MarkdownLine): void {
    const [, ticks, info] = FENCE.exec(this.#start(line))!;
    const closing = new RegExp(`^${ticks![0]}{${ticks!.length},}$`);
    const column = this.#column(line);
    const first = this.#at + 1;
    let end = first;
    let isClosed = false;
    for (; end < this.#lines.length && !isClosed; end++) {
      const next = this.#lines[end]!;
      // A fence without an end ends with the quote or item that it is in.
      if (next.level !== line.level || (next.indent < column && !isBlank(next))) break;
      isClosed = closing.test(this.#start(next));
    }
    this.#omitLine('code fence');
    this.#preformatted(/^[\w+#.-]*/.exec(info!.trim())![0], first, isClosed ? end - 1 : end);
    this.#at = end;
    if (!isClosed) return;
    this.#at--;
    this.#omitLine('code fence');
  }

  #indented(line: MarkdownLine): void {
    if (this.#items.length === 0) this.#lead = -1;
    const column = this.#column(line) + 4;
    const first = this.#at;
    let end = first + 1;
    for (let at = end; at < this.#lines.length; at++) {
      const next = this.#lines[at]!;
      if (isBlank(next)) continue;
      if (next.level !== line.level || next.indent < column) break;
      end = at + 1;
    }
    this.#preformatted('', first, end);
    this.#at = end;
  }

  #preformatted(language: string, first: number, end: number): void {
    const lines = this.#lines.slice(first, end);
    if (lines.every(isBlank)) return;
    this.#builder.open({
      layout: { type: 'code', language },
      governor: this.#governor(),
      preformatted: true,
    });
    if (lines[0]!.level === 0) this.#builder.raw(lines[0]!.start, lines.at(-1)!.end);
    else {
      // The marks of the quote stand between the lines.
      let breaks = 0;
      for (const line of lines) {
        this.#builder.joiner('\n'.repeat(breaks++));
        if (isBlank(line)) continue;
        this.#builder.raw(line.start, line.end);
        breaks = 1;
      }
    }
    this.#builder.close();
  }

  #headingLine(line: MarkdownLine): void {
    const marks = HEADING.exec(this.#start(line))![1]!;
    const end = line.end - (/\s#+$/.exec(this.#text(line))?.[0].length ?? 0);
    this.#at++;
    this.#addHeading(line, marks.length, () => {
      this.#builder.raw(line.text + marks.length, end);
    });
  }

  /** A heading inside a quote governs nothing outside. */
  #addHeading(line: MarkdownLine, level: number, write: () => void): void {
    if (line.level > 0) {
      this.#builder.open({ layout: { type: 'quote' }, governor: this.#governor() });
      write();
      this.#builder.close();
      return;
    }
    this.#items = [];
    const above = this.#headings.slice(1, level).findLast((block) => block >= 0) ?? -1;
    this.#builder.open({ layout: { type: 'heading', level }, governor: above });
    write();
    const block = this.#builder.close();
    if (block < 0) return;
    this.#headings[level] = block;
    this.#headings.fill(-1, level + 1);
    this.#heading = block;
  }

  #comment(line: MarkdownLine): void {
    const end = this.#source.indexOf('-->', line.text);
    this.#omitTo(line, end < 0 ? this.#source.length : end + 3, 'comment');
  }

  /** Leaves out what stands before an offset; the rest of its line is read next. */
  #omitTo(line: MarkdownLine, stop: number, reason: string): void {
    this.#builder.omit(reason, line.text, stop);
    while (this.#at < this.#lines.length && this.#lines[this.#at]!.end <= stop) this.#at++;
    const rest = this.#lines[this.#at];
    if (rest && rest.start < stop)
      this.#lines[this.#at] = { ...rest, ...lineBetween(this.#source, stop, rest.end, rest.base) };
  }

  /** A block of HTML: its text without the tags. */
  #html(line: MarkdownLine): void {
    const element = SCRIPT.exec(this.#start(line))?.[1];
    if (element !== undefined) {
      const closing = new RegExp(`</${element}\\s*>`, 'gi');
      closing.lastIndex = line.text;
      this.#omitTo(line, closing.exec(this.#source) ? closing.lastIndex : this.#source.length, element);
      return;
    }
    let { end } = line;
    for (this.#at++; this.#at < this.#lines.length; this.#at++) {
      const next = this.#lines[this.#at]!;
      if (isBlank(next) || next.level > 0 || SCRIPT.test(this.#start(next))) break;
      ({ end } = next);
    }
    this.#builder.open({ layout: { type: 'paragraph' }, governor: this.#governor() });
    let at = line.text;
    for (const { 0: tag, 1: name, index } of this.#source.slice(line.text, end).matchAll(TAG)) {
      this.#builder.raw(at, line.text + index);
      at = line.text + index + tag.length;
      this.#builder.omit('markup', at - tag.length, at);
      if (!INLINE_TAG.test(name ?? '')) this.#builder.joiner(' ');
    }
    this.#builder.raw(at, end);
    this.#builder.close();
  }

  #isRule(line: Line): boolean {
    return RULE.test(this.#start(line)) && RULE.test(this.#text(line));
  }

  #item(line: MarkdownLine): void {
    const marker = ITEM.exec(this.#start(line))![1]!;
    const start = line.text + marker.length;
    const column = line.indent + marker.length;
    const rest = { ...line, ...lineBetween(this.#source, start, line.end, column) };
    const governor = this.#items.at(-1)?.block ?? (this.#lead >= 0 ? this.#lead : this.#heading);
    const padding = isBlank(rest) || rest.indent > column + 4 ? 1 : rest.indent - column;
    const item = { column: column + padding, level: line.level };
    this.#builder.omit('list marker', line.text, start);
    const text = this.#start(rest);
    // - ```js, - > quote, - - item: a block of its own right after the marker.
    const opensBlock = FENCE.test(text) || ITEM.test(text) || text.startsWith('>');
    if (opensBlock && this.#items.length < DEEPEST) {
      this.#items.push({ ...item, block: governor });
      this.#lines[this.#at] = rest;
      return;
    }
    const depth = Math.min(this.#items.length, DEEPEST);
    this.#builder.open({ layout: { type: 'item', depth, marker }, governor });
    const lines = this.#runningText(rest, true);
    addRunningText(this.#source, lines, this.#builder);
    const block = this.#builder.close();
    if (block >= 0) this.#items.push({ ...item, block });
  }

  /** The line at hand and those that go on with its paragraph, without the backslashes of hard breaks. */
  #runningText(first: MarkdownLine, inItem: boolean): Line[] {
    const lines: Line[] = [first];
    for (this.#at++; this.#at < this.#lines.length; this.#at++) {
      const line = this.#lines[this.#at]!;
      if (isBlank(line) || this.#interrupts(this.#at, inItem)) break;
      const last = lines.at(-1)!;
      if (this.#source[last.end - 1] === '\\') lines[lines.length - 1] = { ...last, end: last.end - 1 };
      lines.push(line);
    }
    return lines;
  }

  /** Whether the line at an index ends the paragraph above it. */
  #interrupts(index: number, inItem: boolean): boolean {
    const line = this.#lines[index]!;
    const text = this.#start(line);
    if (line.level !== this.#lines[index - 1]!.level || text.startsWith('>')) return true;
    if (inItem ? ITEM.test(text) : INTERRUPTING_ITEM.test(text)) return true;
    if (line.indent >= this.#column(line) + 4) return false;
    return (
      FENCE.test(text) ||
      HEADING.test(text) ||
      SETEXT.test(text) ||
      FOOTNOTE.test(text) ||
      this.#isRule(line) ||
      text.startsWith('<!--') ||
      (HTML.test(text) && line.level === 0) ||
      this.#isTable(index)
    );
  }

  /** Takes the marks off the lines of a block quote, which are then read as any others. */
  #unquote(first: MarkdownLine): void {
    let fence: string | undefined;
    let marks = QUOTE;
    for (let at = this.#at; at < this.#lines.length; at++) {
      const line = this.#lines[at]!;
      if (line.level !== first.level) return;
      const taken = marks.exec(this.#start(line))?.[0];
      if (taken === undefined) {
        if (fence !== undefined || isBlank(line) || !this.#continuesQuote(at)) return;
        continue;
      }
      const level = taken.replaceAll(' ', '').length;
      const base = line.indent + taken.length;
      const rest = lineBetween(this.#source, Math.min(line.text + taken.length, line.end), line.end, base);
      this.#lines[at] = { ...rest, base, level: line.level + level };
      const text = this.#start(rest);
      const ticks = FENCE.exec(text)?.[1];
      if (fence === undefined && ticks !== undefined) {
        fence = ticks;
        // Inside a fence further marks are code.
        marks = new RegExp(`^(?:> ?){1,${level}}`);
      } else if (fence !== undefined && ticks === text && text.startsWith(fence)) {
        fence = undefined;
        marks = QUOTE;
      }
    }
  }

  /** A line without the marks of a quote goes on with a paragraph of it (CommonMark 0.31 §5.1, laziness). */
  #continuesQuote(at: number): boolean {
    const line = this.#lines[at]!;
    const above = this.#lines[at - 1]!;
    const text = this.#start(above);
    if (isBlank(above) || FENCE.test(text) || HEADING.test(text) || this.#isRule(above)) return false;
    this.#lines[at] = { ...line, level: above.level };
    if (!this.#interrupts(at, true)) return true;
    this.#lines[at] = line;
    return false;
  }

  #paragraph(): void {
    const first = this.#lines[this.#at]!;
    const lines = this.#runningText(first, this.#items.length > 0);
    const underline = this.#lines[this.#at];
    const write = () => {
      addRunningText(this.#source, lines, this.#builder);
    };
    const isHeading = underline && this.#items.length === 0 && underline.level === first.level;
    if (isHeading && SETEXT.test(this.#start(underline))) {
      this.#addHeading(first, this.#source[underline.text] === '=' ? 1 : 2, write);
      this.#omitLine('heading underline');
      return;
    }
    this.#builder.open({
      layout: { type: first.level > 0 ? 'quote' : 'paragraph' },
      governor: this.#governor(),
    });
    write();
    const text = this.#source.slice(first.text, lines.at(-1)!.end);
    const block = this.#builder.close(lines.length === 1 && STRONG.test(text));
    if (this.#items.length === 0 && (text.endsWith(':') || isLine(text, text.length))) this.#lead = block;
  }

  /** Whether the line at an index heads a table: a row of as many cells of dashes follows (GFM 0.29 §4.10). */
  #isTable(index: number): boolean {
    const header = this.#lines[index];
    const delimiter = this.#lines[index + 1];
    if (!header || delimiter?.level !== header.level || !this.#text(header).includes('|')) return false;
    const cells = this.#cells(delimiter);
    return (
      cells.length > 0 &&
      cells.every(([start, end]) => DELIMITER_CELL.test(this.#source.slice(start, end).trim())) &&
      cells.length === this.#cells(header).length
    );
  }

  #table(): void {
    const table = ++this.#tables;
    const { level } = this.#lines[this.#at]!;
    const governor = this.#governor();
    const header = this.#row({ type: 'row', table, header: true }, governor);
    this.#omitLine('table delimiter');
    while (this.#at < this.#lines.length) {
      const line = this.#lines[this.#at]!;
      if (isBlank(line) || line.level !== level || !this.#text(line).includes('|')) break;
      this.#row({ type: 'row', table, header: false }, header >= 0 ? header : governor);
    }
  }

  #row(layout: Layout, governor: number): number {
    this.#builder.open({ layout, governor });
    for (const [start, end] of this.#cells(this.#lines[this.#at]!)) {
      this.#builder.cell();
      this.#builder.raw(start, end);
    }
    this.#at++;
    return this.#builder.close();
  }

  /** Start and end of each cell; a bar after a backslash is text (GFM 0.29 §4.10). */
  #cells(line: Line): [start: number, end: number][] {
    const cells: [number, number][] = [];
    let start = this.#source[line.text] === '|' ? line.text + 1 : line.text;
    for (let at = start; at < line.end; at++) {
      if (this.#source[at] === '\\') at++;
      else if (this.#source[at] === '|') {
        cells.push([start, at]);
        start = at + 1;
      }
    }
    if (start < line.end) cells.push([start, line.end]);
    return cells;
  }
}

import type { Layout } from '../contract.js';
import type { PageBuilder } from '../page.js';
import { isBlank, linesOf, type Line } from './lines.js';

const ITEM = /^([-*+]|\d{1,9}[.)])(?=\s|$)/;
const FENCE = /^(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^(#{1,6})(?:\s|$)/;
const RULE = /^(?:(?:\*\s*){3,}|(?:-\s*){3,}|(?:_\s*){3,})$/;
const SETEXT = /^(?:=+|-{2,})$/;
const DEFINITION = /^\[[^\]\n]{1,999}\]:\s*\S/;
const DELIMITER_CELL = /^:?-+:?$/;

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
  readonly #lines: Line[];
  #at = 0;
  /** Index of the last block of each heading level, 1 to 6; -1 for none. */
  readonly #headings: number[] = [-1, -1, -1, -1, -1, -1, -1];
  #heading = -1;
  /** Open list items, outermost first, by the column where their text begins. */
  #items: { column: number; block: number }[] = [];
  /** A paragraph that leads into a list: it ends in a colon. */
  #lead = -1;
  #tables = 0;

  constructor(source: string, builder: PageBuilder) {
    this.#source = source;
    this.#builder = builder;
    this.#lines = [...linesOf(source)];
  }

  read(): void {
    this.#frontMatter();
    while (this.#at < this.#lines.length) this.#block(this.#lines[this.#at]!);
    this.#builder.close();
  }

  #block(line: Line): void {
    if (isBlank(line)) {
      this.#at++;
      return;
    }
    while (
      this.#items.length > 0 &&
      line.indent < this.#items.at(-1)!.column &&
      !ITEM.test(this.#start(line))
    )
      this.#items.pop();
    const text = this.#start(line);
    const column = this.#items.at(-1)?.column ?? 0;
    if (FENCE.test(text)) this.#fenced(line);
    else if (this.#headingText(line)) this.#at++;
    else if (RULE.test(text)) this.#omitLine(line, 'thematic break');
    else if (text.startsWith('<!--')) this.#comment(line);
    else if (DEFINITION.test(text)) this.#omitLine(line, 'link definition');
    else if (ITEM.test(text)) this.#item(line);
    else if (text.startsWith('>')) this.#quote();
    else if (this.#isTable()) this.#table();
    else if (line.indent >= column + 4) this.#indented(column);
    else this.#paragraph();
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

  #omitLine(line: Line, reason: string): void {
    this.#builder.omit(reason, line.text, line.end);
    this.#at++;
  }

  #frontMatter(): void {
    if (!/^\ufeff?---$/.test(this.#text(this.#lines[0]!))) return;
    const end = this.#lines.findIndex(
      (line, index) => index > 0 && /^(?:---|\.\.\.)$/.test(this.#text(line)),
    );
    if (end < 0) return;
    const lines = this.#lines.slice(1, end).filter((line) => !isBlank(line));
    this.#builder.omit('front matter fence', this.#lines[0]!.start, this.#lines[0]!.end);
    if (lines.length > 0) {
      const title = lines
        .map((line) => /^title:\s*(.+)$/i.exec(this.#text(line))?.[1])
        .find((found) => found !== undefined);
      this.#builder.title ??= title?.replace(/^(["'])(.*)\1$/, '$2');
      this.#preformatted('yaml', lines[0]!.start, lines.at(-1)!.end);
    }
    this.#builder.omit('front matter fence', this.#lines[end]!.start, this.#lines[end]!.end);
    this.#at = end + 1;
  }

  #fenced(line: Line): void {
    const [, ticks, info] = FENCE.exec(this.#start(line))!;
    const closing = new RegExp(`^${ticks![0]}{${ticks!.length},}$`);
    let last = this.#at + 1;
    while (last < this.#lines.length && !closing.test(this.#start(this.#lines[last]!))) last++;
    this.#builder.omit('code fence', line.text, line.end);
    if (last > this.#at + 1) {
      this.#preformatted(
        /^[\w+#.-]*/.exec(info!.trim())![0],
        this.#lines[this.#at + 1]!.start,
        this.#lines[last - 1]!.end,
      );
    }
    const end = this.#lines[last];
    if (end) this.#builder.omit('code fence', end.text, end.end);
    this.#at = last + 1;
  }

  #indented(column: number): void {
    const first = this.#at;
    let last = first;
    for (let at = first; at < this.#lines.length; at++) {
      const line = this.#lines[at]!;
      if (isBlank(line)) continue;
      if (line.indent < column + 4) break;
      last = at;
    }
    this.#preformatted('', this.#lines[first]!.start, this.#lines[last]!.end);
    this.#at = last + 1;
  }

  #preformatted(language: string, start: number, end: number): void {
    this.#builder.open({
      layout: { type: 'code', language },
      governor: this.#governor(),
      preformatted: true,
    });
    this.#builder.raw(start, end);
    this.#builder.close();
  }

  #headingText(line: Line): boolean {
    const marks = line.indent < 4 ? HEADING.exec(this.#start(line))?.[1] : undefined;
    if (marks === undefined) return false;
    let end = line.end;
    const closing = /\s#+$/.exec(this.#text(line));
    if (closing) end -= closing[0].length;
    this.#openHeading(marks.length, () => {
      this.#builder.raw(line.text + marks.length, end);
    });
    return true;
  }

  #openHeading(level: number, write: () => void): void {
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

  #comment(line: Line): void {
    const end = this.#source.indexOf('-->', line.text);
    const stop = end < 0 ? this.#source.length : end + 3;
    this.#builder.omit('comment', line.text, stop);
    while (this.#at < this.#lines.length && this.#lines[this.#at]!.end < stop) this.#at++;
    const rest = this.#lines[this.#at];
    if (rest && rest.end > stop && rest.start < stop)
      this.#lines[this.#at] = { ...rest, start: stop, text: stop };
    else this.#at++;
  }

  #item(line: Line): void {
    const marker = ITEM.exec(this.#start(line))![1]!;
    while (this.#items.length > 0 && line.indent < this.#items.at(-1)!.column) this.#items.pop();
    const governor = this.#items.at(-1)?.block ?? (this.#lead >= 0 ? this.#lead : this.#heading);
    const depth = this.#items.length;
    this.#builder.omit('list marker', line.text, line.text + marker.length);
    this.#builder.open({ layout: { type: 'item', depth, marker }, governor });
    this.#builder.raw(line.text + marker.length, line.end);
    this.#at++;
    this.#continuation(() => { this.#builder.joiner(' '); });
    const block = this.#builder.close();
    const padding = /^\s{1,4}/.exec(this.#source.slice(line.text + marker.length, line.end))?.[0].length ?? 1;
    if (block >= 0) this.#items.push({ column: line.indent + marker.length + padding, block });
  }

  /** Adds the lines that go on with a paragraph. */
  #continuation(between: () => void): void {
    for (; this.#at < this.#lines.length; this.#at++) {
      const line = this.#lines[this.#at]!;
      if (isBlank(line) || this.#interrupts(line)) return;
      between();
      this.#builder.raw(line.text, line.end);
    }
  }

  #interrupts(line: Line): boolean {
    const text = this.#start(line);
    return (
      ITEM.test(text) ||
      FENCE.test(text) ||
      (HEADING.test(text) && line.indent < 4) ||
      RULE.test(text) ||
      text.startsWith('>') ||
      text.startsWith('<!--') ||
      this.#isTable()
    );
  }

  #quote(): void {
    let open = false;
    for (; this.#at < this.#lines.length; this.#at++) {
      const line = this.#lines[this.#at]!;
      const marks = /^(?:>\s?)+/.exec(this.#start(line))?.[0];
      if (marks === undefined && (isBlank(line) || !open || this.#interrupts(line))) break;
      const start = line.text + (marks?.length ?? 0);
      if (start >= line.end) {
        open = false;
        continue;
      }
      if (!open) this.#builder.open({ layout: { type: 'quote' }, governor: this.#governor() });
      open = true;
      this.#builder.joiner(' ');
      this.#builder.raw(start, line.end);
    }
    this.#builder.close();
    this.#lead = -1;
  }

  #paragraph(): void {
    const first = this.#at;
    let last = first;
    while (last + 1 < this.#lines.length) {
      const line = this.#lines[last + 1]!;
      this.#at = last + 1;
      if (isBlank(line) || SETEXT.test(this.#start(line)) || this.#interrupts(line)) break;
      last++;
    }
    const underline = this.#lines[last + 1];
    const write = () => {
      for (const line of this.#lines.slice(first, last + 1)) {
        this.#builder.joiner(' ');
        this.#builder.raw(line.text, line.end);
      }
    };
    this.#at = last + 1;
    if (underline && this.#items.length === 0 && SETEXT.test(this.#start(underline))) {
      this.#openHeading(this.#source[underline.text] === '=' ? 1 : 2, write);
      this.#omitLine(underline, 'heading underline');
      return;
    }
    this.#builder.open({ layout: { type: 'paragraph' }, governor: this.#governor() });
    write();
    const block = this.#builder.close();
    if (this.#items.length === 0) this.#lead = this.#source[this.#lines[last]!.end - 1] === ':' ? block : -1;
  }

  /** Whether the line at hand heads a table: it has cells, and a row of dashes follows. */
  #isTable(): boolean {
    const header = this.#lines[this.#at];
    const delimiter = this.#lines[this.#at + 1];
    if (!header || !delimiter || !this.#text(header).includes('|')) return false;
    const cells = this.#cells(delimiter);
    return (
      this.#source.slice(delimiter.text, delimiter.end).includes('-') &&
      cells.length > 0 &&
      cells.every(([start, end]) => DELIMITER_CELL.test(this.#source.slice(start, end).trim()))
    );
  }

  #table(): void {
    const table = ++this.#tables;
    const header = this.#row({ type: 'row', table, header: true }, this.#heading);
    this.#omitLine(this.#lines[this.#at]!, 'table delimiter');
    while (this.#at < this.#lines.length) {
      const line = this.#lines[this.#at]!;
      if (isBlank(line) || !this.#text(line).includes('|')) break;
      this.#row({ type: 'row', table, header: false }, header >= 0 ? header : this.#heading);
    }
    this.#lead = -1;
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

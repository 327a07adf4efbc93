import type { CleanedTree } from './block-tree.js';
import { attributeOf, headingLevel, wholeNumber, type ElementTree } from './element-tree.js';

/** A cell longer than this (UTF-16 code units) is a column of a page's layout, unless the table has headers. */
const LONGEST_CELL = 400;

/** How many rows are looked at to tell names of columns from values. */
const SAMPLE_ROWS = 10;

/** The most that `rowspan` and `colspan` count for here (HTML Living Standard §4.9.11 has 65,534 and 1,000). */
const MOST_ROWS = 1_000;
const MOST_COLUMNS = 32;

interface Row {
  readonly element: number;
  readonly index: number;
  readonly section: number;
  cells: number;
  columns: number;
  filled: number;
  headers: number;
  filledHeaders: number;
  bold: number;
  /** A cell from above reaches into it. */
  readonly isReached: boolean;
  /** Names the columns. */
  isHeader: boolean;
  /** Names them again, in the same words. */
  isRepeated: boolean;
  /** One cell across the table, which names the rows after it. */
  isGroup: boolean;
}

/**
 * A table that holds data: what its rows need to be read, and which columns its cells stand in.
 * Rows are told about in order: `openRow`, then `cell` for each of its cells, then `closeRow`.
 */
export class DataTable {
  readonly number: number;
  readonly #tree: ElementTree;
  readonly #rows: ReadonlyMap<number, Row>;
  readonly #columns: number;
  #caption = -1;
  #header = -1;
  #group = -1;
  #afterHeader = false;
  #row: Row | undefined;
  #section = -1;
  /** Rows with a cell that reaches into later ones, innermost last, and the index of the first row past it. */
  #spans: { readonly block: number; readonly until: number }[] = [];
  /** By column: index of the first row that a cell from above leaves free. */
  #free: number[] = [];
  #column = 0;
  #skipped = 0;
  #rowSpan = 1;

  constructor(tree: ElementTree, number: number, rows: ReadonlyMap<number, Row>, columns: number) {
    this.#tree = tree;
    this.number = number;
    this.#rows = rows;
    this.#columns = columns;
  }

  /** A block of the caption, which all rows need. */
  set caption(block: number) {
    this.#caption = block;
    this.#header = block;
  }

  isHeader(row: number): boolean {
    return this.#rows.get(row)?.isHeader ?? false;
  }

  /** Whether a row says again what the columns are called. */
  isRepeated(row: number): boolean {
    return this.#rows.get(row)?.isRepeated ?? false;
  }

  /** @returns the block that governs the row, or -1 */
  openRow(element: number): number {
    const row = this.#rows.get(element);
    this.#row = row;
    this.#column = 0;
    this.#skipped = 0;
    this.#rowSpan = 1;
    if (!row) return this.#header;
    if (row.section !== this.#section) {
      this.#section = row.section;
      this.#spans = [];
      this.#free = [];
    }
    while (this.#spans.length > 0 && this.#spans.at(-1)!.until <= row.index) this.#spans.pop();
    if (row.isHeader) return this.#afterHeader ? this.#header : this.#caption;
    if (row.isGroup) return this.#header;
    return this.#spans.at(-1)?.block ?? (this.#group >= 0 ? this.#group : this.#header);
  }

  /** @returns how many cells begin here: itself, and before it those that other cells reach into */
  cell(element: number): number {
    const index = this.#row?.index ?? 0;
    let begun = 1 + this.#skipped;
    for (; this.#column < this.#columns && (this.#free[this.#column] ?? 0) > index; this.#column++) begun++;
    const rows = rowsOf(this.#tree, element);
    const columns = Math.max(
      1,
      Math.min(spanOf(this.#tree, element, 'colspan'), this.#columns - this.#column),
    );
    for (let column = 0; column < columns; column++) this.#free[this.#column++] = index + rows;
    this.#skipped = columns - 1;
    this.#rowSpan = Math.max(this.#rowSpan, rows);
    return begun;
  }

  /** @param block the row's own, or -1 where it has no text */
  closeRow(block: number): void {
    const row = this.#row;
    this.#row = undefined;
    if (!row || block < 0) return;
    this.#afterHeader = row.isHeader;
    if (row.isHeader) {
      this.#header = block;
      this.#group = -1;
    } else if (row.isGroup) this.#group = block;
    else if (this.#rowSpan > 1) this.#spans.push({ block, until: row.index + this.#rowSpan });
  }
}

/**
 * Reads a table's shape in one pass over its elements.
 * @returns undefined where it lays out a page: a table or heading inside, or neither headers nor short cells
 */
export function dataTable(
  tree: ElementTree,
  cleaned: CleanedTree,
  table: number,
  number: number,
): DataTable | undefined {
  const { names, parents, after } = tree;
  const { textStart, textEnd } = cleaned;
  if (attributeOf(tree, table, 'role') === 'presentation') return undefined;
  const rows = new Map<number, Row>();
  let longest = 0;
  let section = -1;
  // Index of the first row that no cell of this part of the table reaches into.
  let reach = 0;
  for (let element = table + 1; element < after[table]!; element++) {
    const name = names[element]!;
    if (name === 'table' || headingLevel(name) > 0) return undefined;
    if (name === 'tr') {
      if (parents[element] !== section) reach = 0;
      section = parents[element]!;
      rows.set(element, {
        element,
        index: rows.size,
        section,
        cells: 0,
        columns: 0,
        filled: 0,
        headers: 0,
        filledHeaders: 0,
        bold: 0,
        isReached: rows.size < reach,
        isHeader: false,
        isRepeated: false,
        isGroup: false,
      });
    } else if (name === 'td' || name === 'th') {
      const row = rows.get(parents[element]!);
      if (!row) continue;
      const length = textEnd[element]! - textStart[element]!;
      longest = Math.max(longest, length);
      row.cells++;
      row.columns += Math.min(spanOf(tree, element, 'colspan') || 1, MOST_COLUMNS);
      reach = Math.max(reach, row.index + rowsOf(tree, element));
      if (name === 'th') row.headers++;
      if (length === 0) continue;
      row.filled++;
      if (name === 'th') row.filledHeaders++;
      if (isBold(tree, cleaned, element)) row.bold++;
    }
  }

  const withText = [...rows.values()].filter(({ filled }) => filled > 0);
  const filled = withText.reduce((sum, row) => sum + row.filled, 0);
  const headers = withText.reduce((sum, row) => sum + row.filledHeaders, 0);
  const isData =
    withText.length < 2
      ? headers > 0 && filled > headers
      : headers > 0 || (filled >= 1.5 * withText.length && longest < LONGEST_CELL);
  if (!isData) return undefined;
  const columns = withText.reduce((most, row) => Math.max(most, row.columns), 0);
  markHeaders(tree, cleaned, withText, columns);
  return new DataTable(tree, number, rows, columns);
}

function markHeaders(tree: ElementTree, cleaned: CleanedTree, rows: readonly Row[], columns: number): void {
  const names = new Set<string>();
  for (const row of rows) {
    const section = tree.names[row.section];
    const isAllHeaders =
      (row.cells > 1 && row.headers === row.cells) || (row.filled > 1 && row.filledHeaders === row.filled);
    row.isHeader = section === 'thead' || (section !== 'tfoot' && isAllHeaders);
    if (row.isHeader || isAllHeaders) {
      const text = cleaned.text.slice(cleaned.textStart[row.element], cleaned.textEnd[row.element]);
      row.isRepeated = names.has(text.replace(/\s+/g, ' '));
      names.add(text.replace(/\s+/g, ' '));
    }
    row.isGroup = !row.isHeader && !row.isReached && row.cells === 1 && columns > 1;
  }
  const first = rows.find(({ isGroup }) => !isGroup);
  if (first && !rows.some(({ isHeader }) => isHeader))
    first.isHeader = isBoldHeader(first, rows) || namesColumns(tree, cleaned, first, rows, columns);
}

/** A first row all in bold, and no other like it. */
function isBoldHeader(first: Row, rows: readonly Row[]): boolean {
  return (
    first.filled > 1 &&
    first.bold === first.filled &&
    rows.some(({ bold, filled }) => filled > 1 && bold < filled)
  );
}

/** A first row of three names or more, without a number, over rows that mostly have numbers. */
function namesColumns(
  tree: ElementTree,
  { text, textStart, textEnd }: CleanedTree,
  first: Row,
  rows: readonly Row[],
  columns: number,
): boolean {
  if (columns < 3 || first.filled < columns || first.filledHeaders > 0) return false;
  const hasNumber = ({ element }: Row) => /\p{N}/u.test(text.slice(textStart[element], textEnd[element]));
  if (hasNumber(first)) return false;
  const others = rows.filter((row) => row !== first && !row.isGroup).slice(0, SAMPLE_ROWS);
  return others.filter(hasNumber).length > others.length / 2;
}

/** Whether all text of a cell stands in one `b` or `strong`. */
function isBold(
  { names }: ElementTree,
  { unwrapped, textStart, textEnd }: CleanedTree,
  cell: number,
): boolean {
  for (let element = cell; unwrapped[element] === 1;) {
    do element++;
    while (textStart[element] === textEnd[element]);
    if (names[element] === 'b' || names[element] === 'strong') return true;
  }
  return false;
}

/** A cell of 0 rows goes down to the end of its part of the table. */
function rowsOf(tree: ElementTree, cell: number): number {
  return Math.min(spanOf(tree, cell, 'rowspan') || MOST_ROWS, MOST_ROWS);
}

function spanOf(tree: ElementTree, cell: number, name: 'rowspan' | 'colspan'): number {
  return Math.max(0, wholeNumber(attributeOf(tree, cell, name)) ?? 1);
}

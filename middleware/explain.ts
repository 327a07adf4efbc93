import pc from 'picocolors';
import type { CompressionResult, SourceDocument } from '../compressors/index.js';
import { annotate, type Annotation } from './annotate.js';

export interface ExplainOptions {
  readonly query: string;
  /** Of the terminal, in columns. */
  readonly width: number;
  readonly colors: boolean;
  /** Every dropped piece, not a summary of each stretch. */
  readonly all: boolean;
}

/** As many dropped pieces in a row are shown each by itself; of more, a summary by reason. */
const SHOWN_ALONE = 3;

/** How many lines of a dropped piece are shown: enough to recognise it. */
const DROPPED_LINES = 2;

/**
 * What became of each document, for a terminal: kept and dropped text in the document's order, the reason beside it,
 * then the stages.
 */
export function explain(
  documents: readonly SourceDocument[],
  result: CompressionResult,
  { query, width, colors, all }: ExplainOptions,
): string {
  const paint = pc.createColors(colors);
  const table = new Columns(width);
  const lines = [
    `${paint.bold('Query')}  ${printable(query)}`,
    `${paint.green('+ kept')}   ${paint.dim('- dropped   · no text of the page: scripts, styles, comments, markup')}`,
  ];
  for (const document of documents) {
    lines.push('', paint.bold(titleLine(document, result, width)));
    const rows = rowsOf(document, result, all);
    for (const { mark, text, reason, most } of rows) {
      for (const [left, right] of table.lines(mark, text, reason, all ? Infinity : most))
        lines.push(
          (mark === '+' ? paint.green(left) : paint.dim(left)) + (right === '' ? '' : paint.dim(right)),
        );
    }
    if (rows.length === 0) lines.push(paint.dim('  (empty)'));
  }
  lines.push('', ...stageTable(result, paint), '', paint.bold(summaryOf(result)));
  return `${lines.join('\n')}\n`;
}

/** One line: tokens in and out, what was saved, and what went wrong. */
export function summaryOf({ tokens, stages }: CompressionResult): string {
  const milliseconds = stages.reduce((total, stage) => total + stage.milliseconds, 0);
  const saved = tokens.before === 0 ? 0 : 100 * (1 - tokens.after / tokens.before);
  const budget = tokens.budget === undefined ? '' : `, budget ${count(tokens.budget)}`;
  const counter = tokens.counter === 'estimate' ? 'estimated from above' : `counted by ${tokens.counter}`;
  const failures = stages.flatMap(({ name, error }) => (error === undefined ? [] : [`; ${name}: ${error}`]));
  return `${count(tokens.before)} → ${count(tokens.after)} tokens: ${Math.max(0, saved).toFixed(saved < 99 ? 0 : 1)}% saved${budget}, ${counter}, ${milliseconds.toFixed(0)} ms${failures.join('')}`;
}

function titleLine(document: SourceDocument, result: CompressionResult, width: number): string {
  const kept = result.documents.find(({ id }) => id === document.id);
  const tokens = kept ? `${count(kept.tokensBefore)} → ${count(kept.tokensAfter)} tokens` : 'nothing kept';
  const name = printable(document.title === undefined ? document.id : `${document.id}  ${document.title}`);
  const room = Math.max(10, width - tokens.length - 2);
  return `${pad(cut(name, room), room)}  ${tokens}`;
}

interface Row {
  readonly mark: '+' | '-' | '·';
  readonly text: string;
  readonly reason: string;
  /** How many lines of the text are shown. */
  readonly most: number;
}

function rowsOf(document: SourceDocument, result: CompressionResult, all: boolean): Row[] {
  const passed = result.decisions.find(
    (decision) =>
      decision.document === document.id && decision.stage === 'extract' && decision.action === 'kept',
  );
  if (passed) {
    const isKept = result.documents.some(({ id }) => id === document.id);
    const text = characters(document.content.length);
    return [{ mark: isKept ? '+' : '-', text, reason: `extract: ${passed.reason}`, most: 1 }];
  }
  return stretches(annotate(document, result)).flatMap((stretch) =>
    stretch[0]!.action !== 'dropped' || all || stretch.length <= SHOWN_ALONE
      ? stretch.map(single)
      : summaries(stretch),
  );
}

/** Runs of kept and of dropped pieces. */
function stretches(annotations: readonly Annotation[]): Annotation[][] {
  const runs: Annotation[][] = [];
  for (const annotation of annotations) {
    const run = runs.at(-1);
    const isDropped = annotation.action === 'dropped';
    if (run && (run[0]!.action === 'dropped') === isDropped) run.push(annotation);
    else runs.push([annotation]);
  }
  return runs;
}

function single(annotation: Annotation): Row {
  const { text, action, stage, reason, score } = annotation;
  const why = `${stage}: ${reason}${score === undefined ? '' : `, score ${score.toFixed(2)}`}`;
  if (action !== 'dropped') return { mark: '+', text: marked(annotation), reason: why, most: Infinity };
  return isMarkup(annotation)
    ? { mark: '·', text: `${reason}, ${characters(text.length)}`, reason: '', most: 1 }
    : { mark: '-', text: flat(marked(annotation)), reason: why, most: DROPPED_LINES };
}

/** The dropped pieces of a stretch by stage and reason, with what they begin with; markup in one row. */
function summaries(stretch: readonly Annotation[]): Row[] {
  const groups = new Map<string, Annotation[]>();
  for (const annotation of stretch) {
    const { stage, reason } = annotation;
    const key = isMarkup(annotation) ? '·' : `${stage}: ${reason.replaceAll(NUMBER, '#')}`;
    const group = groups.get(key);
    if (group) group.push(annotation);
    else groups.set(key, [annotation]);
  }
  return [...groups].map(([key, group]): Row => {
    if (group.length === 1) return single(group[0]!);
    const length = characters(group.reduce((sum, { text }) => sum + text.length, 0));
    if (key === '·') {
      const reasons = [...new Set(group.map(({ reason }) => reason))];
      return { mark: '·', text: `${reasons.join(', ')}, ${length}`, reason: '', most: DROPPED_LINES };
    }
    const beginning = group.slice(0, 12).map(({ text }) => cut(flat(text), 40));
    const scores = group.flatMap(({ score }) => (score === undefined ? [] : [`score ${score.toFixed(2)}`]));
    const why = [merged(group.map(({ stage, reason }) => `${stage}: ${reason}`)), merged(scores)];
    return {
      mark: '-',
      text: `${group.length} pieces, ${length}: ${beginning.join(' / ')}`,
      reason: why.filter((part) => part !== '').join(', '),
      most: DROPPED_LINES,
    };
  });
}

const NUMBER = /\d+(?:\.\d+)?/g;

/** Texts that differ in their numbers alone as one, with the least and the most: rank 4–19 of 22. */
function merged(texts: readonly string[]): string {
  const numbers = texts.map((text) => text.match(NUMBER) ?? []);
  let index = 0;
  return (texts[0] ?? '').replaceAll(NUMBER, () => {
    const values = numbers.map((found) => found[index]!).sort((a, b) => Number(a) - Number(b));
    index++;
    return values[0] === values.at(-1) ? values[0]! : `${values[0]!}–${values.at(-1)!}`;
  });
}

function isMarkup({ block }: Annotation): boolean {
  return block === undefined;
}

/** Headings and list items as Markdown would have them. */
function marked({ text, layout }: Annotation): string {
  if (layout?.type === 'heading') return `${'#'.repeat(layout.level)} ${text}`;
  if (layout?.type === 'item') return `${'  '.repeat(layout.depth)}${layout.marker} ${text}`;
  return text;
}

function stageTable(
  { stages, tokens }: CompressionResult,
  paint: ReturnType<typeof pc.createColors>,
): string[] {
  const cells = [
    ['stage', 'tokens in', 'out', 'left', 'ms'],
    ...stages.map(({ name, tokensBefore, tokensAfter, milliseconds }) => [
      name,
      count(tokensBefore),
      count(tokensAfter),
      tokens.before === 0 ? '' : `${((100 * tokensAfter) / tokens.before).toFixed(1)}%`,
      milliseconds.toFixed(1),
    ]),
  ];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  return cells.map((row, index) => {
    const line = row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
      .join('   ');
    const error = index === 0 ? undefined : stages[index - 1]!.error;
    return index === 0
      ? paint.dim(line)
      : `${line}${error === undefined ? '' : `   ${paint.red(printable(error))}`}`;
  });
}

/** Text on the left with its mark, the reason on the right; below the text where the terminal is narrow. */
class Columns {
  readonly #text: number;
  readonly #reason: number;
  readonly #beside: boolean;

  constructor(width: number) {
    this.#beside = width >= 80;
    this.#reason = this.#beside ? Math.min(40, Math.floor(width * 0.32)) : width - 6;
    this.#text = this.#beside ? width - this.#reason - 6 : width - 4;
  }

  lines(mark: string, text: string, reason: string, most: number): [left: string, right: string][] {
    const left = wrapped(text, this.#text);
    if (left.length > most) {
      const last = cut(left[most - 1]!, this.#text - 2, '').replace(/(\S)\s+\S*$/, '$1');
      left.splice(most - 1, Infinity, last.endsWith('…') ? last : `${last} …`);
    }
    const right = reason === '' ? [] : wrapped(reason, this.#reason);
    const rows: [string, string][] = [];
    for (let row = 0; row < Math.max(left.length, this.#beside ? right.length : 0); row++) {
      const shown = `  ${row === 0 ? mark : ' '} ${left[row] ?? ''}`;
      const beside = this.#beside ? right[row] : undefined;
      const gap = ' '.repeat(Math.max(0, this.#text + 6 - columnsOf(shown)));
      rows.push(beside === undefined ? [shown.trimEnd(), ''] : [shown, gap + beside]);
    }
    if (!this.#beside) for (const line of right) rows.push(['', `      ${line}`]);
    return rows;
  }
}

/** Lines of at most so many columns, broken at spaces where there are any. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const paragraph of printable(text).split('\n')) {
    let line = /^ */.exec(paragraph)![0];
    let columns = line.length;
    let isEmpty = true;
    for (const word of paragraph.trim().split(/ +/)) {
      let rest = word;
      const needed = columnsOf(word) + (isEmpty ? 0 : 1);
      if (!isEmpty && columns + needed > width && columns > width / 2) {
        lines.push(line);
        [line, columns, isEmpty] = ['', 0, true];
      }
      if (!isEmpty) {
        line += ' ';
        columns++;
      }
      // A word longer than a line, or Chinese: cut where the line ends.
      while (columns + columnsOf(rest) > width) {
        const head = cut(rest, Math.max(1, width - columns), '');
        lines.push(line + head);
        rest = rest.slice(head.length);
        [line, columns] = ['', 0];
      }
      line += rest;
      columns += columnsOf(rest);
      isEmpty = false;
    }
    lines.push(line);
  }
  return lines;
}

const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}\p{Emoji_Presentation}]/u;

/** How many columns of a terminal a text takes. */
function columnsOf(text: string): number {
  if (/^[ -~]*$/.test(text)) return text.length;
  let columns = 0;
  for (const { segment } of graphemes.segment(text)) columns += WIDE.test(segment) ? 2 : 1;
  return columns;
}

/** The beginning of a text that takes at most so many columns, one grapheme at least. */
function cut(text: string, width: number, ellipsis = '…'): string {
  if (columnsOf(text) <= width) return text;
  let head = '';
  let columns = columnsOf(ellipsis);
  for (const { segment } of graphemes.segment(text)) {
    columns += WIDE.test(segment) ? 2 : 1;
    if (columns > width && head !== '') break;
    head += segment;
  }
  return head + ellipsis;
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - columnsOf(text)));
}

function flat(text: string): string {
  return text.replace(/\s+/g, ' ').trim();
}

/** A document does not get to move the cursor, and tabs would tear the columns. */
function printable(text: string): string {
  return text
    .replaceAll('\r\n', '\n')
    .replaceAll('\t', '    ')
    .replace(/[^\P{Cc}\n]/gu, '\ufffd');
}

function characters(length: number): string {
  return `${count(length)} characters`;
}

function count(value: number): string {
  return value.toLocaleString('en');
}

import type { CompressedDocument, GeneratedText, SourceDocument, Span, State, Unit } from './contract.js';
import { escapeHtml, renderHtml } from './htmlrag/render-html.js';
import type { Page } from './page.js';
import { gapBetween } from './unit.js';
import type { PlacedEmbeddings } from '../models/decoder/generation.js';
import type { TokenCounter } from '../models/token-counter.js';

export type Output = 'markdown' | 'text' | 'html';

export interface Rendering {
  readonly context: string;
  /** Undefined where there are none. */
  readonly embeddings: PlacedEmbeddings | undefined;
  readonly tokens: number;
  readonly documents: readonly {
    readonly index: number;
    readonly content: string;
    readonly units: readonly Unit[];
  }[];
}

/**
 * Puts kept units together: each document under a line `[n] title` (n counts the sources from 1), documents apart
 * by a blank line. A document that is an embedding stands behind its number alone, as it was read in training.
 * @param units by document, then in the order of the page
 */
export function render(
  state: State,
  units: readonly Unit[],
  output: Output,
  counter: TokenCounter,
): Rendering {
  const documents: { index: number; content: string; units: Unit[] }[] = [];
  for (const unit of units) {
    const last = documents.at(-1);
    if (last?.index === unit.document) last.units.push(unit);
    else documents.push({ index: unit.document, content: '', units: [unit] });
  }
  for (const document of documents) {
    document.content = renderDocument(document.units, state.pages[document.index], output);
  }
  const context = documents
    .map(({ index, content, units }) =>
      isEmbedding(units[0]!)
        ? label(index) + content
        : `${documentHeader(index, state.documents[index]!, state.pages[index])}\n${content}`,
    )
    .join('\n\n');
  const embeddings = placedEmbeddings(units);
  return { context, embeddings, tokens: countAround(context, embeddings, counter), documents };
}

/** What stands before an embedding. */
function label(index: number): string {
  return `[${index + 1}] `;
}

function isEmbedding({ embedding }: Unit): boolean {
  return embedding !== undefined;
}

function placedEmbeddings(units: readonly Unit[]): PlacedEmbeddings | undefined {
  const marker = units.find(isEmbedding)?.text;
  if (marker === undefined) return undefined;
  return { marker, rows: units.flatMap(({ embedding }) => (embedding ? [embedding] : [])) };
}

/** An embedding is a token, and parts the text on its sides. */
function countAround(text: string, embeddings: PlacedEmbeddings | undefined, counter: TokenCounter): number {
  if (!embeddings) return counter.count(text);
  const { marker, rows } = embeddings;
  return text.split(marker).reduce((tokens, part) => tokens + counter.count(part), rows.length);
}

/** The line that stands above a document in the context. */
export function documentHeader(index: number, document: SourceDocument, page: Page | undefined): string {
  const title = (document.title ?? page?.title ?? '').replace(/\s+/g, ' ').trim();
  return title === '' ? `[${index + 1}]` : `[${index + 1}] ${title}`;
}

export function compressedDocuments(
  state: State,
  rendering: Rendering,
  before: readonly number[],
  counter: TokenCounter,
): CompressedDocument[] {
  return rendering.documents.map(({ index, content, units }) => {
    const generated = generatedIn(content, units);
    return {
      id: state.documents[index]!.id,
      content,
      spans: mergeSpans(units),
      origin: units.find((unit) => unit.origin !== undefined)?.origin ?? 'verbatim',
      ...(generated.length > 0 && { generated }),
      tokensBefore: before[index]!,
      ...(isEmbedding(units[0]!)
        ? { tokensAfter: counter.count(label(index)) + 1, embedding: units[0]!.embedding! }
        : { tokensAfter: counter.count(content) }),
    };
  });
}

function generatedIn(content: string, units: readonly Unit[]): GeneratedText[] {
  const found: GeneratedText[] = [];
  let at = 0;
  for (const { text, origin, spans } of units) {
    // Rendering leaves a text as it is, but for HTML's escapes.
    const form = [text, escapeHtml(text)].find((form) => content.includes(form, at)) ?? '';
    const start = content.indexOf(form, at);
    at = start + form.length;
    if (origin === 'generated')
      found.push({ start, end: at, sources: spans.map(({ start, end }) => ({ start, end })) });
  }
  return found;
}

/** The units' spans; those that touch are one where nothing was put between them. */
export function mergeSpans(units: readonly Unit[]): Span[] {
  const spans: { start: number; end: number }[] = [];
  let mergeable = false;
  let block = -1;
  for (const unit of units) {
    for (const { start, end, length } of unit.spans) {
      const verbatim = length === end - start;
      const last = spans.at(-1);
      // Two sentences may have been generated from the same one.
      if (last?.start === start && last.end === end) continue;
      if (last?.end === start && mergeable && verbatim && unit.block === block) last.end = end;
      else spans.push({ start, end });
      mergeable = verbatim;
      block = unit.block;
    }
  }
  return spans;
}

function renderDocument(units: readonly Unit[], page: Page | undefined, output: Output): string {
  if (!page || isEmbedding(units[0]!)) return units.map((unit) => unit.text).join('\n\n');
  if (output === 'html') return renderHtml(page, units);
  // A source without markup gets none: its own marks are in its text.
  const markup = output === 'markdown' && (page.format === 'html' || page.format === 'markdown');
  let text = '';
  for (const [index, unit] of units.entries()) {
    const previous = units[index - 1];
    text += previous ? separator(previous, unit) : '';
    const continued = previous?.block === unit.block;
    text += renderUnit(unit, continued, markup);
    if (markup && endsHeader(unit, units[index + 1])) text += `\n${delimiterRow(unit)}`;
  }
  return text;
}

function renderUnit(unit: Unit, continued: boolean, markup: boolean): string {
  const { layout, text } = unit;
  if (continued) return text;
  switch (layout.type) {
    case 'heading':
      return markup ? `${'#'.repeat(layout.level)} ${text}` : text;
    case 'item':
      return `${'  '.repeat(layout.depth)}${layout.marker} ${text}`;
    case 'quote':
      return markup ? `> ${text}` : text;
    case 'code':
      return markup ? fence(text, layout.language) : text;
    case 'row':
      // A pipe that begins a row is its border (GFM 0.29 §4.10): an empty first cell takes one more.
      return markup && text.startsWith('|') ? `| ${text}` : text;
    default:
      return text;
  }
}

/** A fence longer than any run of backticks inside (CommonMark 0.31 §4.5). */
function fence(text: string, language: string): string {
  const longest = text.match(/`{3,}/g)?.reduce((length, run) => Math.max(length, run.length), 0) ?? 0;
  const ticks = '`'.repeat(Math.max(3, longest + 1));
  return `${ticks}${language}\n${text}\n${ticks}`;
}

function separator(previous: Unit, unit: Unit): string {
  if (previous.block === unit.block) return gapBetween(previous, unit);
  const { layout } = unit;
  if (previous.layout.type !== layout.type) return '\n\n';
  if (layout.type === 'item') return '\n';
  if (layout.type === 'row' && previous.layout.type === 'row' && previous.layout.table === layout.table)
    return '\n';
  return '\n\n';
}

function endsHeader(unit: Unit, next: Unit | undefined): boolean {
  if (unit.layout.type !== 'row' || !unit.layout.header || next?.layout.type !== 'row') return false;
  return next.layout.table === unit.layout.table && !next.layout.header;
}

function delimiterRow(unit: Unit): string {
  return unit.text
    .split('|')
    .map(() => '---')
    .join('|');
}

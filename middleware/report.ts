import { escapeUTF8 as escape } from 'entities';
import type { CompressionResult, Layout, SourceDocument, StageReport } from '../compressors/index.js';
import { annotate, type Annotation } from './annotate.js';

export interface ReportEntry {
  readonly query: string;
  readonly documents: readonly SourceDocument[];
  readonly result: CompressionResult;
}

/** How much dropped text of a document is shown whole, in characters; of more, the two ends of each stretch. */
const SHOWN_DROPPED = 20_000;
const SHOWN_END = 400;

/** How much of a document is shown at all. */
const SHOWN_DOCUMENT = 200_000;

const MINOR_LENGTH = 100;

/** Shorter stretches that the extraction left out are marks of markup: list markers, fences, declarations. */
const OMITTED_LENGTH = 40;

/**
 * A page that shows, for each question, the stages, the context, and every document with what was kept and what was
 * dropped in place. It is one file without scripts; of long documents it shows what surrounds the kept parts.
 */
export function reportHtml(title: string, entries: readonly ReportEntry[]): string {
  const before = entries.reduce((tokens, { result }) => tokens + result.tokens.before, 0);
  const after = entries.reduce((tokens, { result }) => tokens + result.tokens.after, 0);
  const contents = entries.map(
    ({ query, result }, index) =>
      `<li><a href="#question-${index + 1}" dir="auto">${escape(query)}</a> <small>${count(result.tokens.before)} → ${count(result.tokens.after)} tokens</small></li>`,
  );
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<header>
<h1>${escape(title)}</h1>
<p>${count(before)} tokens of retrieved pages, ${count(after)} tokens of context: ${saved(before, after)} saved.</p>
<ol>${contents.join('\n')}</ol>
<p class="legend"><span class="kept">Kept</span> text went into the prompt; <span class="dropped">the rest</span> did not, for the reason beside it. <span class="omitted">Left out</span> is what a reader of the page does not see: scripts, styles, comments, form controls.</p>
</header>
${entries.map(entryHtml).join('\n')}
</body>
</html>
`;
}

const STYLE = `
:root { color-scheme: light dark; --ink: #1d2730; --paper: #fdfdfb; --kept: #0a5c32; --keptback: #dff3e4; --gone: #68747e; --line: #dfe3e6; --bar: #2f9e62; }
@media (prefers-color-scheme: dark) { :root { --ink: #dde4ea; --paper: #14191e; --kept: #a4ebc0; --keptback: #163a24; --gone: #8492a0; --line: #2d363e; --bar: #3aa86b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.25rem 6rem; font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.25rem; margin: 0 0 .75rem; } h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; }
section { border-top: 2px solid var(--line); margin-top: 2.5rem; padding-top: 1.5rem; }
a { color: inherit; } small, .omitted, .note { color: var(--gone); }
.stages { width: 100%; max-width: 46rem; border-collapse: collapse; font-variant-numeric: tabular-nums; }
.stages th, .stages td { padding: .2rem 1.25rem .2rem 0; text-align: right; border-bottom: 1px solid var(--line); font-weight: normal; }
.stages td:last-child { width: 45%; padding-inline-end: 0; }
.stages thead th { color: var(--gone); font-size: .85em; }
.stages :is(th, td):is(:first-child, :last-child) { text-align: left; }
.bar { display: block; height: .7rem; min-width: 1px; background: var(--bar); border-radius: 2px; }
.context { white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; padding: .75rem 1rem; background: var(--keptback); border-radius: 6px; font: 14px/1.5 ui-monospace, "SFMono-Regular", Consolas, monospace; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; }
summary { cursor: pointer; padding: .5rem .9rem; } details[open] > summary { border-bottom: 1px solid var(--line); }
.document { padding: .75rem .9rem 1rem; overflow-x: auto; }
.block { display: grid; grid-template-columns: minmax(0, 1fr) 19rem; gap: 1.5rem; margin: .3rem 0; }
.block > * { overflow-wrap: anywhere; min-width: 0; }
.note { font-size: .75rem; line-height: 1.5; padding-top: .15rem; border-inline-start: 2px solid transparent; padding-inline-start: .6rem; }
.block:has(.kept) .note { border-color: var(--bar); color: var(--kept); }
.kept { background: var(--keptback); color: var(--kept); border-radius: 3px; padding: .1em .15em; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
.dropped { color: var(--gone); }
.heading { font-weight: 650; margin-top: .4rem; } .level1 { font-size: 1.15em; } .level2 { font-size: 1.08em; }
.row, .code { font: 13px/1.55 ui-monospace, "SFMono-Regular", Consolas, monospace; } .code { white-space: pre-wrap; }
.row.header { font-weight: 650; } .quote { border-inline-start: 3px solid var(--line); padding-inline-start: .8rem; }
.omitted { font-size: .8rem; font-style: italic; }
.legend { font-size: .9rem; }
@media (max-width: 44rem) { .block { grid-template-columns: 1fr; gap: 0; } .note:empty { display: none; } }
`;

function entryHtml({ query, documents, result }: ReportEntry, index: number): string {
  const { tokens, stages } = result;
  const allowed = tokens.budget === undefined ? '' : ` of ${count(tokens.budget)} allowed`;
  const widest = stages.reduce((most, { tokensBefore }) => Math.max(most, tokensBefore), 1);
  return `<section id="question-${index + 1}">
<h2 dir="auto">${escape(query)}</h2>
<table class="stages"><thead><tr><th>Stage</th><th>Tokens in</th><th>Out</th><th>ms</th><th>Left after it</th></tr></thead><tbody>
${stages.map((stage) => stageHtml(stage, widest)).join('\n')}
</tbody></table>
<h3>The context: ${count(tokens.after)} tokens${allowed}, ${saved(tokens.before, tokens.after)} saved <small>counted by ${escape(tokens.counter)}</small></h3>
<pre class="context" dir="auto">${escape(result.context)}</pre>
<h3>The documents</h3>
${documents.map((document) => documentHtml(document, result)).join('\n')}
</section>`;
}

function stageHtml(
  { name, tokensBefore, tokensAfter, milliseconds, error }: StageReport,
  widest: number,
): string {
  const width = Math.min(100, (100 * tokensAfter) / widest).toFixed(1);
  const last =
    error === undefined
      ? `<span class="bar" style="width: ${width}%"></span>`
      : `<small>${escape(error)}</small>`;
  return `<tr><td>${escape(name)}</td><td>${count(tokensBefore)}</td><td>${count(tokensAfter)}</td><td>${milliseconds.toFixed(1)}</td><td>${last}</td></tr>`;
}

function documentHtml(document: SourceDocument, result: CompressionResult): string {
  const kept = result.documents.find(({ id }) => id === document.id);
  const summary = kept
    ? `${count(kept.tokensBefore)} → ${count(kept.tokensAfter)} tokens`
    : `nothing kept of ${count(document.content.length)} characters`;
  return `<details${kept ? ' open' : ''}><summary><bdi>${escape(document.title ?? document.id)}</bdi> <small>${nameHtml(document)} ${summary}</small></summary>
<div class="document">
${bodyHtml(shortened(annotate(document, result)))}
</div></details>`;
}

/** A document's id where a title stands before it, and a link to where it was found. */
function nameHtml({ id, title, url }: SourceDocument): string {
  const name = title === undefined ? '' : `${escape(id)} · `;
  if (url === undefined || !/^https?:\/\//i.test(url)) return name;
  return `${name}<a href="${escape(url)}" rel="noreferrer">${escape(url)}</a> · `;
}

/** Something of a document as it is shown: an annotation, or how much of them is not shown. */
type Shown = Annotation | { readonly hidden: number };

/** The annotations, without the middle of long stretches of dropped text, and without the end of an endless document. */
function shortened(annotations: readonly Annotation[]): Shown[] {
  const dropped = annotations.reduce(
    (sum, { action, text }) => sum + (action === 'dropped' ? text.length : 0),
    0,
  );
  const shown: Shown[] = [];
  let length = 0;
  let hidden = 0;
  const flush = () => {
    if (hidden > 0) shown.push({ hidden });
    hidden = 0;
  };
  for (const stretch of stretches(annotations)) {
    const size = stretch.reduce((sum, { text }) => sum + text.length, 0);
    const isCut = stretch[0]!.action === 'dropped' && dropped > SHOWN_DROPPED && size > 2 * SHOWN_END;
    const room = Math.max(0, SHOWN_DOCUMENT - length);
    const [head, tail] =
      isCut && room > 2 * SHOWN_END ? [SHOWN_END, size - SHOWN_END] : [room, Math.max(room, size)];
    let at = 0;
    for (const annotation of stretch) {
      const { text } = annotation;
      const beginning = text.slice(0, boundary(text, head - at));
      const end = text.slice(Math.max(beginning.length, boundary(text, tail - at)));
      at += text.length;
      const missing = text.length - beginning.length - end.length;
      if (beginning !== '') shown.push({ ...annotation, text: missing > 0 ? `${beginning}…` : beginning });
      hidden += missing;
      if (end !== '') {
        flush();
        shown.push({ ...annotation, text: missing > 0 ? `…${end}` : end });
      }
      length += beginning.length + end.length;
    }
    if (isCut) flush();
  }
  flush();
  return shown;
}

/** Runs of annotations that were all dropped, or all not. */
function stretches(annotations: readonly Annotation[]): Annotation[][] {
  const runs: Annotation[][] = [];
  for (const annotation of annotations) {
    const last = runs.at(-1);
    if (last && (last[0]!.action === 'dropped') === (annotation.action === 'dropped')) last.push(annotation);
    else runs.push([annotation]);
  }
  return runs;
}

/** The offset, within the text, and not inside a surrogate pair. */
function boundary(text: string, offset: number): number {
  const at = Math.min(Math.max(0, offset), text.length);
  return at > 0 && /[\ud800-\udbff]/.test(text[at - 1]!) ? at - 1 : at;
}

function bodyHtml(shown: readonly Shown[]): string {
  const lines: string[] = [];
  let noted = '';
  let row: { readonly texts: string[]; readonly note: string } | undefined;
  const endRow = () => {
    if (row) lines.push(blockHtml('paragraph', row.texts.join(' · '), row.note === noted ? '' : row.note));
    noted = row?.note ?? noted;
    row = undefined;
  };
  for (let at = 0; at < shown.length; at++) {
    const first = shown[at]!;
    if ('hidden' in first) {
      endRow();
      lines.push(`<p class="omitted">… ${count(first.hidden)} more characters …</p>`);
      continue;
    }
    const pieces = [first];
    for (let next = shown[at + 1]; next && belongs(next, first); next = shown[++at + 1]) pieces.push(next);
    if (first.block === undefined) {
      const omitted = pieces.filter(({ text }) => text.length >= OMITTED_LENGTH).map(omittedHtml);
      if (omitted.length === 0) continue;
      endRow();
      lines.push(`<p class="omitted">left out: ${omitted.join(', ')}</p>`);
      continue;
    }
    const note = noteOf(pieces);
    if (isMinor(pieces)) {
      if (row?.note !== note) endRow();
      row ??= { texts: [], note };
      row.texts.push(...pieces.map(pieceHtml));
      continue;
    }
    endRow();
    lines.push(layoutHtml(pieces, first.layout!, note === noted ? '' : note));
    noted = note;
  }
  endRow();
  return lines.join('\n');
}

/** Menus and the like: what was dropped whole and is short goes into one line with its neighbours. */
function isMinor([first, ...others]: readonly Annotation[]): boolean {
  return (
    others.length === 0 &&
    first!.action === 'dropped' &&
    first!.text.length <= MINOR_LENGTH &&
    (first!.layout!.type === 'item' || first!.layout!.type === 'paragraph')
  );
}

function belongs(next: Shown, first: Annotation): next is Annotation {
  return !('hidden' in next) && next.block === first.block;
}

/** What the extraction left out is named, not shown. */
function omittedHtml({ text, reason }: Annotation): string {
  return `<span title="${escape(text.slice(0, boundary(text, 300)))}">${escape(reason)} (${count(text.length)} characters)</span>`;
}

function layoutHtml(pieces: readonly Annotation[], layout: Layout, note: string): string {
  const spans = pieces.map(pieceHtml).join('');
  if (layout.type !== 'item') return blockHtml(classOf(layout), spans, note);
  const marker = `<span class="dropped">${escape(layout.marker)}</span> `;
  return blockHtml(
    'item',
    marker + spans,
    note,
    `padding-inline-start: ${Math.min(12, 1 + 1.5 * layout.depth)}em`,
  );
}

function blockHtml(name: string, spans: string, note: string, style?: string): string {
  const styled = style === undefined ? '' : ` style="${style}"`;
  return `<div class="block"><div class="${name}" dir="auto"${styled}>${spans}</div><div class="note">${escape(note)}</div></div>`;
}

/** The space after a piece is no part of what is marked. */
function pieceHtml(piece: Annotation): string {
  const text = piece.text.trimEnd();
  const name = piece.action === 'dropped' ? 'dropped' : 'kept';
  return `<span class="${name}" title="${escape(why(piece))}">${escape(text)}</span>${escape(piece.text.slice(text.length))}`;
}

function classOf(layout: Layout): string {
  if (layout.type === 'heading') return `heading level${layout.level}`;
  if (layout.type === 'row' && layout.header) return 'row header';
  return layout.type;
}

/** Beside a block: why its best piece was kept, or why the first was not. */
function noteOf(pieces: readonly Annotation[]): string {
  const kept = pieces.filter(({ action }) => action !== 'dropped');
  const best = kept.reduce<Annotation | undefined>(
    (best, piece) => (best && (best.score ?? 0) >= (piece.score ?? 0) ? best : piece),
    undefined,
  );
  return why(best ?? pieces[0]!);
}

function why({ action, stage, reason, score }: Annotation): string {
  const scored = score === undefined || score === 0 ? '' : `, score ${score.toFixed(2)}`;
  return `${action === 'dropped' ? stage : action}: ${reason}${scored}`;
}

function saved(before: number, after: number): string {
  return `${before === 0 ? 0 : Math.floor((1_000 * (before - after)) / before) / 10}%`;
}

function count(value: number): string {
  return value.toLocaleString('en');
}

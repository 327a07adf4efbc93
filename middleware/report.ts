import type { CompressionResult, SourceDocument } from '../compressors/index.js';
import { annotate } from './annotate.js';

export interface ReportEntry {
  readonly query: string;
  readonly documents: readonly SourceDocument[];
  readonly result: CompressionResult;
}

/** A page that shows, for each question, every document with what was kept and what was dropped in place. */
export function reportHtml(title: string, entries: readonly ReportEntry[]): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>
:root { color-scheme: light dark; --ink: #1b2733; --paper: #fdfdfb; --kept: #0b6b3a; --keptback: #e3f4e8; --gone: #9aa3ab; --line: #dde1e4; }
@media (prefers-color-scheme: dark) { :root { --ink: #dbe2e8; --paper: #14191e; --kept: #8fe0ae; --keptback: #17321f; --gone: #66727c; --line: #2c353c; } }
body { margin: 0 auto; max-width: 60rem; padding: 2rem 1rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
h1 { font-size: 1.4rem; } h2 { font-size: 1.15rem; margin-top: 3rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .15rem .8rem .15rem 0; text-align: right; border-bottom: 1px solid var(--line); font-weight: normal; }
th:first-child, td:first-child { text-align: left; }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }
summary { cursor: pointer; } summary small { color: var(--gone); }
pre.context { white-space: pre-wrap; border-left: 3px solid var(--kept); padding: .2rem 0 .2rem 1rem; font: 14px/1.5 ui-monospace, monospace; }
.kept { background: var(--keptback); color: var(--kept); border-radius: 3px; padding: 0 .2em; }
.dropped { color: var(--gone); }
.piece { display: block; margin: .15rem 0; overflow-wrap: anywhere; } .piece small { font-size: .72em; opacity: .8; }
</style>
</head>
<body>
<h1>${escape(title)}</h1>
<p><span class="kept">Kept</span> text went into the prompt; <span class="dropped">the rest</span> did not, for the reason beside it.</p>
${entries.map(entryHtml).join('\n')}
</body>
</html>
`;
}

function entryHtml({ query, documents, result }: ReportEntry): string {
  const { tokens, stages } = result;
  const rows = stages.map(
    ({ name, tokensBefore, tokensAfter, milliseconds, error }) =>
      `<tr><td>${escape(name)}</td><td>${count(tokensBefore)}</td><td>${count(tokensAfter)}</td><td>${milliseconds.toFixed(1)}</td><td>${escape(error ?? '')}</td></tr>`,
  );
  return `<section>
<h2>${escape(query)}</h2>
<p>${count(tokens.before)} tokens in, ${count(tokens.after)} out${tokens.budget === undefined ? '' : `, of ${count(tokens.budget)} allowed`} (${escape(tokens.counter)})</p>
<table><thead><tr><th>stage</th><th>tokens in</th><th>out</th><th>ms</th><th></th></tr></thead><tbody>${rows.join('')}</tbody></table>
<pre class="context" dir="auto">${escape(result.context)}</pre>
${documents.map((document) => documentHtml(document, result)).join('\n')}
</section>`;
}

/** Longer stretches of dropped text are cut: they are shown to be recognised. */
const SHOWN_LENGTH = 400;

function documentHtml(document: SourceDocument, result: CompressionResult): string {
  const kept = result.documents.find(({ id }) => id === document.id);
  const pieces = annotate(document, result).map(({ action, text, stage, reason, score }) => {
    const why = `${stage}: ${reason}${score === undefined ? '' : `, score ${score.toFixed(2)}`}`;
    const isKept = action !== 'dropped';
    const shown =
      isKept || text.length <= SHOWN_LENGTH
        ? text
        : `${text.slice(0, SHOWN_LENGTH)}… (${count(text.length)} characters)`;
    return `<span class="piece ${isKept ? 'kept' : 'dropped'}" dir="auto" title="${escape(why)}">${escape(shown)} <small>${escape(why)}</small></span>`;
  });
  const summary = kept ? `${count(kept.tokensBefore)} → ${count(kept.tokensAfter)} tokens` : 'nothing kept';
  return `<details${kept ? ' open' : ''}><summary>${escape(document.title ?? document.id)} <small>${escape(document.id)}, ${summary}</small></summary>${pieces.join('\n')}</details>`;
}

function count(value: number): string {
  return value.toLocaleString('en');
}

function escape(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

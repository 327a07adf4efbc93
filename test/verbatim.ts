import { decodeHTML } from 'entities';
import type { CompressionResult, SourceDocument } from 'ragpress';

/** What rendering may put between two spans: white space, Markdown marks, list markers, fences, bare HTML tags. */
const JOINER = /^(?:[\s#>|\-*+.)]|\d+[.)]|`{3,}[\w+#.-]*|<\/?[a-z][a-z0-9]*>)*$/;

/**
 * What is wrong with a result that calls itself verbatim: every document's content must be the text of its spans,
 * in order, with joiners between them and nothing else. Empty where all is well.
 */
export function verbatimFaults(
  result: CompressionResult,
  documents: readonly SourceDocument[],
  joiner = JOINER,
): string[] {
  const faults: string[] = [];
  for (const document of result.documents) {
    if (document.origin !== 'verbatim') continue;
    const source = documents.find(({ id }) => id === document.id)!.content;
    let at = 0;
    let end = 0;
    for (const span of document.spans) {
      if (span.start < end || span.end <= span.start)
        faults.push(`${document.id}: span ${span.start}-${span.end} out of order`);
      end = span.end;
      const raw = source.slice(span.start, span.end);
      const escaped = escapeHtml(raw);
      const forms = [
        raw,
        escaped,
        ...(raw.startsWith('&') ? [decodeHTML(raw), escapeHtml(decodeHTML(raw))] : []),
      ];
      const found = forms
        .map((text) => ({ text, index: document.content.indexOf(text, at) }))
        .filter(({ index }) => index >= 0);
      const next = found.sort((a, b) => a.index - b.index)[0];
      if (!next) {
        faults.push(`${document.id}: "${raw.slice(0, 60)}" is not in the content`);
        continue;
      }
      const between = document.content.slice(at, next.index);
      if (!joiner.test(between)) faults.push(`${document.id}: "${between.slice(0, 60)}" is in no span`);
      at = next.index + next.text.length;
    }
    const rest = document.content.slice(at);
    if (!joiner.test(rest)) faults.push(`${document.id}: "${rest.slice(0, 60)}" is in no span`);
  }
  return faults;
}

function escapeHtml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

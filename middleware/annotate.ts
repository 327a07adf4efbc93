import { decodeHTML } from 'entities';
import type { CompressionResult, Decision, SourceDocument, Span } from '../compressors/index.js';

/** A stretch of a document and what became of it. */
export interface Annotation {
  readonly text: string;
  readonly action: Decision['action'];
  readonly stage: string;
  readonly reason: string;
  readonly score?: number;
}

/** A document's text in its own order, kept and dropped side by side. */
export function annotate(document: SourceDocument, result: CompressionResult): Annotation[] {
  return result.decisions
    .filter((decision) => decision.document === document.id)
    .sort((a, b) => (a.spans[0]?.start ?? 0) - (b.spans[0]?.start ?? 0))
    .map(({ spans, action, stage, reason, score }) => ({
      text: spanText(document.content, spans),
      action,
      stage,
      reason,
      ...(score !== undefined && { score }),
    }));
}

function spanText(content: string, spans: readonly Span[]): string {
  let text = '';
  for (const [index, { start, end }] of spans.entries()) {
    const source = content.slice(start, end);
    if (index > 0 && spans[index - 1]!.end !== start) text += ' ';
    text += /^&[#\w]+;?$/.test(source) ? decodeHTML(source) : source;
  }
  return text;
}

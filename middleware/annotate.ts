import type { CompressionResult, Decision, Layout, SourceDocument, TextSpan } from '../compressors/index.js';
import { extractPage } from '../compressors/extract.js';
import { blockUnits } from '../compressors/unit.js';

/** A stretch of a document and what became of it. */
export interface Annotation {
  /** The text as a reader sees it; source text where the extraction left it out. */
  readonly text: string;
  readonly action: Decision['action'];
  readonly stage: string;
  readonly reason: string;
  readonly score?: number;
  /** Number of its block on the page, from 0. Absent for what the extraction left out. */
  readonly block?: number;
  readonly layout?: Layout;
}

interface Block {
  readonly text: string;
  readonly layout: Layout;
  readonly spans: readonly TextSpan[];
}

/** Left out, but no text: list markers, fences, delimiters of tables. */
const MARKUP = /^(?:[^\p{L}\p{N}]*|\d{1,9}[.)])$/u;

/**
 * A document's text in its own order, each piece once, with what became of it: the pieces of a block together are its
 * text. Where several stages decided on a piece the last counts. What the extraction left out inside a block follows it.
 */
export function annotate(document: SourceDocument, result: CompressionResult): Annotation[] {
  const decisions = result.decisions.filter(({ document: id }) => id === document.id);
  const last = lastDecisions(document.content, decisions);
  const { blocks, omitted } = partsOf(document, decisions);
  const annotations: Annotation[] = [];
  let next = 0;
  const leaveOut = (before: number) => {
    for (; next < omitted.length && omitted[next]!.start < before; next++) {
      const { start, end, decision } = omitted[next]!;
      const text = document.content.slice(start, end).trim();
      const previous = annotations.at(-1);
      if (MARKUP.test(text)) continue;
      if (previous?.block === undefined && previous?.reason === decision.reason)
        annotations[annotations.length - 1] = { ...previous, text: `${previous.text}\n${text}` };
      else annotations.push({ text, ...outcome(decision) });
    }
  };
  for (const [index, block] of blocks.entries()) {
    leaveOut(block.spans[0]!.start);
    for (const { text, decision } of pieces(block, last))
      annotations.push({ text, ...outcome(decisions[decision]), block: index, layout: block.layout });
  }
  leaveOut(Infinity);
  return annotations;
}

/** For each code unit of the content the index of the last decision on it, or -1. */
function lastDecisions(content: string, decisions: readonly Decision[]): Int32Array {
  const last = new Int32Array(content.length).fill(-1);
  for (const [index, { spans }] of decisions.entries())
    for (const { start, end } of spans) last.fill(index, start, end);
  return last;
}

interface Omitted {
  readonly start: number;
  readonly end: number;
  readonly decision: Decision;
}

/** A document's blocks, and what stands outside them; one that was not read is a block as it stands. */
function partsOf(
  { id, content, format, url }: SourceDocument,
  decisions: readonly Decision[],
): { blocks: readonly Block[]; omitted: readonly Omitted[] } {
  const extracted = decisions.filter(({ stage }) => stage === 'extract');
  if (extracted.some(({ action }) => action === 'kept')) {
    const whole = { start: 0, end: content.length, at: 0, length: content.length };
    return { blocks: [{ text: content, layout: { type: 'paragraph' }, spans: [whole] }], omitted: [] };
  }
  const blocks = blockUnits(extractPage(content, format, url ?? id), 0, uncounted);
  const spans = extracted
    .flatMap((decision) => decision.spans.map((span) => ({ ...span, decision })))
    .sort((a, b) => a.start - b.start || b.end - a.end);
  // A script inside a hidden element is left out twice.
  let end = 0;
  const omitted = spans.flatMap((span) => {
    const start = Math.max(span.start, end);
    end = Math.max(end, span.end);
    return start < span.end ? [{ ...span, start }] : [];
  });
  return { blocks, omitted };
}

const uncounted = { name: 'none', exact: false, count: () => 0 };

/** A block's text cut where the decision changes; what joins two pieces goes with the first. */
function pieces({ text, spans }: Block, last: Int32Array): { text: string; decision: number }[] {
  const cuts: { at: number; decision: number }[] = [];
  for (const { start, end, at, length } of spans) {
    // A character reference is one piece, whatever its length in the source.
    const step = length === end - start ? 1 : end - start;
    for (let offset = start; offset < end; offset += step) {
      const decision = last[offset]!;
      // White space between two sentences is neither's.
      if (decision < 0 && !/\S/.test(text[at + offset - start]!)) continue;
      if (cuts.at(-1)?.decision !== decision)
        cuts.push({ at: cuts.length === 0 ? 0 : at + offset - start, decision });
    }
  }
  return cuts.map(({ at, decision }, index) => ({ text: text.slice(at, cuts[index + 1]?.at), decision }));
}

function outcome(decision: Decision | undefined): Omit<Annotation, 'text' | 'block' | 'layout'> {
  if (!decision)
    return { action: 'dropped', stage: 'unknown', reason: 'no stage recorded what became of it' };
  const { action, stage, reason, score } = decision;
  return { action, stage, reason, ...(score !== undefined && { score }) };
}

import type { Span, TextSpan, Unit } from '../contract.js';
import { cutSpans } from '../unit.js';
import { indexTerms } from '../words.js';
import type { TokenCounter } from '../../models/token-counter.js';
import type { SentenceWord } from './sentence-words.js';

/**
 * A unit less some of its words: what is left of its text, with the spans that it is made of. Between two words that come
 * together stands what stood after the first of them, or a line break where there was one.
 * @param words all words of the unit
 * @param dropped indices of those that go, not all of them
 */
export function withoutWords(
  unit: Unit,
  words: readonly SentenceWord[],
  dropped: ReadonlySet<number>,
  counter: TokenCounter,
): Unit {
  const stretches: { start: number; end: number }[] = [];
  const keep = (start: number, end: number) => {
    const last = stretches.at(-1);
    if (last?.end === start) last.end = end;
    else stretches.push({ start, end });
  };
  let previous: number | undefined;
  for (const [index, { start, end }] of words.entries()) {
    if (dropped.has(index)) continue;
    if (previous !== undefined) {
      const gap = gapAfter(unit.text, words, previous, index);
      keep(gap.start, gap.end);
    }
    keep(start, end);
    previous = index;
  }
  const text = stretches.map(({ start, end }) => unit.text.slice(start, end)).join('');
  return {
    ...unit,
    text,
    spans: joinedSpans(unit.spans, stretches),
    tokens: counter.count(text),
    terms: indexTerms(text).terms,
  };
}

/** Where a word stands in the source. */
export function sourceSpans({ spans }: Unit, { start, end }: SentenceWord): Span[] {
  return joinedSpans(spans, [{ start, end }]).map((span) => ({ start: span.start, end: span.end }));
}

function gapAfter(text: string, words: readonly SentenceWord[], from: number, to: number): Span {
  const gaps = Array.from({ length: to - from }, (_, index) => ({
    start: words[from + index]!.end,
    end: words[from + index + 1]!.start,
  }));
  return gaps.find(({ start, end }) => text.slice(start, end).includes('\n')) ?? gaps[0]!;
}

/** Spans cut to stretches of their text, which are put one behind the other. */
function joinedSpans(spans: readonly TextSpan[], stretches: readonly Span[]): TextSpan[] {
  const joined: TextSpan[] = [];
  let first = 0;
  let shift = 0;
  for (const { start, end } of stretches) {
    while (first < spans.length && spans[first]!.at + spans[first]!.length <= start) first++;
    for (const span of cutSpans(spans, first, start, end)) joined.push({ ...span, at: shift + span.at });
    shift += end - start;
  }
  return joined;
}

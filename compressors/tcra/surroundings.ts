import type { Span, State, Unit } from '../contract.js';
import type { Page } from '../page.js';
import { blockField, blockText, isProse } from '../unit.js';
import { queryTerms } from '../words.js';
import { knownNames, type KnownNames, type Surroundings } from './protected-words.js';
import { quotations } from './quotations.js';
import { sentenceWords } from './sentence-words.js';

/** Code in Markdown, and in HTML. */
const CODE = /(`+)[^`][\s\S]*?\1|<(code|kbd|samp|var|tt)\b[^>]*>[\s\S]*?<\/\2\s*>/gi;

/** How far before and behind a sentence the marks of the code that begins or ends it are looked for. */
const MARGIN = 64;

/** What is known around each sentence of a request, found once a document and block. */
export class RequestSurroundings {
  readonly #state: State;
  readonly #query: ReadonlySet<number>;
  readonly #names = new Map<number, KnownNames>();
  #block: { readonly page: Page; readonly block: number; readonly quotations: readonly Span[] } | undefined;

  constructor(state: State) {
    this.#state = state;
    this.#query = new Set(queryTerms(state.query));
  }

  of(unit: Unit, page: Page): Surroundings {
    return {
      query: this.#query,
      names: this.#namesOf(unit.document),
      quotations: this.#quotationsAround(unit, page),
      code: codeIn(unit, this.#state.documents[unit.document]!.content),
    };
  }

  #namesOf(document: number): KnownNames {
    let names = this.#names.get(document);
    if (!names) {
      const texts = this.#state.units
        .filter((unit) => unit.document === document && isProse(unit.layout))
        .map(({ text }) => text);
      this.#names.set(document, (names = knownNames(texts.map(sentenceWords))));
    }
    return names;
  }

  /** A quotation may begin in a sentence before this one, and end in one behind it. */
  #quotationsAround(unit: Unit, page: Page): Span[] {
    if (this.#block?.page !== page || this.#block.block !== unit.block)
      this.#block = { page, block: unit.block, quotations: quotations(blockText(page, unit.block)) };
    if (this.#block.quotations.length === 0) return [];
    const offset = offsetInBlock(unit, page);
    return this.#block.quotations
      .map(({ start, end }) => ({ start: start - offset, end: end - offset }))
      .filter(({ start, end }) => end > 0 && start < unit.text.length);
  }
}

/** Where a sentence begins in its block's text. */
function offsetInBlock({ spans, block }: Unit, page: Page): number {
  const { start, at } = spans[0]!;
  for (let span = blockField(page, block, 'firstSpan'); span < blockField(page, block, 'endSpan'); span++) {
    const field = span * 4;
    if (start < page.spans[field]! || start >= page.spans[field + 1]!) continue;
    return page.spans[field + 2]! - blockField(page, block, 'textStart') + start - page.spans[field]! - at;
  }
  return 0;
}

/** Stretches of a unit's text that its source marks as code. */
function codeIn({ spans, text }: Unit, content: string): Span[] {
  const from = Math.max(0, spans[0]!.start - MARGIN);
  const source = content.slice(from, spans.at(-1)!.end + MARGIN);
  if (!/[`<]/.test(source)) return [];
  const found: Span[] = [];
  for (const { 0: code, index } of source.matchAll(CODE)) {
    const [start, end] = [from + index, from + index + code.length];
    const inside = spans.filter((span) => span.start < end && start < span.end);
    if (inside.length === 0) continue;
    const [first, last] = [inside[0]!, inside.at(-1)!];
    found.push({
      start: first.at + Math.max(0, start - first.start),
      end: Math.min(text.length, last.at + Math.min(last.length, end - last.start)),
    });
  }
  return found;
}

import type { TextSpan, Unit } from './contract.js';
import { BLOCK, LAYOUTS, REGION_WEIGHTS, REGIONS, type Layout, type Page, type Region } from './page.js';
import { splitSentences } from './sentences.js';
import type { TokenCounter } from '../models/token-counter.js';
import { isSpaced } from './words.js';

/** The blocks of a page as units, from block `from` to before `to`. */
export function blockUnits(
  page: Page,
  document: number,
  counter: TokenCounter,
  from = 0,
  to = blockCount(page),
): Unit[] {
  const units: Unit[] = [];
  for (let block = from; block < to; block++) {
    const start = blockField(page, block, 'textStart');
    const end = blockField(page, block, 'textEnd');
    const spans: TextSpan[] = [];
    for (let span = blockField(page, block, 'firstSpan'); span < blockField(page, block, 'endSpan'); span++) {
      const field = span * 4;
      spans.push({
        start: page.spans[field]!,
        end: page.spans[field + 1]!,
        at: page.spans[field + 2]! - start,
        length: page.spans[field + 3]!,
      });
    }
    const text = page.text.slice(start, end);
    units.push({
      document,
      block,
      kind: 'block',
      layout: layoutOf(page, block),
      text,
      spans,
      tokens: counter.count(text),
      terms: termsBetween(page, start, end),
      needs: governors(page, block),
    });
  }
  return units;
}

/** One number for a block of a document, for maps and sets. */
export function blockKey(document: number, block: number): number {
  return document * 2 ** 26 + block;
}

export function blockText(page: Page, block: number): string {
  return page.text.slice(blockField(page, block, 'textStart'), blockField(page, block, 'textEnd'));
}

/** Index terms of a block's text. */
export function blockTerms(page: Page, block: number): Uint32Array {
  return termsBetween(page, blockField(page, block, 'textStart'), blockField(page, block, 'textEnd'));
}

export function blockCount(page: Page): number {
  return page.blocks.length / BLOCK.size;
}

export function blockField(page: Page, block: number, field: Exclude<keyof typeof BLOCK, 'size'>): number {
  return page.blocks[block * BLOCK.size + BLOCK[field]]!;
}

/** What is left of a match's weight where all of its text is links: teasers and menus are made of them. */
const LINKED_WEIGHT = 0.25;

/** How much of a block's text stands inside links, 0 to 1. */
export function linkedShare(page: Page, block: number): number {
  const length = blockField(page, block, 'textEnd') - blockField(page, block, 'textStart');
  return length === 0 ? 0 : Math.min(1, blockField(page, block, 'linked') / length);
}

export function regionOf(page: Page, block: number): Region {
  return REGIONS[blockField(page, block, 'region')]!;
}

/** What a match in a block is worth by where it stands on its page, above 0 and up to 1. */
export function placeWeight(page: Page, block: number): number {
  return REGION_WEIGHTS[regionOf(page, block)] * (1 - (1 - LINKED_WEIGHT) * linkedShare(page, block));
}

/** The sentences of a block; the block itself where it is one, or must stay whole. */
export function sentenceUnits(unit: Unit, page: Page, counter: TokenCounter): readonly Unit[] {
  if (unit.kind !== 'block' || !isProse(unit.layout)) return [unit];
  const bounds = sentenceBounds(unit, page);
  if (bounds.length <= 2) return [unit];
  const origin = blockField(page, unit.block, 'textStart');
  const sentences: Unit[] = [];
  let first = 0;
  for (let i = 0; i < bounds.length; i += 2) {
    const start = bounds[i]!;
    const end = bounds[i + 1]!;
    while (first < unit.spans.length && unit.spans[first]!.at + unit.spans[first]!.length <= start) first++;
    const text = unit.text.slice(start, end);
    sentences.push({
      ...unit,
      kind: 'sentence',
      text,
      spans: cutSpans(unit.spans, first, start, end),
      tokens: counter.count(text),
      terms: termsBetween(page, origin + start, origin + end),
    });
  }
  return sentences;
}

/** Start and end in `page.text` of every sentence of its prose. */
export function pageSentences(page: Page): Int32Array {
  const bounds: number[] = [];
  for (let block = 0; block < blockCount(page); block++) {
    if (!isProse(layoutOf(page, block))) continue;
    const start = blockField(page, block, 'textStart');
    for (const offset of splitSentences(page.text.slice(start, blockField(page, block, 'textEnd'))))
      bounds.push(start + offset);
  }
  return Int32Array.from(bounds);
}

/** Whether blocks of a layout are split into sentences; the others are kept or dropped whole. */
export function isProse(layout: Layout): boolean {
  return layout.type === 'paragraph' || layout.type === 'item' || layout.type === 'quote';
}

/** Between two parts of one block: nothing where they touch in the source, or where their script sets no spaces. */
export function gapBetween(previous: Unit, unit: Unit): string {
  const areVerbatim = previous.origin === undefined && unit.origin === undefined;
  if (areVerbatim && previous.spans.at(-1)!.end === unit.spans[0]!.start) return '';
  return isSpaced(previous.text.slice(-1), unit.text.slice(0, 1)) ? ' ' : '';
}

function sentenceBounds(unit: Unit, page: Page): Int32Array {
  if (!page.sentences) return splitSentences(unit.text);
  const start = blockField(page, unit.block, 'textStart');
  const from = lowerBound(page.sentences, start);
  const to = lowerBound(page.sentences, start + unit.text.length + 1);
  return page.sentences.slice(from, to).map((offset) => offset - start);
}

/** The spans from index `first` on, cut to a stretch of their text. A character reference is never cut. */
export function cutSpans(spans: readonly TextSpan[], first: number, start: number, end: number): TextSpan[] {
  const cut: TextSpan[] = [];
  for (let index = first; index < spans.length && spans[index]!.at < end; index++) {
    const span = spans[index]!;
    const from = Math.max(span.at, start);
    const to = Math.min(span.at + span.length, end);
    const isReference = span.length !== span.end - span.start;
    cut.push(
      isReference
        ? { ...span, at: span.at - start }
        : {
            start: span.start + from - span.at,
            end: span.start + to - span.at,
            at: from - start,
            length: to - from,
          },
    );
  }
  return cut;
}

function layoutOf(page: Page, block: number): Layout {
  const detail = blockField(page, block, 'detail');
  const extra = blockField(page, block, 'extra');
  const type = LAYOUTS[blockField(page, block, 'layout')]!;
  switch (type) {
    case 'heading':
      return { type, level: detail };
    case 'item':
      return { type, depth: detail, marker: page.names[extra]! };
    case 'row':
      return { type, table: detail, header: extra === 1 };
    case 'code':
      return { type, language: page.names[detail]! };
    default:
      return { type };
  }
}

/** More than this many blocks above one, in lists inside lists, say nothing more of it. */
const MOST_GOVERNORS = 12;

/**
 * Up the chain to the nearest heading, and the headings above that below the page's own: what must stand beside a block
 * for it to make sense. "Added" says little without the version that it stands under.
 */
function governors(page: Page, block: number): readonly number[] {
  const chain: number[] = [];
  if (isHeading(page, block)) return chain;
  for (
    let at = blockField(page, block, 'governor');
    at >= 0 && chain.length < MOST_GOVERNORS;
    at = blockField(page, at, 'governor')
  ) {
    if (chain.some((below) => isHeading(page, below)) && blockField(page, at, 'detail') === 1) break;
    chain.push(at);
  }
  return chain;
}

/** Whether a block is a heading. */
export function isHeading(page: Page, block: number): boolean {
  return LAYOUTS[blockField(page, block, 'layout')] === 'heading';
}

function termsBetween(page: Page, start: number, end: number): Uint32Array {
  return page.terms.subarray(lowerBound(page.termAt, start), lowerBound(page.termAt, end));
}

/** First index whose value is not below `value`, in an ascending array. */
export function lowerBound(ascending: ArrayLike<number>, value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ascending[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

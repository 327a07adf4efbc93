import { ENDING_LENGTH, isLine, leadInOf } from './lead-in.js';
import { BLOCK, LAYOUTS, REGIONS, type Format, type Layout, type Page, type Region } from './page.js';
import { indexTerms, isSpace } from './words.js';

/** Text beyond which a section of a page without a tree is continued in another: about 256 words. */
const SECTION_LENGTH = 1_500;

export interface BlockOptions {
  readonly layout: Layout;
  /** Index returned by `open` for the block that governs this one. */
  readonly governor?: number;
  /** Sections follow the headings where absent. */
  readonly subtree?: number;
  readonly node?: number;
  readonly region?: Region;
  /** White space is kept as it is. Default false. */
  readonly preformatted?: boolean;
}

interface Lead {
  readonly block: number;
  readonly isQuestion: boolean;
  readonly region: Region;
  /** To how many blocks more it leads in; to any number of items and rows that come next. */
  readonly left: number;
}

/** Paragraphs of an answer, where the question stands above it as a heading would. */
const ANSWER_PARAGRAPHS = 3;

/** Builds a page block by block, in source order, collapsing white space and keeping every offset. */
export class PageBuilder {
  title: string | undefined;
  readonly #format: Format;
  readonly #source: string;
  readonly #text: string[] = [];
  readonly #blocks: number[] = [];
  readonly #spans: number[] = [];
  readonly #nodes: number[] = [];
  readonly #names: string[] = [];
  readonly #nameIndex = new Map<string, number>();
  readonly #omissions = new Map<string, number[]>();
  #length = 0;
  #options: BlockOptions | undefined;
  #start = 0;
  #firstSpan = 0;
  #linked = 0;
  #joiner = '';
  #cells = 0;
  #section = 0;
  #sectionLength = 0;
  #inLink = false;
  /** The block that what follows is read with. */
  #lead: Lead | undefined;

  constructor(format: Format, source: string) {
    this.#format = format;
    this.#source = source;
  }

  /** Number of blocks so far, the open one excluded; the index that the open block gets if it has text. */
  get count(): number {
    return this.#blocks.length / BLOCK.size;
  }

  /** Layout of the open block. */
  get openLayout(): Layout | undefined {
    return this.#options?.layout;
  }

  /** Opens a block and closes the one before. A block that gets no text leaves no trace. */
  open(options: BlockOptions): void {
    this.close();
    this.#options = options;
    this.#start = this.#length;
    this.#firstSpan = this.#spans.length / 4;
  }

  /**
   * Closes the open block. What leads in to the next, by a question, a colon or as a strong line, governs it, or the
   * items or rows of it; a strong question the paragraphs of its answer.
   * @param isStrong whether all of its text is set so
   * @returns its index, or -1 where it had no text
   */
  close(isStrong = false): number {
    const options = this.#options;
    if (!options) return -1;
    this.#options = undefined;
    this.#joiner = '';
    this.#cells = 0;
    const linked = this.#linked;
    this.#linked = 0;
    if (this.#length === this.#start) return -1;
    const index = this.count;
    const { layout } = options;
    let detail = 0;
    let extra = 0;
    if (layout.type === 'heading') detail = layout.level;
    else if (layout.type === 'item') [detail, extra] = [layout.depth, this.#name(layout.marker)];
    else if (layout.type === 'row') [detail, extra] = [layout.table, layout.header ? 1 : 0];
    else if (layout.type === 'code') detail = this.#name(layout.language);
    this.#blocks.push(
      this.#start,
      this.#length,
      this.#firstSpan,
      this.#spans.length / 4,
      LAYOUTS.indexOf(layout.type),
      detail,
      extra,
      Math.max(options.governor ?? -1, this.#introduce(index, options, isStrong)),
      options.subtree ?? this.#sectionOf(layout, this.#length - this.#start),
      options.node ?? -1,
      linked,
      REGIONS.indexOf(options.region ?? 'content'),
    );
    this.#push('\n');
    return index;
  }

  /** @returns the block that leads in to this one, or -1; this one may lead in to the next */
  #introduce(block: number, { layout, region = 'content' }: BlockOptions, isStrong: boolean): number {
    const { type } = layout;
    const length = this.#length - this.#start;
    const isProse = type === 'paragraph' || type === 'item' || type === 'quote';
    const ending = this.#ending(length);
    const kind = isProse ? leadInOf(ending, length) : undefined;
    const isQuestion = kind === 'question';
    const lead = this.#lead;
    const isOfList = type === 'item' || type === 'row';
    const isLed =
      lead !== undefined &&
      type !== 'heading' &&
      region === lead.region &&
      (isOfList || lead.left > 0) &&
      // One question is no answer to another, and a strong line ends one.
      !(lead.isQuestion && (isQuestion || isStrong));
    if (kind !== undefined || (isStrong && type === 'paragraph' && isLine(ending, length)))
      this.#lead = { block, isQuestion, region, left: isQuestion && isStrong ? ANSWER_PARAGRAPHS : 1 };
    else if (isLed && (isOfList || lead.left > 1)) this.#lead = { ...lead, left: lead.left - 1 };
    else this.#lead = undefined;
    return isLed ? lead.block : -1;
  }

  /** The last of the open block's text. */
  #ending(length: number): string {
    let ending = '';
    for (let at = this.#text.length - 1; ending.length < Math.min(length, ENDING_LENGTH); at--)
      ending = this.#text[at]! + ending;
    return ending;
  }

  /** Whether the text that follows stands inside a link. */
  set inLink(value: boolean) {
    this.#inLink = value;
  }

  /** Adds the source from `start` to `end` to the open block, as it stands but for white space. */
  raw(start: number, end: number): void {
    const options = this.#options;
    if (!options || start >= end) return;
    if (options.preformatted) {
      this.#span(start, end, this.#source.slice(start, end));
      return;
    }
    const source = this.#source;
    let at = start;
    while (at < end) {
      while (at < end && isSpace(source.charCodeAt(at))) {
        this.joiner(' ');
        at++;
      }
      if (at >= end) return;
      const from = at;
      // A single space between two words is part of the span; any other white space ends it, and so does a soft hyphen.
      while (at < end) {
        const code = source.charCodeAt(at);
        if (code === SOFT_HYPHEN) break;
        if (!isSpace(code)) at++;
        else if (code === 32 && at + 1 < end && isInk(source.charCodeAt(at + 1))) at += 2;
        else break;
      }
      if (at > from) this.#span(from, at, source.slice(from, at));
      else at++;
    }
  }

  /** Adds a character reference: the source from `start` to `end` stands for `text`. */
  decoded(start: number, end: number, text: string): void {
    const options = this.#options;
    if (!options || text === '') return;
    if (!options.preformatted && isSpace(text.charCodeAt(0))) this.joiner(' ');
    else if (options.preformatted || text.charCodeAt(0) !== SOFT_HYPHEN) this.#span(start, end, text);
  }

  /**
   * Puts text that is not the source's before the next span of this block, if there is one; the longest wins, and a
   * line break over a space.
   */
  joiner(text: string): void {
    if (!this.#options || this.#length === this.#start) return;
    if (text.length > this.#joiner.length || (text === '\n' && this.#joiner === ' ')) this.#joiner = text;
  }

  /** Begins a cell of a table row. Empty cells keep their place: ` | ` stands between two cells. */
  cell(): void {
    this.#cells++;
  }

  /** Adds an element above blocks; returns its index for `node`. */
  node(parent: number, name: string): number {
    this.#nodes.push(parent, this.#name(name));
    return this.#nodes.length / 2 - 1;
  }

  /** Records that the source from `start` to `end` is left out. */
  omit(reason: string, start: number, end: number): void {
    if (start >= end) return;
    const spans = this.#omissions.get(reason);
    if (!spans) this.#omissions.set(reason, [start, end]);
    else if (spans.at(-1) === start) spans[spans.length - 1] = end;
    else spans.push(start, end);
  }

  finish(): Page {
    this.close();
    const text = this.#text.join('');
    const { terms, at } = indexTerms(text);
    return {
      format: this.#format,
      title: this.title,
      text,
      blocks: Int32Array.from(this.#blocks),
      spans: Int32Array.from(this.#spans),
      terms,
      termAt: at,
      nodes: Int32Array.from(this.#nodes),
      names: this.#names,
      omissions: [...this.#omissions].map(([reason, spans]) => ({ reason, spans: Int32Array.from(spans) })),
    };
  }

  #span(start: number, end: number, text: string): void {
    if (this.#cells > 0) {
      const bars = this.#length > this.#start ? ' |'.repeat(this.#cells) : '|'.repeat(this.#cells - 1);
      this.#joiner = bars === '' ? '' : `${bars} `;
      this.#cells = 0;
    }
    if (this.#joiner !== '') {
      this.#push(this.#joiner);
      this.#joiner = '';
    }
    if (this.#inLink) this.#linked += text.length;
    const spans = this.#spans;
    const last = spans.length - 4;
    const continues =
      last / 4 >= this.#firstSpan &&
      spans[last + 1] === start &&
      this.#length === spans[last + 2]! + spans[last + 3]! &&
      spans[last + 3] === spans[last + 1]! - spans[last]! &&
      end - start === text.length;
    if (continues) {
      spans[last + 1] = end;
      spans[last + 3]! += text.length;
    } else {
      spans.push(start, end, this.#length, text.length);
    }
    this.#push(text);
  }

  #push(text: string): void {
    this.#text.push(text);
    this.#length += text.length;
  }

  #name(name: string): number {
    let index = this.#nameIndex.get(name);
    if (index === undefined) {
      index = this.#names.push(name) - 1;
      this.#nameIndex.set(name, index);
    }
    return index;
  }

  #sectionOf(layout: Layout, length: number): number {
    const opens =
      layout.type === 'heading' || (this.#sectionLength > SECTION_LENGTH && layout.type !== 'row');
    if (opens && this.#sectionLength > 0) {
      this.#section++;
      this.#sectionLength = 0;
    }
    // A run of headings stays in one section, with the text that it introduces.
    if (layout.type !== 'heading') this.#sectionLength += length;
    return this.#section;
  }
}

/** Where a word may be broken at the end of a line: no part of the word. */
const SOFT_HYPHEN = 0xad;

function isInk(code: number): boolean {
  return code !== SOFT_HYPHEN && !isSpace(code);
}

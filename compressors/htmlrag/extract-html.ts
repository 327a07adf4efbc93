import { isLine } from '../lead-in.js';
import type { Layout, Region } from '../page.js';
import type { PageBuilder } from '../page-builder.js';
import type { Steps } from '../steps.js';
import { isSpaceless, isWordCode } from '../words.js';
import { clean, MAX_NODE_WORDS, splitBlocks, textOf, type CleanedTree } from './block-tree.js';
import { dataTable, type DataTable } from './data-table.js';
import {
  attributeOf,
  CLOSE,
  elementTree,
  headingLevel,
  OMITTED,
  OPEN,
  TEXT,
  wholeNumber,
  type ElementTree,
} from './element-tree.js';
import { Regions } from './regions.js';

/** Elements that break the line of text they stand in (HTML Living Standard §15.3). */
const BLOCK_ELEMENTS = new Set(
  `address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure footer form
   h1 h2 h3 h4 h5 h6 header hgroup hr html legend li listing main menu nav ol optgroup option p plaintext pre search section
   summary table tbody td tfoot th thead title tr ul xmp item entry channel rss feed`.split(/\s+/),
);

/** Elements that show no text of the page's own, and why they are left out. */
const LEFT_OUT: ReadonlyMap<string, string> = new Map([
  ['noscript', 'shown without scripts only'],
  ['iframe', 'embedded page'],
  ['object', 'embedded object'],
  ['svg', 'drawing'],
  ['canvas', 'drawing'],
  ['audio', 'media fallback'],
  ['video', 'media fallback'],
  ['button', 'form control'],
  ['select', 'form control'],
  ['datalist', 'form control'],
  ['textarea', 'form control'],
  ['rp', 'reading aid'],
  ['rt', 'reading aid'],
]);

/** Elements that stand between the words around them like a word of their own. */
const REPLACED = new Set('audio button canvas iframe img input object select svg textarea video'.split(' '));

const STRONG = new Set(['b', 'strong']);

/** Classes of what publishing tools set beside the text: links to a heading itself, edit links, marks of footnotes. */
const MARKS = /(?:^|\s)(?:headerlink|header-anchor|anchorjs-link|mw-editsection|reference)(?:$|\s)/;

/** Longer text is no mark, whatever its class. */
const LONGEST_MARK = 32;

/** Lists inside lists are indented to this depth. */
const DEEPEST_LIST = 9;

/** Reads a page into its blocks, in one walk over its elements. */
export function* extractHtml(source: string, builder: PageBuilder): Steps<void> {
  const tree = yield* elementTree(source);
  yield;
  const cleaned = clean(source, tree);
  yield;
  const { blockOf } = splitBlocks(tree, cleaned, MAX_NODE_WORDS);
  yield;
  new Walk(source, tree, cleaned, blockOf, builder).run();
  yield;
}

/** What an element means for the text inside it. */
interface Frame {
  readonly element: number;
  readonly region: Region;
  readonly layout: Layout;
  readonly governor: number;
  readonly preformatted: boolean;
  /** The list item, definition or disclosure around it, with its first block, -1 until there is one. */
  readonly item: { block: number } | undefined;
  /** How many lists stand around it, and the innermost if it counts its items. */
  readonly lists: number;
  readonly numbered: { next: number } | undefined;
  /** The terms of the innermost definition list. */
  readonly terms: Terms | undefined;
  readonly table: DataTable | undefined;
  readonly inRow: boolean;
  readonly inArticle: boolean;
  /** What its blocks are to others. */
  readonly role: 'term' | 'caption' | undefined;
}

interface Terms {
  /** Block of the last term, or -1. */
  block: number;
  /** Whether a definition has followed it. */
  isDefined: boolean;
}

const ROOT_FRAME: Frame = {
  element: -1,
  region: 'content',
  layout: { type: 'paragraph' },
  governor: -1,
  preformatted: false,
  item: undefined,
  lists: 0,
  numbered: undefined,
  terms: undefined,
  table: undefined,
  inRow: false,
  inArticle: false,
  role: undefined,
};

const PARAGRAPH: Layout = { type: 'paragraph' };

// What stands between two texts of a line.
const TOUCHING = 0;
const AFTER_TAG = 1;
const BETWEEN_TAGS = 2;

class Walk {
  readonly #source: string;
  readonly #tree: ElementTree;
  readonly #cleaned: CleanedTree;
  readonly #blockOf: Int32Array;
  readonly #builder: PageBuilder;
  readonly #regions: Regions;
  readonly #stack: Frame[] = [];
  readonly #nodes = new Map<number, number>();
  /** Lists and tables, without which their items and rows mean nothing: they stay above a single one, too. */
  readonly #holders = new Set<number>();
  /** Index of the last block of each heading level, 1 to 6; -1 for none. */
  #headings = [-1, -1, -1, -1, -1, -1, -1];
  readonly #savedHeadings = new Map<number, number[]>();
  #tables = 0;
  #links = 0;
  /** How many elements that set text strong are open. */
  #strongs = 0;
  /** The block before, where it is a paragraph; -1 where it is none. */
  #paragraph = { block: -1, frame: ROOT_FRAME, hasColon: false, isLine: false };
  /** The frame and layout of the open block, how much text it has, how much of that is strong, and the last of it. */
  #open: Frame | undefined;
  #layout: Layout = PARAGRAPH;
  #length = 0;
  #strong = 0;
  #last = '';
  #seam = TOUCHING;
  #breaks = 0;
  /** White space at the end of preformatted text, which counts only where more follows. */
  #trailing: readonly [start: number, end: number] | undefined;
  /** Place of the event at hand. */
  #event = 0;

  constructor(
    source: string,
    tree: ElementTree,
    cleaned: CleanedTree,
    blockOf: Int32Array,
    builder: PageBuilder,
  ) {
    this.#source = source;
    this.#tree = tree;
    this.#cleaned = cleaned;
    this.#blockOf = blockOf;
    this.#builder = builder;
    this.#regions = new Regions(source, tree);
  }

  run(): void {
    const { events, omitted, names, starts, ends } = this.#tree;
    for (let i = 0; i < omitted.length; i += 3)
      this.#builder.omit(OMITTED[omitted[i + 2]!]!, omitted[i]!, omitted[i + 1]!);
    for (let i = 0; i < events.length; i += 2) {
      const value = events[i + 1]!;
      this.#event = i;
      if (events[i] === OPEN) {
        const reason = this.#leftOut(value);
        if (reason === undefined) this.#enter(value);
        else {
          if (reason !== '') {
            this.#builder.omit(reason, starts[value]!, ends[value]!);
            if (names[value] === 'title') this.#builder.title ??= this.#textOf(value);
          }
          if (REPLACED.has(names[value]!)) this.#seam = BETWEEN_TAGS;
          else if (BLOCK_ELEMENTS.has(names[value]!)) this.#passOver(reason === '');
          // Past all that stands inside.
          while (events[i] !== CLOSE || events[i + 1] !== value) i += 2;
        }
      } else if (events[i] === CLOSE) this.#leave(value);
      else this.#text(value);
    }
    this.#endBlock();
  }

  /** An empty block still ends the line before it; of one that is left out only words keep apart. */
  #passOver(isEmpty: boolean): void {
    if (!this.#open) return;
    const frame = this.#stack.at(-1) ?? ROOT_FRAME;
    if (frame.preformatted) this.#builder.joiner('\n');
    else if (!isEmpty) this.#seam = BETWEEN_TAGS;
    else if (frame.inRow || frame.layout.type === 'heading') this.#builder.joiner(' ');
    else this.#endBlock();
  }

  /** Why an element is left out; '' where it has no text to begin with. */
  #leftOut(element: number): string | undefined {
    const { names, parents, firstAttribute, attributes } = this.#tree;
    const name = names[element]!;
    if (name === 'br' || name === 'hr' || name === 'wbr') return undefined;
    const isEmpty = this.#cleaned.textStart[element] === this.#cleaned.textEnd[element];
    // An empty cell keeps its column.
    if (isEmpty && name !== 'td' && name !== 'th') return '';
    if (name === 'title') {
      if (this.#builder.title === undefined) return 'title: shown above the document';
      const parent = parents[element]!;
      if (parent < 0 || names[parent] === 'head' || names[parent] === 'html') return 'second title';
    }
    if (name === 'tr' && this.#stack.at(-1)?.table?.isRepeated(element)) return 'column names again';
    const known = LEFT_OUT.get(name);
    if (known !== undefined && !this.#isShown(element, name)) return known;
    const end = firstAttribute[element + 1] ?? attributes.length;
    if (
      name === 'dialog' &&
      this.#attribute(element, 'open') === undefined &&
      !this.#regions.isMarkedMain(element)
    )
      return 'hidden';
    if (firstAttribute[element] === end || name === 'html' || name === 'body') return undefined;
    if (
      (name === 'a' || name === 'sup' || name === 'span') &&
      this.#cleaned.textEnd[element]! - this.#cleaned.textStart[element]! <= LONGEST_MARK &&
      MARKS.test(this.#attribute(element, 'class') ?? '')
    )
      return 'link mark';
    // Pages show their content by a script, too.
    return this.#isHidden(element) && !this.#regions.isMarkedMain(element) ? 'hidden' : undefined;
  }

  /** What is left out elsewhere: a button that unfolds what its heading says, a page that has little but its `noscript`. */
  #isShown(element: number, name: string): boolean {
    if (name === 'noscript') return this.#regions.isMain(element);
    const frame = this.#stack.at(-1);
    return (
      name === 'button' &&
      frame !== undefined &&
      (frame.layout.type === 'heading' ||
        frame.role === 'term' ||
        this.#tree.names[frame.element] === 'summary')
    );
  }

  #isHidden(element: number): boolean {
    const hidden = this.#attribute(element, 'hidden');
    if (hidden !== undefined && hidden !== 'until-found') return true;
    if (this.#attribute(element, 'aria-hidden') === 'true') return true;
    const style = this.#attribute(element, 'style');
    return style !== undefined && /(?:display\s*:\s*none|visibility\s*:\s*hidden)/i.test(style);
  }

  #textOf(element: number): string {
    const { text, textStart, textEnd } = this.#cleaned;
    return text.slice(textStart[element], textEnd[element]).replace(/\s+/g, ' ').trim();
  }

  #enter(element: number): void {
    const name = this.#tree.names[element]!;
    if (name === 'br') {
      this.#break();
      return;
    }
    if (name === 'a') this.#setLinks(this.#links + 1);
    else if (STRONG.has(name)) this.#strongs++;
    if (!BLOCK_ELEMENTS.has(name)) {
      // Between `</b>` and `<i>` as between words; between a word and its index as there.
      if (this.#seam === AFTER_TAG && name !== 'sub' && name !== 'sup') this.#seam = BETWEEN_TAGS;
      return;
    }
    const above = this.#stack.at(-1) ?? ROOT_FRAME;
    if (above.preformatted) {
      this.#builder.joiner('\n');
      return;
    }
    if (above.inRow && name !== 'tr' && name !== 'table') {
      if ((name === 'td' || name === 'th') && above.table) this.#cell(above.table, element);
      else this.#builder.joiner(' ');
      return;
    }
    this.#endBlock();
    const frame = this.#frame(element, name, above);
    this.#stack.push(frame);
    if (frame.inRow) this.#openBlock(frame);
  }

  #frame(element: number, name: string, above: Frame): Frame {
    const region = this.#region(element, name, above);
    // The headings of a page's header are those of what follows.
    if (region !== above.region && region !== 'header') this.#savedHeadings.set(element, [...this.#headings]);
    const base: Frame = {
      element,
      region,
      layout: above.layout,
      governor: above.governor,
      preformatted: above.preformatted,
      item: above.item,
      lists: above.lists,
      numbered: above.numbered,
      terms: above.terms,
      table: above.table,
      inRow: false,
      inArticle: above.inArticle || name === 'article',
      role: above.role,
    };
    const level = headingLevel(name);
    if (level > 0) return { ...base, layout: { type: 'heading', level }, item: undefined };
    switch (name) {
      case 'ul':
      case 'ol':
      case 'menu':
      case 'dir':
        this.#holders.add(element);
        return {
          ...base,
          layout: PARAGRAPH,
          governor: this.#leadIn(element, above),
          item: undefined,
          lists: above.lists + 1,
          numbered: name === 'ol' ? this.#numbering(element) : undefined,
        };
      case 'li':
        return {
          ...base,
          layout: { type: 'item', depth: listDepth(above), marker: this.#marker(element, above) },
          item: { block: -1 },
        };
      case 'dl':
        this.#holders.add(element);
        return {
          ...base,
          layout: PARAGRAPH,
          governor: this.#leadIn(element, above),
          item: undefined,
          lists: above.lists + 1,
          terms: { block: -1, isDefined: false },
        };
      case 'dt': {
        const { terms } = above;
        // Terms in a row have their definition in common.
        const governor = terms && terms.block >= 0 && !terms.isDefined ? terms.block : above.governor;
        return { ...base, layout: PARAGRAPH, governor, item: undefined, role: 'term' };
      }
      case 'dd':
        if (above.terms) above.terms.isDefined = true;
        return {
          ...base,
          layout: { type: 'item', depth: listDepth(above), marker: '-' },
          governor: above.terms && above.terms.block >= 0 ? above.terms.block : above.governor,
          item: { block: -1 },
        };
      case 'details':
        // What it unfolds hangs on its summary.
        return { ...base, item: { block: -1 } };
      case 'blockquote':
        return { ...base, layout: { type: 'quote' }, governor: this.#leadIn(element, above) };
      case 'pre':
      case 'listing':
      case 'xmp':
      case 'plaintext':
        return {
          ...base,
          layout: { type: 'code', language: this.#language(element) },
          governor: this.#leadIn(element, above),
          preformatted: true,
        };
      case 'table': {
        const table = dataTable(this.#tree, this.#cleaned, element, this.#tables + 1);
        if (table) {
          this.#tables++;
          this.#holders.add(element);
        }
        const governor = table ? this.#leadIn(element, above) : above.governor;
        return { ...base, layout: PARAGRAPH, governor, item: undefined, table, role: undefined };
      }
      case 'caption':
        return { ...base, role: above.table ? 'caption' : undefined };
      case 'title':
        return { ...base, layout: { type: 'heading', level: 2 }, item: undefined };
      case 'tr': {
        const { table } = above;
        if (!table) return base;
        const layout: Layout = { type: 'row', table: table.number, header: table.isHeader(element) };
        return {
          ...base,
          layout,
          governor: Math.max(table.openRow(element), above.governor),
          inRow: true,
          role: undefined,
        };
      }
      default:
        return base;
    }
  }

  /** A cell, and before it the empty ones where cells above or beside it reach in. */
  #cell(table: DataTable, element: number): void {
    for (let begun = table.cell(element); begun > 0; begun--) this.#builder.cell();
  }

  #leave(element: number): void {
    const name = this.#tree.names[element]!;
    if (name === 'a') this.#setLinks(Math.max(0, this.#links - 1));
    else if (STRONG.has(name)) this.#strongs = Math.max(0, this.#strongs - 1);
    const frame = this.#stack.at(-1);
    if (frame?.element !== element) {
      if (!BLOCK_ELEMENTS.has(name)) this.#seam = name === 'wbr' ? TOUCHING : Math.max(this.#seam, AFTER_TAG);
      else if (frame?.preformatted) this.#builder.joiner('\n');
      else if (frame?.inRow) this.#builder.joiner(' ');
      return;
    }
    this.#endBlock();
    this.#stack.pop();
    const saved = this.#savedHeadings.get(element);
    if (saved) {
      this.#headings = saved;
      this.#savedHeadings.delete(element);
    }
  }

  #text(index: number): void {
    const { texts, references } = this.#tree;
    const text = textOf(this.#source, texts, references, index);
    const isBlank = !/[^\s\u200b]/.test(text);
    const frame = this.#stack.at(-1) ?? ROOT_FRAME;
    let start = texts[index]!;
    const end = texts[index + 1]!;
    const isRaw = texts[index + 2] === -1;
    if (!this.#open) {
      if (isBlank) return;
      this.#openBlock(frame);
      // The first line of preformatted text keeps its indentation.
      if (frame.preformatted && isRaw) start += /^(?:\s*\n)?/.exec(text)![0].length;
    }
    if (frame.preformatted) {
      this.#preformatted(start, end, isRaw ? undefined : text);
    } else {
      if (this.#seam === BETWEEN_TAGS && isWordEnd(this.#last) && isWordCode(text.charCodeAt(0)))
        this.#builder.joiner(' ');
      if (isRaw) this.#builder.raw(start, end);
      else this.#builder.decoded(start, end, text);
    }
    this.#seam = TOUCHING;
    if (isBlank) {
      if (!this.#last.endsWith(' ')) this.#last += ' ';
      return;
    }
    this.#last = text;
    this.#breaks = 0;
    this.#length += text.length;
    if (this.#strongs > 0) this.#strong += text.length;
  }

  #preformatted(start: number, end: number, reference: string | undefined): void {
    if (this.#trailing) this.#builder.raw(...this.#trailing);
    this.#trailing = undefined;
    if (reference !== undefined) {
      this.#builder.decoded(start, end, reference);
      return;
    }
    let last = end;
    while (last > start && /\s/.test(this.#source[last - 1]!)) last--;
    this.#builder.raw(start, last);
    if (last < end) this.#trailing = [last, end];
  }

  /** A line break: one ends a line, two a paragraph. */
  #break(): void {
    const frame = this.#stack.at(-1) ?? ROOT_FRAME;
    if (!this.#open) return;
    if (frame.preformatted) this.#builder.joiner('\n');
    else if (frame.inRow || frame.layout.type === 'heading') this.#builder.joiner(' ');
    else if (this.#breaks++ > 0) this.#endBlock();
    else this.#builder.joiner(this.#goesOn() ? ' ' : '\n');
  }

  /** Whether what follows a line break continues its sentence: in lower case, or in a script that has no other. */
  #goesOn(): boolean {
    const { events, texts, references } = this.#tree;
    // Past the break's own end.
    const next = this.#event + 4;
    if (events[next] !== TEXT) return false;
    const index = events[next + 1]!;
    const first = /\S/.exec(textOf(this.#source, texts, references, index).slice(0, 64))?.[0] ?? '';
    if (/\p{Ll}/u.test(first)) return true;
    const last = this.#last.trimEnd();
    return isSpaceless(first.charCodeAt(0)) && isSpaceless(last.charCodeAt(last.length - 1));
  }

  #openBlock(frame: Frame): void {
    let { layout } = frame;
    let governor: number;
    if (layout.type === 'heading') {
      governor = this.#headings.slice(1, layout.level).findLast((block) => block >= 0) ?? -1;
    } else {
      governor = Math.max(frame.governor, this.#heading());
      if (frame.item && frame.item.block >= 0) {
        // What follows in an item after its first paragraph hangs on it.
        governor = Math.max(governor, frame.item.block);
        if (layout.type === 'item') layout = PARAGRAPH;
      }
    }
    const { element } = frame;
    this.#builder.open({
      layout,
      governor,
      subtree: this.#blockOf[element >= 0 ? element : this.#blockOf.length - 1]!,
      node: this.#node(element),
      region: frame.region,
      preformatted: frame.preformatted,
    });
    this.#open = frame;
    this.#layout = layout;
    this.#length = 0;
    this.#strong = 0;
    this.#last = '';
    this.#seam = TOUCHING;
    this.#breaks = 0;
    this.#builder.inLink = this.#links > 0;
  }

  /** Closes the open block. Only one that has text governs others. */
  #endBlock(): void {
    const frame = this.#open;
    if (!frame) return;
    this.#open = undefined;
    this.#trailing = undefined;
    const layout = this.#layout;
    const block = this.#builder.close(this.#strong === this.#length);
    if (frame.inRow) frame.table?.closeRow(block);
    if (block < 0) return;
    if (layout.type === 'heading') {
      this.#headings[layout.level] = block;
      this.#headings.fill(-1, layout.level + 1);
    }
    if (frame.item && frame.item.block < 0 && layout.type !== 'code') frame.item.block = block;
    if (frame.role === 'term' && frame.terms) {
      frame.terms.block = block;
      frame.terms.isDefined = false;
    }
    if (frame.role === 'caption' && frame.table) frame.table.caption = block;
    this.#paragraph = {
      block: layout.type === 'paragraph' ? block : -1,
      frame,
      hasColon: /[:：]\s*$/.test(this.#last),
      isLine: isLine(this.#last, this.#length),
    };
  }

  #heading(): number {
    return this.#headings.findLast((block) => block >= 0) ?? -1;
  }

  /** What a list, table, quotation or listing is read with: the line before it, the item around it, or what that needs. */
  #leadIn(element: number, above: Frame): number {
    return Math.max(this.#lead(element, above), above.item?.block ?? -1, above.governor);
  }

  /** The paragraph before, where it leads in: it ends in a colon, or is a short line beside the list or table. */
  #lead(element: number, above: Frame): number {
    const { frame, block, hasColon, isLine } = this.#paragraph;
    if (block < 0 || frame.region !== above.region) return -1;
    if (hasColon) return block;
    const { names, parents } = this.#tree;
    const parent = parents[element]!;
    const isBeside = parent === frame.element || parent === (parents[frame.element] ?? -1);
    const name = names[element]!;
    return isLine && isBeside && name !== 'pre' && name !== 'blockquote' ? block : -1;
  }

  #numbering(list: number): Frame['numbered'] {
    // Counting down takes the number of items: their own numbers would be wrong.
    if (this.#attribute(list, 'reversed') !== undefined) return undefined;
    return { next: wholeNumber(this.#attribute(list, 'start')) ?? 1 };
  }

  #marker(element: number, { numbered }: Frame): string {
    if (!numbered) return '-';
    const number = wholeNumber(this.#attribute(element, 'value')) ?? numbered.next;
    numbered.next = number + 1;
    return `${number}.`;
  }

  #setLinks(links: number): void {
    this.#links = links;
    this.#builder.inLink = links > 0;
  }

  #attribute(element: number, name: string): string | undefined {
    return attributeOf(this.#tree, element, name);
  }

  /** The language that a highlighter is told, on the element or the `code` inside it. */
  #language(element: number): string {
    const named = [element, element + 1]
      .filter(
        (at) => at === element || (this.#tree.parents[at] === element && this.#tree.names[at] === 'code'),
      )
      .map(
        (at) =>
          /(?:^|\s)(?:lang(?:uage)?-|brush:\s*)([\w+#.-]+)/.exec(this.#attribute(at, 'class') ?? '')?.[1],
      );
    return named.find((language) => language !== undefined) ?? '';
  }

  #region(element: number, name: string, above: Frame): Region {
    if (above.region !== 'content' && above.region !== 'header') return above.region;
    if (name === 'body' || name === 'html' || name === 'main') return above.region;
    return this.#regions.of(element, above.inArticle) ?? above.region;
  }

  /** The page's node for an element: elements that only wrap another are passed over. */
  #node(element: number): number {
    const path: number[] = [];
    let at = element;
    for (; at >= 0 && !this.#nodes.has(at); at = this.#tree.parents[at]!) path.push(at);
    let node = at >= 0 ? this.#nodes.get(at)! : -1;
    for (const next of path.reverse()) {
      const name = this.#tree.names[next]!;
      const passed = this.#cleaned.unwrapped[next] === 1 && next !== element && !this.#holders.has(next);
      if (!passed && BLOCK_ELEMENTS.has(name) && name !== 'html' && name !== 'body')
        node = this.#builder.node(node, name);
      this.#nodes.set(next, node);
    }
    return node;
  }
}

function listDepth({ lists }: Frame): number {
  return Math.min(DEEPEST_LIST, Math.max(0, lists - 1));
}

function isWordEnd(text: string): boolean {
  return text !== '' && isWordCode(text.charCodeAt(text.length - 1));
}

import type { Layout } from '../contract.js';
import type { PageBuilder, Region } from '../page.js';
import { clean, MAX_NODE_WORDS, splitBlocks, textOf, type CleanedTree } from './block-tree.js';
import { attributeOf, CLOSE, elementTree, OMITTED, OPEN, type ElementTree } from './element-tree.js';

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
  ['rp', 'ruby parenthesis'],
]);

const LANDMARKS: ReadonlyMap<string, Region> = new Map([
  ['nav', 'navigation'],
  ['aside', 'complementary'],
  ['footer', 'footer'],
  ['header', 'header'],
  ['form', 'form'],
  ['menu', 'navigation'],
]);

const ROLES: ReadonlyMap<string, Region> = new Map([
  ['navigation', 'navigation'],
  ['menu', 'navigation'],
  ['menubar', 'navigation'],
  ['tablist', 'navigation'],
  ['complementary', 'complementary'],
  ['banner', 'header'],
  ['contentinfo', 'footer'],
  ['search', 'form'],
  ['form', 'form'],
  ['dialog', 'complementary'],
  ['alertdialog', 'complementary'],
]);

/** Words of classes and ids that sites use for what stands around their content. */
const BOILERPLATE =
  /(?:^|[\s_-])(nav|navbar|navigation|menu|submenu|breadcrumbs?|pagination|pager|footer|sidebar|side-bar|cookies?|consent|gdpr|newsletter|subscribe|subscription|signup|sign-up|paywall|related|recommend(?:ed|ations?)?|share|sharing|social|promo|advert|advertisement|advertising|ads?|sponsored|popup|modal|toolbar|skip|widget|widgets|most-read|trending|outbrain|taboola|tags?|byline-social)(?:$|[\s_-])/i;

/** A part that holds this share of the page's text is its content, whatever it is called. */
const MAIN_SHARE = 0.5;

/** Reads a page into its blocks, in one walk over its elements. */
export function extractHtml(source: string, builder: PageBuilder): void {
  const tree = elementTree(source);
  const cleaned = clean(source, tree);
  const { blockOf } = splitBlocks(tree, cleaned, MAX_NODE_WORDS);
  new Walk(source, tree, cleaned, blockOf, builder).run();
}

/** What an element means for the text inside it. */
interface Frame {
  readonly element: number;
  readonly region: Region;
  readonly layout: Layout;
  readonly governor: number | undefined;
  readonly preformatted: boolean;
  /** A list item or definition whose first line has not been written yet; the next paragraph is it. */
  item: { block: number } | undefined;
  readonly lists: number;
  readonly inRow: boolean;
}

const ROOT_FRAME: Frame = {
  element: -1,
  region: 'content',
  layout: { type: 'paragraph' },
  governor: undefined,
  preformatted: false,
  item: undefined,
  lists: 0,
  inRow: false,
};

class Walk {
  readonly #source: string;
  readonly #tree: ElementTree;
  readonly #cleaned: CleanedTree;
  readonly #blockOf: Int32Array;
  readonly #builder: PageBuilder;
  readonly #stack: Frame[] = [];
  readonly #nodes = new Map<number, number>();
  readonly #namedRegions = new Map<string, Region>();
  /** Index of the last block of each heading level, 1 to 6; -1 for none. */
  #headings = [-1, -1, -1, -1, -1, -1, -1];
  readonly #savedHeadings = new Map<number, number[]>();
  readonly #counters = new Map<number, number>();
  /** By table: the block of its last header row or caption, and rows that span the next ones. */
  readonly #tables = new Map<number, { number: number; header: number; spanning: number; left: number }>();
  #tableCount = 0;
  #links = 0;
  /** A paragraph that leads into the list after it: it ends in a colon. */
  #lead = -1;
  #lastText = '';
  #open = false;
  #dt = -1;

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
  }

  run(): void {
    const { events, omitted, names, starts, ends } = this.#tree;
    for (let i = 0; i < omitted.length; i += 3)
      this.#builder.omit(OMITTED[omitted[i + 2]!]!, omitted[i]!, omitted[i + 1]!);
    for (let i = 0; i < events.length; i += 2) {
      const value = events[i + 1]!;
      if (events[i] === OPEN) {
        const reason = this.#leftOut(value);
        if (reason === undefined) this.#enter(value);
        else {
          if (reason !== '') this.#builder.omit(reason, starts[value]!, ends[value]!);
          if (names[value] === 'title') this.#builder.title ??= this.#textOf(value);
          // Past all that stands inside.
          while (events[i] !== CLOSE || events[i + 1] !== value) i += 2;
        }
      } else if (events[i] === CLOSE) this.#leave(value);
      else this.#text(value);
    }
    this.#endBlock();
  }

  /** Why an element is left out; '' where it has no text to begin with. */
  #leftOut(element: number): string | undefined {
    const { names, parents, firstAttribute, attributes } = this.#tree;
    const name = names[element]!;
    if (name === 'br' || name === 'hr' || name === 'wbr' || name === 'td' || name === 'th') return undefined;
    if (this.#cleaned.textStart[element] === this.#cleaned.textEnd[element]) return '';
    if (
      name === 'title' &&
      (parents[element] === -1 || names[parents[element]!] === 'head' || names[parents[element]!] === 'html')
    ) {
      return this.#builder.title === undefined ? 'title: shown above the document' : 'second title';
    }
    const known = LEFT_OUT.get(name);
    if (known !== undefined) return known;
    const end = firstAttribute[element + 1] ?? attributes.length;
    if (firstAttribute[element] === end || name === 'html' || name === 'body') return undefined;
    const hidden = this.#attribute(element, 'hidden');
    if (hidden !== undefined && hidden !== 'until-found') return 'hidden';
    if (this.#attribute(element, 'aria-hidden') === 'true') return 'hidden';
    if (/(?:display\s*:\s*none|visibility\s*:\s*hidden)/i.test(this.#attribute(element, 'style') ?? ''))
      return 'hidden';
    return undefined;
  }

  #textOf(element: number): string {
    const { text, textStart, textEnd } = this.#cleaned;
    return text.slice(textStart[element], textEnd[element]).replace(/\s+/g, ' ').trim();
  }

  #enter(element: number): void {
    const name = this.#tree.names[element]!;
    const above = this.#stack.at(-1);
    if (name === 'br') {
      this.#builder.joiner(above?.preformatted ? '\n' : ' ');
      return;
    }
    if (name === 'a') this.#setLinks(this.#links + 1);
    if (!BLOCK_ELEMENTS.has(name)) return;
    if (above?.inRow && name !== 'td' && name !== 'th' && name !== 'tr' && name !== 'table') {
      this.#builder.joiner(' ');
      return;
    }
    if (name === 'td' || name === 'th') {
      if (above?.inRow) {
        this.#builder.cell();
        return;
      }
    } else if (!above?.inRow || name === 'tr' || name === 'table') this.#endBlock();
    this.#stack.push(this.#frame(element, name, above));
  }

  #frame(element: number, name: string, above: Frame | undefined): Frame {
    const region = this.#region(element, name, above);
    if (region !== (above?.region ?? 'content')) this.#savedHeadings.set(element, [...this.#headings]);
    const inherited = above ?? ROOT_FRAME;
    const base: Frame = {
      element,
      region,
      layout: inherited.layout,
      governor: inherited.governor,
      preformatted: inherited.preformatted,
      item: inherited.item,
      lists: inherited.lists,
      inRow: false,
    };
    const level = headingLevel(name);
    if (level > 0) return { ...base, layout: { type: 'heading', level }, item: undefined };
    switch (name) {
      case 'ul':
      case 'ol':
      case 'menu':
      case 'dir':
        if (name === 'ol') this.#counters.set(element, Number(this.#attribute(element, 'start') ?? 1) || 1);
        return { ...base, governor: this.#listGovernor(inherited), lists: base.lists + 1, item: undefined };
      case 'li':
        return {
          ...base,
          layout: { type: 'item', depth: Math.max(0, base.lists - 1), marker: this.#marker(element) },
          item: { block: -1 },
        };
      case 'dt':
        this.#dt = -1;
        return { ...base, layout: { type: 'paragraph' }, item: undefined };
      case 'dd':
        return {
          ...base,
          layout: { type: 'item', depth: base.lists, marker: '-' },
          governor: this.#dt >= 0 ? this.#dt : base.governor,
          item: { block: -1 },
        };
      case 'blockquote':
        return { ...base, layout: { type: 'quote' } };
      case 'pre':
      case 'listing':
      case 'xmp':
      case 'plaintext':
        return {
          ...base,
          layout: { type: 'code', language: this.#language(element) },
          preformatted: true,
          item: undefined,
        };
      case 'table':
        if (this.#isData(element))
          this.#tables.set(element, { number: ++this.#tableCount, header: -1, spanning: -1, left: 0 });
        return { ...base, item: undefined };
      case 'tr': {
        const table = this.#tables.get(this.#tableOf(element));
        if (!table) return { ...base, item: undefined };
        return this.#row(element, table, base);
      }
      default:
        return base;
    }
  }

  #row(
    element: number,
    table: { number: number; header: number; spanning: number; left: number },
    base: Frame,
  ): Frame {
    const header = this.#isHeaderRow(element);
    const layout: Layout = { type: 'row', table: table.number, header };
    const governor = table.left > 0 ? table.spanning : table.header;
    const frame: Frame = {
      ...base,
      layout,
      governor: governor >= 0 ? governor : undefined,
      inRow: true,
      item: undefined,
    };
    this.#openBlock(frame);
    if (this.#cleaned.textStart[element] !== this.#cleaned.textEnd[element]) {
      if (table.left > 0) table.left--;
      const span = this.#rowSpan(element);
      if (span > 1) [table.spanning, table.left] = [this.#builder.count, span - 1];
      if (header) table.header = this.#builder.count;
    }
    return frame;
  }

  #leave(element: number): void {
    const name = this.#tree.names[element]!;
    if (name === 'a') this.#setLinks(Math.max(0, this.#links - 1));
    const frame = this.#stack.at(-1);
    if (frame?.element !== element) {
      if (frame?.inRow && BLOCK_ELEMENTS.has(name)) this.#builder.joiner(' ');
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
    const frame = this.#stack.at(-1);
    if (!this.#open) {
      if (!/\S/.test(text)) return;
      this.#openBlock(frame);
    }
    const start = texts[index]!;
    const end = texts[index + 1]!;
    if (texts[index + 2] === -1) this.#builder.raw(start, end);
    else this.#builder.decoded(start, end, text);
    if (/\S/.test(text)) this.#lastText = text;
  }

  #openBlock(frame: Frame | undefined): void {
    let layout: Layout = frame?.layout ?? { type: 'paragraph' };
    let governor = frame?.governor ?? this.#heading();
    if (layout.type === 'heading') {
      const level = layout.level;
      governor = this.#headings.slice(1, level).findLast((block) => block >= 0) ?? -1;
    }
    const item = frame?.item;
    if (layout.type === 'item' && item && item.block >= 0) {
      // What follows in an item after its first paragraph hangs on it.
      layout = { type: 'paragraph' };
      governor = item.block;
    }
    const element = frame?.element ?? -1;
    this.#builder.open({
      layout,
      governor,
      subtree: Math.max(0, element >= 0 ? this.#blockOf[element]! : 0),
      node: this.#node(element),
      region: frame?.region ?? 'content',
      preformatted: frame?.preformatted ?? false,
    });
    this.#open = true;
    this.#builder.inLink = this.#links > 0;
    const block = this.#builder.count;
    if (layout.type === 'heading') {
      this.#headings[layout.level] = block;
      this.#headings.fill(-1, layout.level + 1);
    }
    if (item && item.block < 0) item.block = block;
    if (frame && this.#tree.names[frame.element] === 'dt') this.#dt = block;
    if (frame && this.#tree.names[frame.element] === 'caption') {
      const table = this.#tables.get(this.#tableOf(frame.element));
      if (table) table.header = block;
    }
  }

  #endBlock(): void {
    if (!this.#open) return;
    this.#open = false;
    const isParagraph = this.#builder.openLayout?.type === 'paragraph';
    const block = this.#builder.close();
    this.#lead = isParagraph && /[:：]\s*$/.test(this.#lastText) ? block : -1;
  }

  #heading(): number {
    return this.#headings.findLast((block) => block >= 0) ?? -1;
  }

  #listGovernor(above: Frame): number | undefined {
    if (above.item && above.item.block >= 0) return above.item.block;
    return this.#lead >= 0 ? this.#lead : above.governor;
  }

  #marker(element: number): string {
    const list = this.#tree.parents[element]!;
    const next = this.#counters.get(list);
    if (next === undefined) return '-';
    const number = Number(this.#attribute(element, 'value') ?? next) || next;
    this.#counters.set(list, number + 1);
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

  #region(element: number, name: string, above: Frame | undefined): Region {
    const inherited = above?.region ?? 'content';
    if (inherited !== 'content' && inherited !== 'header') return inherited;
    if (name === 'body' || name === 'html' || name === 'main' || this.#share(element) > MAIN_SHARE)
      return inherited;
    const role = ROLES.get(this.#attribute(element, 'role') ?? '');
    if (role) return role;
    const landmark = LANDMARKS.get(name);
    if (landmark && !(name === 'header' && this.#isInside(above, 'article'))) return landmark;
    if (name === 'article' || name === 'table' || name === 'p' || headingLevel(name) > 0) return inherited;
    return (
      this.#regionNamed(this.#attribute(element, 'class')) ??
      this.#regionNamed(this.#attribute(element, 'id')) ??
      inherited
    );
  }

  /** What a class or id says; the same ones stand on many elements of a page. */
  #regionNamed(names: string | undefined): Region | undefined {
    if (names === undefined) return undefined;
    let region = this.#namedRegions.get(names);
    if (region === undefined) {
      region = namedRegion(names) ?? 'content';
      this.#namedRegions.set(names, region);
    }
    return region === 'content' ? undefined : region;
  }

  #share(element: number): number {
    const { text, textStart, textEnd } = this.#cleaned;
    return text.length === 0 ? 0 : (textEnd[element]! - textStart[element]!) / text.length;
  }

  #isInside(frame: Frame | undefined, name: string): boolean {
    for (let at = frame?.element ?? -1; at >= 0; at = this.#tree.parents[at]!)
      if (this.#tree.names[at] === name) return true;
    return false;
  }

  #tableOf(element: number): number {
    let at = element;
    while (at >= 0 && this.#tree.names[at] !== 'table') at = this.#tree.parents[at]!;
    return at;
  }

  /** Whether a table holds data, not a page's layout: no table inside, several rows, and headers or short cells. */
  #isData(table: number): boolean {
    const { names, parents } = this.#tree;
    if (this.#attribute(table, 'role') === 'presentation') return false;
    let rows = 0;
    let cells = 0;
    let headers = 0;
    let longest = 0;
    // Elements inside come right after it, until one that stands before or beside it.
    for (
      let element = table + 1;
      element < names.length && this.#tree.starts[element]! < this.#tree.ends[table]!;
      element++
    ) {
      if (parents[element]! < table) break;
      const name = names[element]!;
      if (name === 'table' || headingLevel(name) > 0) return false;
      if (name === 'tr') rows++;
      if (name === 'th') headers++;
      if (name === 'td' || name === 'th') {
        cells++;
        longest = Math.max(longest, this.#cleaned.textEnd[element]! - this.#cleaned.textStart[element]!);
      }
    }
    if (rows < 2) return headers > 0 && cells > headers;
    return headers > 0 || (cells >= 2 * rows && longest < 400);
  }

  #cellsOf(row: number): number[] {
    const { names, parents, starts, ends } = this.#tree;
    const cells: number[] = [];
    for (let element = row + 1; element < names.length && starts[element]! < ends[row]!; element++) {
      if (parents[element] === row && (names[element] === 'td' || names[element] === 'th'))
        cells.push(element);
    }
    return cells;
  }

  #isHeaderRow(row: number): boolean {
    if (this.#tree.names[this.#tree.parents[row]!] === 'thead') return true;
    const cells = this.#cellsOf(row);
    return cells.length > 1 && cells.every((cell) => this.#tree.names[cell] === 'th');
  }

  #rowSpan(row: number): number {
    return Math.min(
      1_000,
      Math.max(1, ...this.#cellsOf(row).map((cell) => Number(this.#attribute(cell, 'rowspan')) || 1)),
    );
  }

  /** The page's node for an element: elements that only wrap another are passed over. */
  #node(element: number): number {
    const path: number[] = [];
    let at = element;
    for (; at >= 0 && !this.#nodes.has(at); at = this.#tree.parents[at]!) path.push(at);
    let node = at >= 0 ? this.#nodes.get(at)! : -1;
    for (const next of path.reverse()) {
      const name = this.#tree.names[next]!;
      const passed = this.#cleaned.unwrapped[next] === 1 && next !== element;
      if (!passed && BLOCK_ELEMENTS.has(name) && name !== 'html' && name !== 'body')
        node = this.#builder.node(node, name);
      this.#nodes.set(next, node);
    }
    return node;
  }
}

function headingLevel(name: string): number {
  return name.length === 2 && name.startsWith('h') ? Math.max(0, '123456'.indexOf(name[1]!) + 1) : 0;
}

function namedRegion(names: string): Region | undefined {
  const word = BOILERPLATE.exec(names)?.[1]?.toLowerCase();
  if (word === undefined) return undefined;
  if (/^(?:nav|menu|submenu|breadcrumb|pag)/.test(word)) return 'navigation';
  return word === 'footer' ? 'footer' : 'complementary';
}

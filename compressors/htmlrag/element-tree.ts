import { decodeHTML } from 'entities';
import { QuoteType, Tokenizer, type TokenizerCallbacks } from 'htmlparser2';
import type { Steps } from '../steps.js';

/** What is not read, and elements whose text is no text of the page, by their place here. */
export const OMITTED = ['comment', 'declaration', 'unfinished tag', 'script', 'style', 'template'] as const;
const COMMENT = 0;
const DECLARATION = 1;
const UNFINISHED = 2;
const UNREAD: ReadonlyMap<string, number> = new Map([
  ['script', 3],
  ['style', 4],
  ['template', 5],
]);

/** A news feed is XML: sections of character data are text, and no end tag is implied. */
const FEED = /^\s*(?:<[?!][^>]*>\s*)*<(?:rss|feed|rdf:RDF)[\s>]/;

/** Elements without content (HTML Living Standard §13.1.2, and its obsolete ones). */
const VOID = words(
  'area base basefont br col command embed frame hr img input isindex keygen link meta param source track wbr',
);

/** The elements that each of these closes where it follows in them (HTML Living Standard §13.1.2.4 and §13.2.6.4). */
const IMPLIED_ENDS: ReadonlyMap<string, ReadonlySet<string>> = new Map(
  Object.entries({
    'address article aside blockquote details div dl fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 header hr main nav ol p pre section table ul':
      'p',
    'button datalist input output select textarea': 'button datalist input optgroup option select textarea',
    body: 'head link script',
    'dd dt': 'dd dt p',
    li: 'li p',
    optgroup: 'optgroup option',
    option: 'option',
    'rp rt': 'rp rt',
    'tbody tfoot thead': 'caption colgroup p tbody td tfoot th thead tr',
    'td th': 'caption colgroup p td th',
    tr: 'caption colgroup p td th tr',
  }).flatMap(([openers, closed]) => [...words(openers)].map((opener) => [opener, words(closed)])),
);

/** Left open in an item or a cell, these end with it. */
const INLINE = words('a abbr b big cite code em font i nobr s small span strike strong tt u');
const ENDING_INLINE = words('dd dt li tbody td tfoot th thead tr');

/** How many of them: what is looked through at every tag must not grow with the page. */
const MOST_INLINE = 16;

/** In these an element may close itself, but for what holds HTML again (HTML Living Standard §13.1.2, foreign elements). */
const FOREIGN = words('math svg');
const INTEGRATION = words('annotation-xml desc foreignobject mi mn mo ms mtext title');

/** Attributes that say what an element is for. */
const TELLING = words('aria-hidden class colspan hidden id open reversed role rowspan start style value');

/** Code units after which the reading pauses at the next tag. */
const STEP = 65_536;

export const OPEN = 0;
export const CLOSE = 1;
export const TEXT = 2;

/** A page's elements and text in document order, flat: pages nest deeper than a stack allows. */
export interface ElementTree {
  readonly names: readonly string[];
  /** -1 for an element at the top. */
  readonly parents: readonly number[];
  /** Offsets of an element from its opening tag to the end of its closing one. */
  readonly starts: readonly number[];
  readonly ends: readonly number[];
  /** By element: the first one after it that is not inside it. */
  readonly after: readonly number[];
  /** By element: how many names and values of attributes come before its own. */
  readonly firstAttribute: readonly number[];
  /** Names and values of the attributes that tell what an element is for, in turn. */
  readonly attributes: readonly string[];
  /** Pairs: OPEN or CLOSE with an element, TEXT with an index into `texts`. */
  readonly events: readonly number[];
  /** Start and end in the source, and index into `references`, or -1 where the text is the source's own. */
  readonly texts: readonly number[];
  /** What character references stand for. */
  readonly references: readonly string[];
  /** Start, end and index into OMITTED. */
  readonly omitted: readonly number[];
}

/**
 * Reads a page by htmlparser2's tokenizer, closing what HTML closes implicitly, as its parser does; that parser's own
 * stack costs time in proportion to its depth at every tag. Linear in the length of the page, whatever its markup.
 */
export function* elementTree(source: string): Steps<ElementTree> {
  const isFeed = FEED.test(source.slice(0, 2_048));
  const builder = new TreeBuilder(source, isFeed);
  const tokenizer = new Tokenizer({ decodeEntities: true, xmlMode: isFeed }, builder);
  builder.pause = () => {
    tokenizer.pause();
  };
  tokenizer.write(source);
  while (!tokenizer.running) {
    yield;
    tokenizer.resume();
  }
  tokenizer.end();
  return builder;
}

class TreeBuilder implements TokenizerCallbacks, ElementTree {
  readonly names: string[] = [];
  readonly parents: number[] = [];
  readonly starts: number[] = [];
  readonly ends: number[] = [];
  readonly after: number[] = [];
  readonly firstAttribute: number[] = [];
  readonly attributes: string[] = [];
  readonly events: number[] = [];
  readonly texts: number[] = [];
  readonly references: string[] = [];
  readonly omitted: number[] = [];
  pause = (): void => undefined;
  #pauseAt = STEP;
  readonly #source: string;
  readonly #isFeed: boolean;
  /** Open elements, and for each whether it is foreign to HTML. */
  readonly #stack: number[] = [];
  readonly #foreign: boolean[] = [];
  /** How many elements of a name are open. */
  readonly #open = new Map<string, number>();
  /** One string for each name: what is looked up by it has its hash at hand. */
  readonly #known = new Map<string, string>();
  /** Where the last token ended. */
  #at = 0;
  #unread = 0;
  #unreadReason = 0;
  #name = '';
  #attribute = '';
  #value = '';
  #tells = false;

  constructor(source: string, isFeed: boolean) {
    this.#source = source;
    this.#isFeed = isFeed;
  }

  ontext(start: number, end: number): void {
    // What the page's end cuts off comes as text too: a declaration, from its third character on, or a tag, from nowhere.
    if (start !== this.#at) {
      this.omitted.push(this.#at, end, UNFINISHED);
      this.#at = end;
      return;
    }
    this.#at = end;
    // Decoded in text areas too (HTML Living Standard §13.2.5.2), which the tokenizer does not.
    const top = this.#stack.at(-1);
    const isUndecoded = top !== undefined && this.names[top] === 'textarea';
    const data = isUndecoded ? this.#source.slice(start, end) : '';
    if (data.includes('&')) this.#reference(start, end, decodeHTML(data));
    else this.#text(start, end, -1);
  }

  ontextentity(codePoint: number, end: number): void {
    const text = String.fromCodePoint(codePoint);
    // Some references stand for two characters, of which the second comes by itself.
    if (end === this.#at) {
      if (this.#unread === 0) this.references.push(`${this.references.pop() ?? ''}${text}`);
      return;
    }
    this.#reference(this.#at, end, text);
    this.#at = end;
  }

  onopentagname(start: number, end: number): void {
    this.#name = this.#nameAt(start, end);
    this.#openElement(this.#name, start - 1);
    this.#at = start - 1;
    if (start > this.#pauseAt) {
      this.#pauseAt = start + STEP;
      this.pause();
    }
  }

  onopentagend(end: number): void {
    this.#at = end + 1;
    if (VOID.has(this.#name) && !this.#isFeed) this.#close(this.#at);
  }

  onselfclosingtag(end: number): void {
    this.#at = end + 1;
    if (VOID.has(this.#name) || this.#foreign.at(-1) === true || this.#isFeed) this.#close(this.#at);
  }

  onclosetag(start: number, end: number): void {
    const name = this.#nameAt(start, end);
    const tag = this.#at;
    this.#at = this.#source.indexOf('>', end) + 1;
    if (this.#at === 0) {
      this.#at = this.#source.length;
      this.omitted.push(tag, this.#at, UNFINISHED);
    }
    if ((this.#open.get(name) ?? 0) > 0) {
      while (this.names[this.#stack.at(-1)!] !== name) this.#close(tag);
      this.#close(this.#at);
    } else if (name === 'p' || name === 'br') {
      // Both stand for the element itself (HTML Living Standard §13.2.6.4.7).
      this.#openElement(name, tag);
      this.#close(this.#at);
    }
  }

  onattribname(start: number, end: number): void {
    const name = this.#nameAt(start, end);
    this.#tells = TELLING.has(name);
    this.#attribute = name;
    this.#value = '';
  }

  onattribdata(start: number, end: number): void {
    if (this.#tells) this.#value += this.#source.slice(start, end);
  }

  onattribentity(codePoint: number): void {
    if (this.#tells) this.#value += String.fromCodePoint(codePoint);
  }

  onattribend(_quote: QuoteType, _end: number): void {
    if (this.#tells) this.attributes.push(this.#attribute, this.#value);
  }

  oncomment(_start: number, end: number): void {
    this.#omit(end + 1, COMMENT);
  }

  oncdata(start: number, end: number, endOffset: number): void {
    if (!this.#isFeed) {
      this.#omit(end + 1, COMMENT);
      return;
    }
    this.#at = end + 1;
    if (end - endOffset > start) this.#text(start, end - endOffset, -1);
  }

  ondeclaration(_start: number, end: number): void {
    this.#omit(end + 1, DECLARATION);
  }

  onprocessinginstruction(_start: number, end: number): void {
    this.#omit(end + 1, DECLARATION);
  }

  onend(): void {
    const { length } = this.#source;
    if (this.#at < length) this.omitted.push(this.#at, length, UNFINISHED);
    while (this.#stack.length > 0) this.#close(length);
  }

  #openElement(name: string, start: number): void {
    if (!this.#isFeed) this.#closeImplied(name, start);
    const element = this.names.push(name) - 1;
    this.parents.push(this.#stack.at(-1) ?? -1);
    this.starts.push(start);
    this.ends.push(start);
    this.after.push(element + 1);
    this.firstAttribute.push(this.attributes.length);
    this.events.push(OPEN, element);
    const isForeign = this.#foreign.at(-1) ?? false;
    this.#stack.push(element);
    this.#foreign.push(FOREIGN.has(name) || (isForeign && !INTEGRATION.has(name)));
    this.#open.set(name, (this.#open.get(name) ?? 0) + 1);
    const reason = UNREAD.get(name);
    if (reason !== undefined && this.#unread++ === 0) this.#unreadReason = reason;
  }

  /** Closes what the start of an element ends. */
  #closeImplied(name: string, start: number): void {
    const closed = IMPLIED_ENDS.get(name);
    if (!closed) return;
    const mostInline = ENDING_INLINE.has(name) ? MOST_INLINE : 0;
    for (let inline = 0; inline < this.#stack.length;) {
      const above = this.names[this.#stack.at(-1 - inline)!]!;
      if (closed.has(above)) {
        for (; inline >= 0; inline--) this.#close(start);
        inline = 0;
      } else if (inline < mostInline && INLINE.has(above)) inline++;
      else return;
    }
  }

  #close(end: number): void {
    const element = this.#stack.pop()!;
    this.#foreign.pop();
    const name = this.names[element]!;
    this.#open.set(name, this.#open.get(name)! - 1);
    this.ends[element] = end;
    this.after[element] = this.names.length;
    this.events.push(CLOSE, element);
    if (UNREAD.has(name)) this.#unread--;
  }

  #text(start: number, end: number, reference: number): void {
    if (this.#unread > 0) {
      this.omitted.push(start, end, this.#unreadReason);
      return;
    }
    this.events.push(TEXT, this.texts.length);
    this.texts.push(start, end, reference);
  }

  #reference(start: number, end: number, text: string): void {
    this.#text(start, end, this.#unread > 0 ? -1 : this.references.push(text) - 1);
  }

  #omit(end: number, reason: number): void {
    const to = Math.min(end, this.#source.length);
    this.omitted.push(this.#at, to, reason);
    this.#at = to;
  }

  #nameAt(start: number, end: number): string {
    const raw = this.#source.slice(start, end);
    let name = this.#known.get(raw);
    if (name === undefined) {
      name = raw.toLowerCase();
      this.#known.set(raw, name);
    }
    return name;
  }
}

/** An attribute that tells what an element is for; undefined where it has none of that name, or another kind. */
export function attributeOf(tree: ElementTree, element: number, name: string): string | undefined {
  const { firstAttribute, attributes } = tree;
  const end = firstAttribute[element + 1] ?? attributes.length;
  for (let at = firstAttribute[element]!; at < end; at += 2)
    if (attributes[at] === name) return attributes[at + 1];
  return undefined;
}

/** Level of a heading element, 0 for any other. */
export function headingLevel(name: string): number {
  return name.length === 2 && name.startsWith('h') ? Math.max(0, '123456'.indexOf(name[1]!) + 1) : 0;
}

/** The number that an attribute begins with, if any (HTML Living Standard §2.3.4.1). */
export function wholeNumber(value: string | undefined): number | undefined {
  const digits = /^\s*([+-]?\d{1,9})/.exec(value ?? '')?.[1];
  return digits === undefined ? undefined : Number(digits);
}

function words(list: string): ReadonlySet<string> {
  return new Set(list.split(' '));
}

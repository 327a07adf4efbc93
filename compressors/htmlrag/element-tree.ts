import { Parser } from 'htmlparser2';

/** Deeper markup is refused: the parser's own stack costs time in proportion to its depth at every tag. */
const DEEPEST = 50_000;

/** What is not read, and elements whose text is no text of the page, by their place here. */
export const OMITTED = ['comment', 'declaration', 'script', 'style', 'template'] as const;
const UNREAD: ReadonlyMap<string, number> = new Map([
  ['script', 2],
  ['style', 3],
  ['template', 4],
]);

/** Elements without content (HTML Living Standard §13.1.2), which every parser closes at once. */
const VOID = new Set('area base br col embed hr img input link meta param source track wbr'.split(' '));

/** Attributes that say what an element is for. */
const TELLING = new Set([
  'class',
  'id',
  'role',
  'hidden',
  'aria-hidden',
  'style',
  'rowspan',
  'start',
  'value',
]);

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
  /** An opening tag closed elements before it, which a parser that knows no implied end tags leaves open. */
  readonly hasImpliedEnds: boolean;
}

/**
 * Reads a page by htmlparser2, which closes what HTML closes implicitly and survives any markup.
 * @throws Error for markup nested deeper than 50,000 elements
 */
export function elementTree(source: string): ElementTree {
  const names: string[] = [];
  const parents: number[] = [];
  const starts: number[] = [];
  const ends: number[] = [];
  const firstAttribute: number[] = [];
  const attributes: string[] = [];
  const events: number[] = [];
  const texts: number[] = [];
  const references: string[] = [];
  const omitted: number[] = [];
  const stack: number[] = [];
  let unread = 0;
  let unreadReason = 0;
  let impliedClose = false;
  let hasImpliedEnds = false;

  const parser = new Parser(
    {
      onopentagname(name) {
        if (impliedClose) hasImpliedEnds = true;
        impliedClose = false;
        if (stack.length >= DEEPEST) throw new Error(`markup nested deeper than ${DEEPEST} elements`);
        const element = names.push(name) - 1;
        parents.push(stack.at(-1) ?? -1);
        starts.push(parser.startIndex);
        ends.push(source.length);
        firstAttribute.push(attributes.length);
        events.push(OPEN, element);
        stack.push(element);
        const reason = UNREAD.get(name);
        if (reason !== undefined && unread++ === 0) unreadReason = reason;
      },
      onattribute(name, value) {
        if (TELLING.has(name)) attributes.push(name, value);
      },
      ontext(data) {
        const { startIndex, endIndex } = parser;
        const end = endIndex + 1;
        if (unread > 0) {
          omitted.push(startIndex, end, unreadReason);
          return;
        }
        const verbatim = data.length === end - startIndex;
        events.push(TEXT, texts.length);
        texts.push(startIndex, end, verbatim ? -1 : references.push(data) - 1);
      },
      onclosetag(name, isImplied) {
        impliedClose = isImplied && !VOID.has(name);
        const element = stack.pop();
        if (element === undefined) return;
        ends[element] = isImplied ? parser.startIndex : parser.endIndex + 1;
        events.push(CLOSE, element);
        if (UNREAD.has(name)) unread--;
      },
      oncomment() {
        omitted.push(parser.startIndex, parser.endIndex + 1, 0);
      },
      onprocessinginstruction() {
        omitted.push(parser.startIndex, parser.endIndex + 1, 1);
      },
    },
    { decodeEntities: true, lowerCaseTags: true, lowerCaseAttributeNames: true },
  );
  parser.end(source);
  return {
    names,
    parents,
    starts,
    ends,
    firstAttribute,
    attributes,
    events,
    texts,
    references,
    omitted,
    hasImpliedEnds,
  };
}

/** An attribute that tells what an element is for; undefined where it has none of that name, or another kind. */
export function attributeOf(tree: ElementTree, element: number, name: string): string | undefined {
  const { firstAttribute, attributes } = tree;
  const end = firstAttribute[element + 1] ?? attributes.length;
  for (let at = firstAttribute[element]!; at < end; at += 2)
    if (attributes[at] === name) return attributes[at + 1];
  return undefined;
}

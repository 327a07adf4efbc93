export type Format = 'text' | 'markdown' | 'html' | 'json' | 'code';

/** How a unit stands on its page, which decides how it is rendered. */
export type Layout =
  | { readonly type: 'paragraph' }
  | { readonly type: 'heading'; readonly level: number }
  | { readonly type: 'item'; readonly depth: number; readonly marker: string }
  | { readonly type: 'row'; readonly table: number; readonly header: boolean }
  | { readonly type: 'code'; readonly language: string }
  | { readonly type: 'quote' };

/**
 * What a document's text is made of: its blocks in reading order, each tied to the source. Holds nothing that
 * depends on a query, so it is cached by content. Plain typed arrays, so that a worker hands it over without a copy.
 */
export interface Page {
  readonly format: Format;
  readonly title: string | undefined;
  /** The blocks' text, one after the other. */
  readonly text: string;
  /** BLOCK.size integers a block. */
  readonly blocks: Int32Array;
  /** Four integers a span: start and end in the source, offset and length in `text`. */
  readonly spans: Int32Array;
  /** Index terms of `text` (words.ts), ascending by their offsets `termAt`. */
  readonly terms: Uint32Array;
  readonly termAt: Int32Array;
  /** Start and end in `text` of each sentence of the blocks that are prose, where they have been looked for. */
  readonly sentences?: Int32Array;
  /** Elements above the blocks, parents first: parent (-1 for a root) and index into `names`. Empty unless HTML. */
  readonly nodes: Int32Array;
  /** Element names, list markers and code languages. */
  readonly names: readonly string[];
  /** What the extraction left out, so that nothing is silently gone. */
  readonly omissions: readonly Omission[];
}

export interface Omission {
  readonly reason: string;
  /** Two integers a span: start and end in the source. */
  readonly spans: Int32Array;
}

/** Offsets of the fields of a block in `Page.blocks`. */
export const BLOCK = {
  textStart: 0,
  textEnd: 1,
  firstSpan: 2,
  endSpan: 3,
  /** Index into LAYOUTS. */
  layout: 4,
  /** Heading: level. Item: depth. Row: table. Code: language (index into names). */
  detail: 5,
  /** Item: marker (index into names). Row: 1 for a header row. */
  extra: 6,
  /** The block that this one cannot be read without, or -1. */
  governor: 7,
  /** HtmlRAG's block (a subtree of at most so many words), or the section of a page without a tree. */
  subtree: 8,
  /** Index of its element in `Page.nodes`, or -1. */
  node: 9,
  /** How many code units of its text stand inside links. */
  linked: 10,
  /** Index into REGIONS. */
  region: 11,
  size: 12,
} as const;

export const LAYOUTS = ['paragraph', 'heading', 'item', 'row', 'code', 'quote'] as const;

/** What a part of a page is for: its own content, or what stands around it on every page of a site. */
export const REGIONS = ['content', 'navigation', 'complementary', 'header', 'footer', 'form'] as const;
export type Region = (typeof REGIONS)[number];

/** What a match is worth by where it stands: menus and teasers name many things and say little of them. */
export const REGION_WEIGHTS: Readonly<Record<Region, number>> = {
  content: 1,
  header: 0.6,
  complementary: 0.4,
  form: 0.3,
  navigation: 0.2,
  footer: 0.2,
};

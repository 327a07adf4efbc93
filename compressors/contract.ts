import type { Format, Layout, Page } from './page.js';
import type { PlacedEmbeddings } from '../models/decoder/generation.js';
import type { TokenCounter } from '../models/token-counter.js';

/** Half-open range of UTF-16 code units in a source's `content`. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

/** A retrieved document. `content` is never changed; offsets everywhere refer to it as given. */
export interface SourceDocument {
  readonly id: string;
  readonly content: string;
  /** Detected from the content where absent. */
  readonly format?: Format;
  readonly title?: string;
  readonly url?: string;
  /** The retriever's score, higher is better; only its order among the documents of a request counts. */
  readonly score?: number;
  readonly metadata?: Readonly<Record<string, unknown>>;
}

/** A ceiling: a number of tokens, or a share (0–1] of the tokens that came in. */
export interface Budget {
  readonly tokens?: number;
  readonly ratio?: number;
}

/** A source span and the stretch of a unit's text that it became. */
export interface TextSpan extends Span {
  /** Offset in the unit's text. */
  readonly at: number;
  /** Length in the unit's text: `end - start`, or less where the span is one character reference; 0 in generated text. */
  readonly length: number;
}

/**
 * The one shape that stages pass on: a piece of a document that is kept or dropped whole.
 * A block is a paragraph, heading, list item, table row or code block; stages split blocks into
 * sentences, and sentences into words.
 */
export interface Unit {
  /** Index of the document in `State.documents`. */
  readonly document: number;
  /** Index of the block in its page; sentences and words carry that of the block they were cut from. */
  readonly block: number;
  readonly kind: 'block' | 'sentence' | 'word';
  readonly layout: Layout;
  /** As rendered: white space collapsed, character references decoded. */
  readonly text: string;
  /**
   * Where `text` stands in the source: ascending and disjoint. What lies between two spans in `text` is a joiner. Of
   * generated text what it was made from.
   */
  readonly spans: readonly TextSpan[];
  readonly tokens: number;
  /** Hashed index terms of `text` (see words.ts), in order. */
  readonly terms: Uint32Array;
  /** Relevance to the query, higher is better; absent until a stage has scored it. */
  readonly score?: number;
  /** Whether the stage that scored it would keep it where there is no budget. */
  readonly answers?: boolean;
  /** Blocks of the same page without which this one cannot be read: its heading, table header or list parent. */
  readonly needs: readonly number[];
  /** `verbatim` where absent. */
  readonly origin?: 'verbatim' | 'generated' | 'embedding';
  /** Of origin `embedding`: what stands in the prompt where `text` marks the place. */
  readonly embedding?: Float32Array;
  /** What it was before a stage shortened it: it stands in its place where a budget has room for it. */
  readonly whole?: Unit;
  /** Which later stage is to shorten it, where a budget is shared out (allot.ts). */
  readonly treatment?: Treatment;
}

export interface Treatment {
  /** Name of the stage. */
  readonly stage: string;
  /** Share of its tokens that the unit is to keep, above 0 to 1. */
  readonly share: number;
}

/** What became of a piece of a document, by which stage, and why. */
export interface Decision {
  /** `SourceDocument.id` */
  readonly document: string;
  readonly action: 'kept' | 'dropped' | 'replaced';
  readonly stage: string;
  readonly spans: readonly Span[];
  readonly score?: number;
  readonly reason: string;
}

/** What a stage is given and hands on. Immutable: a stage returns a new one. */
export interface State {
  readonly query: string;
  readonly documents: readonly SourceDocument[];
  /** By document; undefined for a document that could not be read and passes through. */
  readonly pages: readonly (Page | undefined)[];
  /** By document, then in the order of the page. */
  readonly units: readonly Unit[];
  readonly decisions: readonly Decision[];
  /** Whether a budget was shared out: stages then shorten the units that have their treatment, and no others. */
  readonly isAllotted?: boolean;
  /** Whether a stage would have done more had there been time: such a result is not remembered. */
  readonly isHurried?: boolean;
}

export interface StageContext {
  readonly counter: TokenCounter;
  /** The ceiling for the whole result in tokens; undefined where none was given. */
  readonly budget?: number;
  /** Of the text of all documents, before the first stage; undefined until they are read. */
  readonly tokens?: number;
  /** Aborted when the caller aborts, and when the deadline has passed. */
  readonly signal: AbortSignal;
  /** When the deadline passes, on the clock of `performance.now()`; Infinity for never. */
  readonly deadline: number;
  /** Resolves at once, or after the event loop has had a turn where this stage has held it for long; throws when aborted. */
  breathe(): Promise<void>;
}

/** A stage. It drops, splits, scores or replaces units and records each drop in `decisions`. */
export interface Compressor {
  readonly name: string;
  /** Whether a context may hold embeddings after it, which a model behind an API of text cannot read. Default false. */
  readonly embeds?: boolean;
  compress(state: State, context: StageContext): Promise<State>;
  /** Gets ready what the first request would wait for, and throws where that cannot be had. */
  open?(): Promise<void>;
  /** Lets go of it. The next request, if there is one, gets it ready again. */
  close?(): Promise<void>;
}

export interface CompressionRequest {
  readonly query: string;
  readonly documents: readonly SourceDocument[];
  /** Overrides the pipeline's budget for this request. */
  readonly budget?: Budget;
  readonly signal?: AbortSignal;
}

export interface CompressedDocument {
  readonly id: string;
  /** Of origin `embedding`: the marker of its place. */
  readonly content: string;
  readonly spans: readonly Span[];
  /** Of the whole: `generated` where any of it is. */
  readonly origin: 'verbatim' | 'generated' | 'embedding';
  /** Where `content` is not the source's own words; absent where all of it is. */
  readonly generated?: readonly GeneratedText[];
  readonly tokensBefore: number;
  /** Of `content`; of origin `embedding` with its label, which is all there is of the document. */
  readonly tokensAfter: number;
  readonly embedding?: Float32Array;
}

/** A stretch of a document's `content`, and the spans of the source that it was made from. */
export interface GeneratedText extends Span {
  readonly sources: readonly Span[];
}

export interface StageReport {
  readonly name: string;
  readonly tokensBefore: number;
  readonly tokensAfter: number;
  readonly milliseconds: number;
  /** Why the stage handed on what it was given. */
  readonly error?: string;
}

export interface CompressionResult {
  /** The text to put into the prompt. */
  readonly context: string;
  /** Where documents became embeddings: what stands in `context` in place of each marker, for a `Decoder`. */
  readonly embeddings?: PlacedEmbeddings;
  /** The documents of which something was kept. */
  readonly documents: readonly CompressedDocument[];
  readonly tokens: {
    readonly before: number;
    readonly after: number;
    readonly budget: number | undefined;
    readonly counter: string;
  };
  readonly decisions: readonly Decision[];
  readonly stages: readonly StageReport[];
}

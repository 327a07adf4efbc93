/** What is to be summarised, and for whom. */
export interface SummaryTask {
  /** The query class (query-class.ts): the question in small letters. */
  readonly query: string;
  /** Of the document; empty where it has none. */
  readonly title: string;
  /** Sentences of one document, a paragraph a line. It is material: what it asks for is not to be done. */
  readonly text: string;
  /** That the summary should have at most. */
  readonly words: number;
}

export interface Summary {
  readonly text: string;
  /** Whether the generator was stopped in the middle: its last sentence does not count. */
  readonly isCut?: boolean;
}

/** What writes summaries: the seam of `summarise`. Nothing that it writes is believed (summary-guard.ts). */
export interface SummaryGenerator {
  /** Name and version, of its prompt too: the summaries of another are not its own. */
  readonly model: string;
  /** Words that it reads at once; longer texts are summarised in pieces, and the pieces' summaries together. */
  readonly maxWords: number;
  /** @throws anything: the extract stands, and the reason is recorded */
  generate(task: SummaryTask, signal: AbortSignal): Promise<Summary>;
  /** Gets ready what the first summary would wait for. */
  open?(): Promise<void>;
  close?(): Promise<void>;
}

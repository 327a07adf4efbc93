import type { SourceDocument } from '../compressors/contract.js';

export interface RetrieveOptions {
  /** Default 10. */
  readonly limit?: number;
  readonly signal?: AbortSignal;
}

/** Where candidates come from. */
export interface Retriever {
  /** @returns the best documents first, each with its `score`, higher is better; none that has nothing of the query */
  retrieve(query: string, options?: RetrieveOptions): Promise<SourceDocument[]>;
}

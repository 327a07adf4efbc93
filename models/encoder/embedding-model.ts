/** What makes vectors of texts; `Embedder` is one. */
export interface EmbeddingModel {
  readonly dimensions: number;
  /** Its name and version: vectors of another are not comparable. */
  readonly model?: string;
  /** @returns a vector of length 1 a text */
  embed(
    texts: readonly string[],
    options?: { readonly signal?: AbortSignal },
  ): Promise<readonly Float32Array[]>;
}

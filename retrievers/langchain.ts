import { createHash } from 'node:crypto';
import type { CallbackManagerForRetrieverRun } from '@langchain/core/callbacks/manager';
import { Document, type DocumentInterface } from '@langchain/core/documents';
import { BaseRetriever, type BaseRetrieverInput } from '@langchain/core/retrievers';
import type { SourceDocument } from '../compressors/contract.js';
import { ConfigurationError } from '../settings/configuration-error.js';
import type { Retriever } from './retriever.js';

/** What is used of a LangChain retriever. */
export interface LangchainRetriever {
  invoke(query: string, config?: { signal?: AbortSignal }): Promise<DocumentInterface[]>;
}

/** What is used of a LangChain vector store. */
export interface LangchainVectorStore {
  similaritySearch(query: string, limit?: number): Promise<DocumentInterface[]>;
}

const LIMIT = 10;

/**
 * A LangChain retriever or vector store as a retriever of ours. Documents keep its order, and get as `score` what falls
 * from 1 by place, since what LangChain calls a score is a distance in some stores and a similarity in others. One
 * without an id gets the hash of its text. A retriever decides itself how many it gives; no more than `limit` are taken.
 *
 * @example
 * const retriever = new HybridRetriever({ retrievers: [bm25, fromLangchain(vectorStore)] });
 * @throws ConfigurationError
 */
export function fromLangchain(source: LangchainRetriever | LangchainVectorStore): Retriever {
  const search = searchOf(source);
  return {
    async retrieve(query, { limit = LIMIT, signal } = {}) {
      signal?.throwIfAborted();
      const found = await search(query, limit, signal);
      signal?.throwIfAborted();
      return found.slice(0, limit).map((document, index) => sourceDocument(document, 1 / (1 + index)));
    },
  };
}

function searchOf(
  source: LangchainRetriever | LangchainVectorStore,
): (query: string, limit: number, signal?: AbortSignal) => Promise<DocumentInterface[]> {
  if (typeof (source as Partial<LangchainVectorStore> | null)?.similaritySearch === 'function')
    return (query, limit) => (source as LangchainVectorStore).similaritySearch(query, limit);
  if (typeof (source as Partial<LangchainRetriever> | null)?.invoke === 'function')
    return (query, _, signal) => (source as LangchainRetriever).invoke(query, signal && { signal });
  throw new ConfigurationError('fromLangchain', source, 'give a retriever or a vector store of LangChain');
}

function sourceDocument({ id, pageContent, metadata }: DocumentInterface, score: number): SourceDocument {
  const { title, source } = metadata as { readonly title?: unknown; readonly source?: unknown };
  return {
    id: id ?? createHash('sha256').update(pageContent).digest('hex').slice(0, 16),
    content: pageContent,
    score,
    ...(typeof title === 'string' && { title }),
    ...(typeof source === 'string' && { url: source }),
    metadata: metadata as Record<string, unknown>,
  };
}

export interface RagpressRetrieverOptions extends BaseRetrieverInput {
  readonly retriever: Retriever;
  /** Default 10. */
  readonly limit?: number;
}

/**
 * A retriever of ours as a LangChain retriever. What ours knows of a document is in its `metadata`: its own metadata,
 * `title`, `source` (its URL) and `score`.
 *
 * @example
 * const chain = RunnablePassthrough.assign({
 *   documents: (input) => new RagpressRetriever({ retriever: hybrid }).invoke(input.question),
 * });
 */
export class RagpressRetriever extends BaseRetriever {
  static override lc_name(): string {
    return 'RagpressRetriever';
  }

  override lc_namespace = ['ragpress', 'retrievers'];
  readonly #retriever: Retriever;
  readonly #limit: number;

  /** @throws ConfigurationError */
  constructor({ retriever, limit = LIMIT, ...fields }: RagpressRetrieverOptions) {
    super(fields);
    if (typeof (retriever as Partial<Retriever> | undefined)?.retrieve !== 'function')
      throw new ConfigurationError('retriever', retriever, 'give { retrieve }');
    if (!Number.isSafeInteger(limit) || limit < 1)
      throw new ConfigurationError('limit', limit, 'give a whole number above 0');
    this.#retriever = retriever;
    this.#limit = limit;
  }

  /** LangChain calls this from `invoke`. */
  override async _getRelevantDocuments(
    query: string,
    _callbacks?: CallbackManagerForRetrieverRun,
  ): Promise<DocumentInterface[]> {
    const found = await this.#retriever.retrieve(query, { limit: this.#limit });
    return found.map(
      ({ id, content, title, url, score, metadata }) =>
        new Document({
          id,
          pageContent: content,
          metadata: {
            ...metadata,
            ...(title !== undefined && { title }),
            ...(url !== undefined && { source: url }),
            ...(score !== undefined && { score }),
          },
        }),
    );
  }
}

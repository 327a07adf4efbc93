import { Document, type DocumentInterface } from '@langchain/core/documents';
import { BaseDocumentCompressor } from '@langchain/core/retrievers/document_compressors';
import { RunnableLambda, type Runnable } from '@langchain/core/runnables';
import type {
  CompressionResult,
  Pipeline,
  PipelineOptions,
  SourceDocument,
  Span,
} from '../compressors/index.js';
import { Pipelines } from './pipelines.js';

export { answerStep, type AnswerInput, type AnswerOutput, type AnswerStep } from './langchain/answer-step.js';
export {
  RagpressChatModel,
  type AnswerOptions,
  type RagpressChatModelCallOptions,
  type RagpressChatModelParams,
} from './langchain/ragpress-chat-model.js';
export { fromLangchain, RagpressRetriever, type RagpressRetrieverOptions } from '../retrievers/langchain.js';

export interface LangchainOptions {
  /** A pipeline, or options to make one. */
  readonly pipeline?: Pipeline | PipelineOptions;
}

/** What a compressed document's `metadata.ragpress` holds. */
export interface RagpressMetadata {
  /** Ranges of the original `pageContent`. */
  readonly spans: readonly Span[];
  readonly tokensBefore: number;
  readonly tokensAfter: number;
}

/**
 * A document compressor for LangChain: documents keep their metadata, and of their text what answers the query.
 * Documents of which nothing is kept are left out.
 *
 * @example
 * const retriever = new ContextualCompressionRetriever({
 *   baseCompressor: new RagpressCompressor({ pipeline: { budget: { tokens: 800 } } }),
 *   baseRetriever: vectorStore.asRetriever(),
 * });
 */
export class RagpressCompressor extends BaseDocumentCompressor {
  readonly #pipelines: Pipelines;

  /** @throws ConfigurationError */
  constructor({ pipeline }: LangchainOptions = {}) {
    super();
    this.#pipelines = new Pipelines(pipeline);
  }

  override async compressDocuments(
    documents: DocumentInterface[],
    query: string,
  ): Promise<DocumentInterface[]> {
    return compressedDocuments(documents, await compress(this.#pipelines, documents, query));
  }

  /** Lets worker threads go. */
  close(): Promise<void> {
    return this.#pipelines.close();
  }
}

/** What `compressStep` takes: documents, and the question in one of two names. */
export type CompressInput = { readonly documents: DocumentInterface[] } & (
  { readonly question: string } | { readonly query: string }
);

export type CompressOutput<Input> = Input & {
  /** The text to put into the prompt. */
  readonly context: string;
};

/**
 * A step of a LangChain chain: adds to `{ question, documents }` the `context` for the prompt. It stops when the call's
 * `signal` is aborted.
 *
 * @example
 * const chain = RunnablePassthrough.assign({ documents: (input) => retriever.invoke(input.question) })
 *   .pipe(compressStep({ pipeline: { budget: { tokens: 800 } } }))
 *   .pipe(prompt)
 *   .pipe(model);
 * @throws ConfigurationError
 */
export function compressStep<Input extends CompressInput = CompressInput>({
  pipeline,
}: LangchainOptions = {}): Runnable<Input, CompressOutput<Input>> {
  const pipelines = new Pipelines(pipeline);
  return RunnableLambda.from<Input, CompressOutput<Input>>(async (input, config) => {
    const query = 'question' in input ? input.question : input.query;
    const { context } = await compress(
      pipelines,
      input.documents,
      query,
      config.signal as AbortSignal | undefined,
    );
    return { ...input, context };
  }).withConfig({ runName: 'ragpress' });
}

async function compress(
  pipelines: Pipelines,
  documents: readonly DocumentInterface[],
  query: string,
  signal?: AbortSignal,
): Promise<CompressionResult> {
  const pipeline = await pipelines.choose();
  return pipeline.compress({ query, documents: documents.map(sourceDocument), ...(signal && { signal }) });
}

/** Their ids need not be there, nor differ: the place of a document in the list tells it from the others. */
function sourceDocument({ pageContent, metadata }: DocumentInterface, index: number): SourceDocument {
  const { title, source } = metadata as { readonly title?: unknown; readonly source?: unknown };
  return {
    id: String(index),
    content: pageContent,
    ...(typeof title === 'string' && { title }),
    ...(typeof source === 'string' && { url: source }),
  };
}

function compressedDocuments(
  documents: readonly DocumentInterface[],
  result: CompressionResult,
): DocumentInterface[] {
  return result.documents.map(({ id, content, spans, tokensBefore, tokensAfter }) => {
    const { metadata, id: given } = documents[Number(id)]!;
    const ragpress: RagpressMetadata = { spans, tokensBefore, tokensAfter };
    return new Document({
      pageContent: content,
      metadata: { ...metadata, ragpress },
      ...(given !== undefined && { id: given }),
    });
  });
}

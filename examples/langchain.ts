import { ContextualCompressionRetriever } from '@langchain/classic/retrievers/contextual_compression';
import { Document } from '@langchain/core/documents';
import { StringOutputParser } from '@langchain/core/output_parsers';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { BaseRetriever } from '@langchain/core/retrievers';
import { RunnablePassthrough, type RunnableInterface, type RunnableLike } from '@langchain/core/runnables';
import { compressStep, RagpressCompressor } from 'ragpress/langchain';
import { isMain } from './is-main.js';
import { pages } from './pages.js';

/** Stands for a vector store's retriever; it finds everything there is. */
class PagesRetriever extends BaseRetriever {
  override lc_namespace = ['ragpress', 'examples'];

  override _getRelevantDocuments(): Promise<Document[]> {
    return Promise.resolve(
      pages.map(({ id, title, content }) => new Document({ id, pageContent: content, metadata: { title } })),
    );
  }
}

const pipeline = { model: 'gpt-4o', budget: { tokens: 120 } };

/** A retriever of documents that hold only what answers the query. */
export function createRetriever(): BaseRetriever {
  return new ContextualCompressionRetriever({
    baseCompressor: new RagpressCompressor({ pipeline }),
    baseRetriever: new PagesRetriever(),
  });
}

/** A chain from a question to a model's answer, with the compressed context in its prompt. */
export function createChain(model: RunnableLike): RunnableInterface<{ question: string }, string> {
  const retriever = new PagesRetriever();
  return RunnablePassthrough.assign({
    documents: ({ question }: { question: string }) => retriever.invoke(question),
  })
    .pipe(compressStep({ pipeline }))
    .pipe(ChatPromptTemplate.fromTemplate('Answer from this context:\n{context}\n\nQuestion: {question}'))
    .pipe(model)
    .pipe(new StringOutputParser());
}

// npx tsx examples/langchain.ts
if (isMain(import.meta)) {
  for (const { pageContent, metadata } of await createRetriever().invoke(
    'How much is a day return for an adult?',
  )) {
    console.log(pageContent, metadata);
  }
}

import { ContextualCompressionRetriever } from '@langchain/classic/retrievers/contextual_compression';
import { Document } from '@langchain/core/documents';
import { BaseRetriever } from '@langchain/core/retrievers';
import { BaseDocumentCompressor } from '@langchain/core/retrievers/document_compressors';
import { RunnableLambda } from '@langchain/core/runnables';
import { describe, expect, test } from 'vitest';
import { type Compressor } from 'ragpress';
import { compressStep, RagpressCompressor, type RagpressMetadata } from 'ragpress/langchain';
import { ferry, question, yard } from './requests/prompts.js';

const documents = [
  new Document({ id: 'x', pageContent: ferry, metadata: { title: 'Fares', page: 3 } }),
  new Document({ pageContent: yard, metadata: { source: 'https://yard.example/rowan' } }),
  new Document({ id: 'x', pageContent: '', metadata: {} }),
];

class Retriever extends BaseRetriever {
  override lc_namespace = ['test'];
  override _getRelevantDocuments(): Promise<Document[]> {
    return Promise.resolve(documents);
  }
}

const pipeline = { model: 'gpt-4o', budget: { tokens: 45 } };

describe('RagpressCompressor', () => {
  test('fits ContextualCompressionRetriever', async () => {
    const baseCompressor = new RagpressCompressor({ pipeline });
    expect(BaseDocumentCompressor.isBaseDocumentCompressor(baseCompressor)).toBe(true);
    const retriever = new ContextualCompressionRetriever({ baseCompressor, baseRetriever: new Retriever() });
    const found = await retriever.invoke(question);
    expect(found).toHaveLength(1);
    expect(found[0]).toBeInstanceOf(Document);
    expect(found[0]).toMatchObject({ id: 'x', metadata: { title: 'Fares', page: 3 } });
    expect(found[0]!.pageContent).toContain('7.50');
    expect(found[0]!.pageContent.length).toBeLessThan(ferry.length);
    await baseCompressor.close();
  });

  test('says where the text stands in the original', async () => {
    const compressor = new RagpressCompressor({ pipeline });
    const [compressed] = await compressor.compressDocuments(documents, question);
    const { spans, tokensBefore, tokensAfter } = (compressed!.metadata as { ragpress: RagpressMetadata })
      .ragpress;
    expect(tokensAfter).toBeLessThan(tokensBefore);
    for (const { start, end } of spans)
      expect(compressed!.pageContent).toContain(ferry.slice(start, end).trim());
    expect(documents[0]!.metadata).toEqual({ title: 'Fares', page: 3 });
    await compressor.close();
  });

  test('options that cannot be used are named at start', () => {
    expect(() => new RagpressCompressor({ pipeline: { preset: 'slow' } })).toThrow(
      expect.objectContaining({ field: 'preset', value: 'slow' }) as Error,
    );
    expect(() => compressStep({ pipeline: { deadline: -1 } })).toThrow(
      expect.objectContaining({ field: 'deadline', value: -1 }) as Error,
    );
  });
});

describe('compressStep', () => {
  test.each([{ question }, { query: question }])(
    'adds the context to what it is given: %j',
    async (asked) => {
      const output = await compressStep({ pipeline }).invoke({ ...asked, documents });
      expect(output).toMatchObject({ ...asked, documents });
      expect(output.context).toContain('7.50');
      expect(output.context).not.toContain('Rowan');
    },
  );

  test('is a step among others', async () => {
    const chain = compressStep({ pipeline }).pipe(
      RunnableLambda.from(({ context }: { context: string }) => context.length),
    );
    expect(await chain.invoke({ question, documents })).toBeGreaterThan(10);
  });

  test("stops when the call's signal does", async () => {
    let reason: unknown;
    const waiting: Compressor = {
      name: 'waiting',
      compress: (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reason = signal.reason;
            reject(signal.reason as Error);
          });
        }),
    };
    const asked = compressStep({ pipeline: { stages: [waiting] } }).invoke(
      { question, documents },
      { signal: AbortSignal.timeout(100) },
    );
    await expect(asked).rejects.toThrow();
    expect(reason).toMatchObject({ name: 'TimeoutError' });
  });
});

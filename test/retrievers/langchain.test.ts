import { join } from 'node:path';
import { MemoryVectorStore } from '@langchain/classic/vectorstores/memory';
import { Document } from '@langchain/core/documents';
import { Embeddings } from '@langchain/core/embeddings';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { Embedder } from '../../models/encoder/embedder.js';
import { ModelRegistry } from '../../models/registry.js';
import { Bm25Retriever } from '../../retrievers/bm25.js';
import { fromLangchain, RagpressRetriever } from '../../retrievers/langchain.js';
import type { Retriever } from '../../retrievers/retriever.js';
import { fixtures } from '../models/tiny-model.js';

class TinyEmbeddings extends Embeddings {
  constructor(readonly embedder: Embedder) {
    super({});
  }
  async embedDocuments(texts: string[]): Promise<number[][]> {
    return (await this.embedder.embed(texts)).map((vector) => [...vector]);
  }
  async embedQuery(text: string): Promise<number[]> {
    return (await this.embedDocuments([text]))[0]!;
  }
}

let embedder: Embedder;
let store: MemoryVectorStore;

beforeAll(async () => {
  embedder = await Embedder.load({ registry: new ModelRegistry({ folder: join(fixtures) }), model: 'tiny' });
  store = new MemoryVectorStore(new TinyEmbeddings(embedder));
  await store.addDocuments([
    new Document({
      pageContent: 'The harbour line runs every day.',
      metadata: { title: 'Line', source: 'https://x.test/line' },
    }),
    new Document({ pageContent: 'Winter fare: a bicycle is free.', id: 'fares' }),
    new Document({ pageContent: 'q z q z' }),
  ]);
});

afterAll(async () => {
  await embedder.close();
});

describe('a source of LangChain', () => {
  test.each([
    ['vector store', () => fromLangchain(store)],
    ['retriever', () => fromLangchain(store.asRetriever(10))],
  ])('(%s) is a retriever of ours', async (_, make: () => Retriever) => {
    const found = await make().retrieve('the line runs every day', { limit: 2 });
    expect(found).toHaveLength(2);
    expect(found[0]).toMatchObject({
      content: 'The harbour line runs every day.',
      title: 'Line',
      url: 'https://x.test/line',
      metadata: { title: 'Line' },
    });
    expect(found[0]!.score).toBeGreaterThan(found[1]!.score!);
    const [fares] = await make().retrieve('winter fare bicycle free');
    expect(fares!.id).toBe('fares');
    const again = await make().retrieve('the line runs every day', { limit: 1 });
    expect(again[0]!.id).toBe(found[0]!.id);
  });

  test('stops when aborted, and must be one', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(fromLangchain(store).retrieve('q', { signal })).rejects.toThrow('enough');
    expect(() => fromLangchain({} as MemoryVectorStore)).toThrow(ConfigurationError);
  });
});

describe('a retriever of ours', () => {
  test('is one of LangChain', async () => {
    const bm25 = new Bm25Retriever();
    await bm25.add([
      {
        id: 'line',
        content: 'The harbour line runs every day.',
        title: 'Line',
        url: 'https://x.test/line',
        metadata: { page: 3 },
      },
      { id: 'fares', content: 'A bicycle is free.' },
    ]);
    const found = await new RagpressRetriever({ retriever: bm25, limit: 1 }).invoke('harbour line');
    expect(found).toMatchObject([
      {
        id: 'line',
        pageContent: 'The harbour line runs every day.',
        metadata: { page: 3, title: 'Line', source: 'https://x.test/line' },
      },
    ]);
    expect(found[0]!.metadata.score).toBeGreaterThan(0);
  });

  test('must be one', () => {
    expect(() => new RagpressRetriever({ retriever: {} as Retriever })).toThrow(ConfigurationError);
    expect(() => new RagpressRetriever({ retriever: new Bm25Retriever(), limit: 0 })).toThrow(/limit/);
  });
});

import { describe, expect, test } from 'vitest';
import type { SourceDocument } from '../../compressors/contract.js';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { Bm25Retriever } from '../../retrievers/bm25.js';
import { HybridRetriever, type RetrieverFailure } from '../../retrievers/hybrid.js';
import type { Retriever, RetrieveOptions } from '../../retrievers/retriever.js';

/** Gives documents of these ids in this order, whatever is asked. */
function fixed(...ids: string[]): Retriever & { asked: RetrieveOptions[] } {
  const asked: RetrieveOptions[] = [];
  return {
    asked,
    retrieve(_, options = {}) {
      asked.push(options);
      return Promise.resolve(ids.map((id): SourceDocument => ({ id, content: id })));
    },
  };
}

const failing: Retriever = { retrieve: () => Promise.reject(new Error('no connection')) };

describe('a hybrid retriever', () => {
  test('adds 1 / (60 + rank) over the lists that give a document', async () => {
    const hybrid = new HybridRetriever({ retrievers: [fixed('a', 'b', 'c'), fixed('b', 'd')] });
    const found = await hybrid.retrieve('query');
    expect(found.map(({ id }) => id)).toEqual(['b', 'a', 'd', 'c']);
    expect(found.map(({ score }) => score)).toEqual([1 / 62 + 1 / 61, 1 / 61, 1 / 62, 1 / 63]);
  });

  test('weighs its retrievers, and takes k', async () => {
    const hybrid = new HybridRetriever({
      retrievers: [fixed('a'), { retriever: fixed('b'), weight: 2 }],
      k: 1,
    });
    expect(await hybrid.retrieve('query')).toMatchObject([
      { id: 'b', score: 1 },
      { id: 'a', score: 0.5 },
    ]);
  });

  test('counts a document that comes twice in one list once, and ties go to the first list', async () => {
    const hybrid = new HybridRetriever({ retrievers: [fixed('a', 'a'), fixed('b')] });
    expect(await hybrid.retrieve('query')).toMatchObject([
      { id: 'a', score: 1 / 61 },
      { id: 'b', score: 1 / 61 },
    ]);
  });

  test('asks for more than it gives', async () => {
    const source = fixed('a', 'b', 'c');
    const hybrid = new HybridRetriever({ retrievers: [source], candidates: 20 });
    expect(await hybrid.retrieve('query', { limit: 2 })).toHaveLength(2);
    await hybrid.retrieve('query', { limit: 30 });
    expect(source.asked.map(({ limit }) => limit)).toEqual([20, 30]);
  });

  test('uses the others where one fails, and says which did', async () => {
    const told: RetrieverFailure[] = [];
    const hybrid = new HybridRetriever({
      retrievers: [{ retriever: failing, name: 'remote' }, fixed('a')],
      onFailure: (failure) => told.push(failure),
    });
    expect(await hybrid.search('query')).toMatchObject({
      documents: [{ id: 'a' }],
      failures: [{ retriever: 'remote', error: { message: 'no connection' } }],
    });
    expect(await hybrid.retrieve('query')).toMatchObject([{ id: 'a' }]);
    expect(told.map(({ retriever }) => retriever)).toEqual(['remote']);
  });

  test('fails where all fail, with their reasons', async () => {
    const hybrid = new HybridRetriever({ retrievers: [failing, { retriever: failing, name: 'other' }] });
    await expect(hybrid.retrieve('query')).rejects.toThrow(
      /0: Error: no connection; other: Error: no connection/,
    );
  });

  test('fuses what words find with what another finds', async () => {
    const bm25 = new Bm25Retriever();
    await bm25.add([
      { id: 'ferry', content: 'The ferry runs every day.' },
      { id: 'fare', content: 'A single fare is 4.20.' },
    ]);
    const hybrid = new HybridRetriever({ retrievers: [bm25, fixed('fare', 'ferry')] });
    expect((await hybrid.retrieve('single fare'))[0]).toMatchObject({
      id: 'fare',
      content: 'A single fare is 4.20.',
    });
  });

  test('stops when aborted', async () => {
    const hybrid = new HybridRetriever({ retrievers: [fixed('a')] });
    await expect(hybrid.retrieve('q', { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    );
  });

  test('refuses what cannot work', async () => {
    expect(() => new HybridRetriever({ retrievers: [] })).toThrow(/hybrid\.retrievers/);
    expect(() => new HybridRetriever({ retrievers: [{} as Retriever] })).toThrow(ConfigurationError);
    await expect(
      new HybridRetriever({ retrievers: [fixed('a')] }).retrieve('q', { limit: 1.5 }),
    ).rejects.toThrow(/limit/);
  });
});

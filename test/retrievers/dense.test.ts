import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { Embedder } from '../../models/encoder/embedder.js';
import { ModelRegistry } from '../../models/registry.js';
import type { EmbeddingModel } from '../../models/encoder/embedding-model.js';
import { DenseRetriever, type DenseOptions } from '../../retrievers/dense.js';
import { Vectors } from '../../retrievers/vectors.js';
import { fixtures } from '../models/tiny-model.js';

let embedder: Embedder;
let folder: string;

beforeAll(async () => {
  embedder = await Embedder.load({ registry: new ModelRegistry({ folder: fixtures }), model: 'tiny' });
  folder = mkdtempSync(join(tmpdir(), 'ragpress-dense-'));
});

afterAll(async () => {
  await embedder.close();
  rmSync(folder, { recursive: true });
});

const documents = [
  { id: 'fares', content: 'Winter fare: a bicycle is free.' },
  { id: 'line', content: 'The harbour line runs every day.' },
  { id: 'page', content: '<html><title>Who</title><body><p>q z q z</p></body></html>' },
];

async function retrieverOf(
  given: readonly { id: string; content: string }[],
  options: Partial<DenseOptions> = {},
): Promise<DenseRetriever> {
  const retriever = new DenseRetriever({ embedder, ...options });
  await retriever.add(given);
  return retriever;
}

/** Vectors without a meaning, far apart from each other, the same for the same text. */
function scattered(dimensions: number): EmbeddingModel {
  return {
    dimensions,
    model: `scattered-${dimensions}`,
    embed: (texts) => Promise.resolve(texts.map((text) => scatteredVector(text, dimensions))),
  };
}

function scatteredVector(text: string, dimensions: number): Float32Array {
  let state = 2_166_136_261;
  for (const char of text) state = Math.imul(state ^ char.codePointAt(0)!, 16_777_619);
  const vector = Float32Array.from({ length: dimensions }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  });
  const length = Math.hypot(...vector);
  return vector.map((value) => value / length);
}

const numbered = (count: number) =>
  Array.from({ length: count }, (_, index) => ({ id: String(index), content: `number ${index}` }));

describe('a dense retriever', () => {
  test('finds what is most alike, with its cosine as score', async () => {
    const retriever = await retrieverOf(documents);
    expect([retriever.size, retriever.passages, retriever.index]).toEqual([3, 3, 'exact']);
    const found = await retriever.retrieve('the line runs every day');
    expect(found[0]).toMatchObject({ id: 'line', content: documents[1]!.content });
    for (const [index, { score }] of found.entries())
      expect(score).toBeLessThanOrEqual(found[index - 1]?.score ?? 1.001);
    expect(await retriever.retrieve('bicycle fare', { limit: 1 })).toMatchObject([{ id: 'fares' }]);
    expect(await retriever.retrieve('bicycle', { limit: 1 })).toHaveLength(1);
  });

  test('gives nothing that is less alike than asked for', async () => {
    const retriever = await retrieverOf(documents, { minimumScore: 0.999 });
    expect(await retriever.retrieve('harbour')).toEqual([]);
    expect(await (await retrieverOf([])).retrieve('harbour')).toEqual([]);
  });

  test('finds a long document by its best passage, once', async () => {
    const filler = 'q z x. '.repeat(400);
    const long = { id: 'long', content: `${filler} ${'winter fare bicycle free. '.repeat(50)} ${filler}` };
    const retriever = await retrieverOf([documents[1]!, long], { passageLength: 300 });
    expect(retriever.passages).toBeGreaterThan(10);
    const found = await retriever.retrieve('winter fare bicycle free.');
    expect(found.map(({ id }) => id)).toEqual(['long', ...(found.length > 1 ? ['line'] : [])]);
    expect(found[0]!.score).toBeGreaterThan(0.9);
  });

  test('replaces and removes', async () => {
    const retriever = await retrieverOf(documents);
    await retriever.add([{ id: 'line', content: 'q z q z' }]);
    expect(retriever.size).toBe(3);
    const line = (await retriever.retrieve('the line runs every day')).find(({ id }) => id === 'line');
    expect(line?.content ?? 'q z q z').toBe('q z q z');
    expect(retriever.remove(['line', 'unknown'])).toBe(1);
    expect((await retriever.retrieve('the line runs every day')).map(({ id }) => id)).not.toContain('line');
    await retriever.add([documents[1]!]);
    expect((await retriever.retrieve('the line runs every day'))[0]!.id).toBe('line');
    expect(retriever.passages).toBe(3);
  });

  test('finds the same whatever was added, replaced and removed on the way', async () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 20 })), { maxLength: 60 });
    await fc.assert(
      fc.asyncProperty(steps, fc.boolean(), async (steps, hnsw) => {
        const model = scattered(24);
        const options = { embedder: model, precision: 'float32' as const, minimumScore: -1 };
        const changed = new DenseRetriever({ ...options, hnswFrom: hnsw ? 5 : Infinity });
        const there = new Map<string, { id: string; content: string }>();
        for (const [version, [adds, number]] of steps.entries()) {
          const id = String(number);
          if (adds) {
            const document = { id, content: `${id}, version ${version}` };
            await changed.add([document]);
            there.set(id, document);
          } else expect(changed.remove([id])).toBe(there.delete(id) ? 1 : 0);
        }
        const fresh = new DenseRetriever(options);
        await fresh.add(there.values());
        const of = async (retriever: DenseRetriever) =>
          (await retriever.retrieve('a query', { limit: 30 })).map(({ id, content }) => [id, content]);
        expect(await of(changed)).toEqual(await of(fresh));
      }),
      { numRuns: 40 },
    );
  });

  test('stops when aborted', async () => {
    const retriever = await retrieverOf(documents);
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(retriever.retrieve('harbour', { signal })).rejects.toThrow('enough');
    await expect(retriever.add(numbered(5), { signal })).rejects.toThrow('enough');
    expect(retriever.size).toBe(3);
  });

  test('refuses what cannot work', async () => {
    expect(() => new DenseRetriever({} as DenseOptions)).toThrow(/dense\.embedder/);
    expect(() => new DenseRetriever({ embedder, precision: 'int4' as 'int8' })).toThrow(/dense\.precision/);
    const retriever = await retrieverOf(documents);
    await expect(retriever.retrieve('a', { limit: 0 })).rejects.toThrow(ConfigurationError);
    await expect(retriever.add([{ id: 'x' } as { id: string; content: string }])).rejects.toThrow(
      ConfigurationError,
    );
  });

  test('goes on with a document that cannot be read', async () => {
    const deep = { id: 'deep', content: `${'<div>'.repeat(100_000)}winter fare`, format: 'html' as const };
    const retriever = await retrieverOf([deep, documents[0]!]);
    expect(retriever.size).toBe(2);
  });
});

describe('int8 vectors', () => {
  test('give scores within a hundredth of float32', () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (a, b) => {
        const [vector, query] = [scatteredVector(a, 384), scatteredVector(b, 384)];
        const [int8, float32] = (['int8', 'float32'] as const).map((precision) => {
          const vectors = new Vectors(384, precision);
          vectors.set(3, vector);
          return vectors.score(3, query);
        });
        expect(Math.abs(int8! - float32!)).toBeLessThan(0.01);
      }),
    );
  });
});

describe('the graph of hnswlib', () => {
  test('finds nearly what comparing with all finds', async () => {
    const model = scattered(32);
    const graph = new DenseRetriever({ embedder: model, hnswFrom: 1_000 });
    const exact = new DenseRetriever({ embedder: model, hnswFrom: Infinity });
    await graph.add(numbered(2_000));
    await exact.add(numbered(2_000));
    expect([graph.index, exact.index]).toEqual(['hnsw', 'exact']);
    let found = 0;
    for (let query = 0; query < 50; query++) {
      const expected = (await exact.retrieve(`query ${query}`)).map(({ id }) => id);
      const got = await graph.retrieve(`query ${query}`);
      found += got.filter(({ id }) => expected.includes(id)).length;
    }
    expect(found / 500).toBeGreaterThan(0.97);
  });
});

describe('a saved index', () => {
  test.each([
    ['exact', Infinity, 'int8'],
    ['exact', Infinity, 'float32'],
    ['hnsw', 100, 'int8'],
  ] as const)('(%s) answers as before, and can be changed', async (index, hnswFrom, precision) => {
    const model = scattered(24);
    const retriever = new DenseRetriever({ embedder: model, hnswFrom, precision });
    await retriever.add(numbered(300));
    retriever.remove(['7', '8']);
    const path = join(folder, `${index}-${precision}`);
    await retriever.save(path);
    const loaded = await DenseRetriever.load(path, { embedder: model });
    expect([loaded.size, loaded.index]).toEqual([298, index]);
    for (const query of ['a', 'b', 'c'])
      expect(await loaded.retrieve(query)).toEqual(await retriever.retrieve(query));
    await loaded.add(numbered(310));
    expect([loaded.size, loaded.passages, loaded.index]).toEqual([310, 310, index]);
    expect((await loaded.retrieve('number 7'))[0]!.id).toBe('7');
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  test('is refused when damaged, cut, or of another model, version or kind', async () => {
    const path = join(folder, 'index');
    await (await retrieverOf(documents)).save(path);
    const bytes = readFileSync(path);
    const load = () => DenseRetriever.load(path, { embedder });
    for (const at of [bytes.length - 1, bytes.length >> 1]) {
      const damaged = Buffer.from(bytes);
      damaged[at]! ^= 1;
      writeFileSync(path, damaged);
      await expect(load()).rejects.toThrow('checksum');
    }
    writeFileSync(path, bytes.subarray(0, bytes.length - 5));
    await expect(load()).rejects.toThrow('checksum');
    writeFileSync(
      path,
      Buffer.from(bytes.toString('latin1').replace('"version":1', '"version":9'), 'latin1'),
    );
    await expect(load()).rejects.toThrow('version 9');
    writeFileSync(path, 'something else');
    await expect(load()).rejects.toThrow('no index of this kind');
    writeFileSync(path, bytes);
    await expect(DenseRetriever.load(path, { embedder: scattered(16) })).rejects.toThrow(
      /made with tiny@1, 16 wide, and the embedder is scattered-16/,
    );
    await expect(DenseRetriever.load(join(folder, 'none'), { embedder })).rejects.toThrow(ConfigurationError);
  });
});

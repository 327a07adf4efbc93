import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ConfigurationError } from '../../../settings/configuration-error.js';
import { Embedder } from '../../../models/encoder/embedder.js';
import { ModelRegistry } from '../../../models/registry.js';
import { hubServer } from '../hub-server.js';
import { fixtures, hasWeights } from '../tiny-model.js';

const registry = new ModelRegistry({ folder: fixtures });

let embedder: Embedder;

beforeAll(async () => {
  embedder = await Embedder.load({ registry, model: 'tiny', cacheSize: 0 });
});

afterAll(async () => {
  await embedder.close();
});

function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, index) => sum + value * b[index]!, 0);
}

describe('embeddings', () => {
  test('are of length 1, one a text, in the order of the texts', async () => {
    const texts = ['the ferry runs every day', 'winter fares', 'the ferry runs every day', 'bicycle'];
    const vectors = await embedder.embed(texts);
    expect(vectors).toHaveLength(4);
    for (const vector of vectors) {
      expect(vector).toHaveLength(embedder.dimensions);
      expect(cosine(vector, vector)).toBeCloseTo(1, 5);
    }
    expect(vectors[2]).toEqual(vectors[0]);
    for (const [index, text] of texts.entries())
      expect(await embedder.embed([text])).toEqual([vectors[index]]);
  });

  test('do not depend on the texts beside them', async () => {
    const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 80 }), { maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(texts, fc.string({ maxLength: 20 }), async (others, text) => {
        const [alone] = await embedder.embed([text]);
        expect((await embedder.embed([...others, text])).at(-1)).toEqual(alone);
      }),
      { numRuns: 25 },
    );
  });

  test('exist for any text', async () => {
    const texts = ['', ' ', '😀👩‍👩‍👧', 'שלום עולם', '\ud800', '東京タワー', 'x'.repeat(1_000_000), '\0'];
    for (const vector of await embedder.embed(texts)) expect(cosine(vector, vector)).toBeCloseTo(1, 5);
    expect(await embedder.embed([])).toEqual([]);
  });

  test('read no more of a text than the model takes', async () => {
    const read = 'every '.repeat(embedder.maxTokens - 2);
    const [short, long, other] = await embedder.embed([
      read,
      `${read} ferry `.repeat(5_000),
      `ferry ${read}`,
    ]);
    expect(long).toEqual(short);
    expect(other).not.toEqual(short);
  });

  test('are those of a thousand texts as of each', async () => {
    const texts = Array.from({ length: 1_000 }, (_, index) => `ferry ${index} runs every ${index % 7} day`);
    const vectors = await embedder.embed(texts);
    expect(vectors).toHaveLength(1_000);
    expect(vectors[500]).toEqual((await embedder.embed([texts[500]!]))[0]);
  });

  test('are kept by their text, and are the caller’s to change', async () => {
    const cached = await Embedder.load({ registry, model: 'tiny', cacheSize: 2 });
    try {
      const [first] = await cached.embed(['ferry']);
      const value = first![0]!;
      first!.fill(0);
      expect((await cached.embed(['ferry']))[0]![0]).toBe(value);
      await cached.embed(['a', 'b', 'c', 'ferry']);
      expect((await cached.embed(['ferry', 'a']))[0]![0]).toBe(value);
    } finally {
      await cached.close();
    }
  });

  test('stop in the middle when aborted, and can be asked for again', async () => {
    const stop = new AbortController();
    const texts = Array.from(
      { length: 4_000 },
      (_, index) => `the ferry runs every winter day, line ${index}`,
    );
    const embedding = embedder.embed(texts, { signal: stop.signal });
    setTimeout(() => {
      stop.abort(new Error('enough'));
    }, 30);
    await expect(embedding).rejects.toThrow('enough');
    await expect(embedder.embed(['ferry'], { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow(
      'no',
    );
    expect(await embedder.embed(['ferry'])).toHaveLength(1);
  });

  test('refuse what is no text', async () => {
    await expect(embedder.embed(['a', null as unknown as string])).rejects.toThrow(/texts\[1\]/);
  });
});

describe('an embedder', () => {
  test('counts its memory once it runs, and loads again after it was closed', async () => {
    const single = await Embedder.load({ registry, model: 'tiny' });
    expect(await single.memory()).toBeUndefined();
    const [before] = await single.embed(['ferry']);
    expect((await single.memory())!.fileBytes).toBeGreaterThan(0);
    await single.close();
    await single.close();
    expect((await single.embed(['ferry']))[0]).toEqual(before);
    await single.close();
  });

  test('names a model that is not there, and one of another kind', async () => {
    await expect(Embedder.load({ registry, model: 'acme/none' })).rejects.toThrow(
      'ragpress models pull acme/none',
    );
    await expect(Embedder.load({ registry, model: 7 as unknown as string })).rejects.toThrow(
      ConfigurationError,
    );
    const folder = mkdtempSync(join(tmpdir(), 'ragpress-embedder-'));
    try {
      cpSync(join(fixtures, 'tiny'), join(folder, 'tiny'), { recursive: true });
      const path = join(folder, 'tiny', 'model.json');
      const manifest = readFileSync(path, 'utf8');
      writeFileSync(path, manifest.replace('"embedder"', '"evidence"'));
      await expect(Embedder.load({ registry: new ModelRegistry({ folder }), model: 'tiny' })).rejects.toThrow(
        'of the kind evidence',
      );
      writeFileSync(path, manifest.replace('"dimensions": 16', '"dimensions": 24'));
      const wrong = await Embedder.load({ registry: new ModelRegistry({ folder }), model: 'tiny' });
      await expect(wrong.embed(['ferry'])).rejects.toThrow(/gives \[1, \d+, 16\] where/);
      await wrong.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test('runs a model pulled from a hub', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ragpress-embedder-'));
    const hub = await hubServer({
      files: {
        'README.md': Buffer.from('---\nlicense: mit\n---\n'),
        'config.json': Buffer.from('{"hidden_size": 16, "max_position_embeddings": 32}'),
        '1_Pooling/config.json': Buffer.from('{"pooling_mode_mean_tokens": true}'),
        'tokenizer.json': readFileSync(join(fixtures, 'tiny', 'tokenizer.json')),
        'onnx/model_quantized.onnx': readFileSync(join(fixtures, 'tiny', 'model.onnx')),
      },
    });
    try {
      const pulling = new ModelRegistry({ cacheFolder: folder, hub: hub.url });
      await pulling.pull('acme/tiny');
      const pulled = await Embedder.load({ registry: pulling, model: 'acme/tiny' });
      expect(await pulled.embed(['the ferry'])).toEqual(await embedder.embed(['the ferry']));
      await pulled.close();
    } finally {
      await hub.close();
      rmSync(folder, { recursive: true });
    }
  });
});

describe.skipIf(!hasWeights('minilm'))('minilm', () => {
  test('puts what means the same close together', async () => {
    const minilm = await Embedder.load();
    try {
      const [question, answer, other] = await minilm.embed([
        'How much is the boat ticket?',
        'A single ferry fare costs 4.20 for adults.',
        'The engine was replaced in 2011 by a yard in the north.',
      ]);
      expect(cosine(question!, answer!)).toBeGreaterThan(cosine(question!, other!) + 0.2);
    } finally {
      await minilm.close();
    }
  });

  test('gives the same bytes on one thread as on several, alone as among others', async () => {
    const texts = ['A single ferry fare costs 4.20 for adults.', 'word '.repeat(300), ''];
    const vectors = [];
    for (const threads of [1, 2, 4]) {
      const minilm = await Embedder.load({ threads, cacheSize: 0 });
      vectors.push(await minilm.embed(texts));
      for (const [index, text] of texts.entries())
        expect(await minilm.embed([text])).toEqual([vectors[0]![index]]);
      await minilm.close();
    }
    expect(vectors[1]).toEqual(vectors[0]);
    expect(vectors[2]).toEqual(vectors[0]);
  });
});

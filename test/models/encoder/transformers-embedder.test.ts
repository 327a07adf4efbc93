import { execFile } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPipeline, htmlrag } from '../../../compressors/index.js';
import { Embedder } from '../../../models/encoder/embedder.js';
import {
  TransformersEmbedder,
  type TransformersEmbedderOptions,
} from '../../../models/encoder/transformers-embedder.js';
import { packageFile } from '../../../models/package-file.js';
import { ModelRegistry } from '../../../models/registry.js';
import { DenseRetriever } from '../../../retrievers/dense.js';
import { ConfigurationError } from '../../../settings/configuration-error.js';
import { hubServer } from '../hub-server.js';
import { fixtures } from '../tiny-model.js';

const isInstalled = existsSync(
  join(packageFile(), 'node_modules', '@xenova', 'transformers', 'package.json'),
);
const GRAPH = 'onnx/model_quantized.onnx';

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ragpress-transformers-'));
  layOut('acme/tiny', hubFiles());
});

afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** The tiny encoder as a hub has its like: special tokens are put on by the tokenizer's own post-processor. */
function hubFiles(hasSpecialTokens = true): Record<string, Buffer> {
  const tokenizer = JSON.parse(readFileSync(join(fixtures, 'tiny', 'tokenizer.json'), 'utf8')) as object;
  const specials = { type: 'BertProcessing', sep: ['[SEP]', 3], cls: ['[CLS]', 2] };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  return {
    'config.json': json({ model_type: 'bert', hidden_size: 16, max_position_embeddings: 32 }),
    'tokenizer.json': json({ ...tokenizer, post_processor: hasSpecialTokens ? specials : null }),
    'tokenizer_config.json': json({ tokenizer_class: 'BertTokenizer', model_max_length: 512 }),
    [GRAPH]: readFileSync(join(fixtures, 'tiny', 'model.onnx')),
  };
}

function layOut(name: string, files: Readonly<Record<string, Buffer>>, place = 'models'): void {
  mkdirSync(join(folder, place, name, 'onnx'), { recursive: true });
  for (const [path, content] of Object.entries(files))
    writeFileSync(join(folder, place, name, path), content);
}

function load(options: Partial<TransformersEmbedderOptions> = {}): Promise<TransformersEmbedder> {
  return TransformersEmbedder.load({ model: 'acme/tiny', cacheFolder: folder, localOnly: true, ...options });
}

function lengthOf(vector: Float32Array): number {
  return Math.hypot(...vector);
}

describe('options', () => {
  test.each<[keyof TransformersEmbedderOptions, unknown]>([
    ['model', undefined],
    ['model', '../elsewhere'],
    ['model', 'a/b/c'],
    ['revision', '../main'],
    ['pooling', 'max'],
    ['quantized', 'yes'],
    ['maxTokens', 1],
    ['cacheFolder', ''],
    ['localOnly', 1],
    ['hub', 'ftp://hub'],
    ['cacheSize', -1],
  ])('are refused where they cannot work: %s %j', async (field, value) => {
    const error: unknown = await load({ [field]: value }).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(ConfigurationError);
    expect(error).toMatchObject({ field: `transformersEmbedder.${field}`, value });
  });

  test('that are unknown are named', async () => {
    await expect(load({ device: 'gpu' } as object)).rejects.toThrow(
      /transformersEmbedder\.device.*known are/,
    );
  });
});

test('where the package is not installed, that is said with what to do', { timeout: 30_000 }, async () => {
  const home = mkdtempSync(join(tmpdir(), 'ragpress-bare-'));
  try {
    cpSync(packageFile('dist'), join(home, 'dist'), { recursive: true });
    copyFileSync(packageFile('package.json'), join(home, 'package.json'));
    mkdirSync(join(home, 'node_modules'));
    for (const name of readdirSync(join(packageFile(), 'node_modules')))
      if (name !== '@xenova')
        symlinkSync(join(packageFile(), 'node_modules', name), join(home, 'node_modules', name));
    const script = `
      import { TransformersEmbedder } from './dist/retrievers/index.js';
      await TransformersEmbedder.load({ model: 'acme/tiny', localOnly: true }).catch((error) => {
        console.log(error.name, error.message);
      });`;
    const run = promisify(execFile);
    const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', script], {
      cwd: home,
    });
    expect(stdout).toMatch(
      /^ConfigurationError .*"acme\/tiny".*not installed: npm install @xenova\/transformers/,
    );
    expect(stderr).toBe('');
  } finally {
    rmSync(home, { recursive: true });
  }
});

describe.skipIf(!isInstalled)('with @xenova/transformers', () => {
  let embedder: TransformersEmbedder;

  beforeAll(async () => {
    embedder = await load({ cacheSize: 0 });
  });

  afterAll(async () => {
    await embedder.close();
  });

  test('embeddings are those that our own embedder gives, beside it in one process', async () => {
    const own = await Embedder.load({
      registry: new ModelRegistry({ folder: fixtures }),
      model: 'tiny',
      cacheSize: 0,
    });
    try {
      const texts = ['the ferry runs every day', 'Winter fares?', '', 'every '.repeat(5_000), '東京 😀'];
      for (let round = 0; round < 2; round++) {
        const [theirs, ours] = await Promise.all([embedder.embed(texts), own.embed(texts)]);
        for (const [index, vector] of theirs.entries()) {
          for (const [at, value] of vector.entries()) expect(value).toBeCloseTo(ours[index]![at]!, 5);
        }
      }
    } finally {
      await own.close();
    }
    expect(embedder).toMatchObject({ dimensions: 16, maxTokens: 32, model: 'acme/tiny@main, int8, mean' });
  });

  test('embeddings are of length 1 for any text, and do not depend on the texts beside it', async () => {
    const texts = ['ferry', '', ' ', '😀👩‍👩‍👧', '\ud800', '東京タワー', 'x'.repeat(200_000), '\0', 'ferry'];
    const vectors = await embedder.embed(texts);
    for (const [index, vector] of vectors.entries()) {
      expect(lengthOf(vector)).toBeCloseTo(1, 5);
      expect(await embedder.embed([texts[index]!])).toEqual([vector]);
    }
    expect(await embedder.embed([])).toEqual([]);
  });

  test('a text of no token has a vector too', async () => {
    layOut('acme/bare', hubFiles(false));
    const bare = await load({ model: 'acme/bare' });
    try {
      const vectors = await bare.embed(['', '\0', 'ferry']);
      for (const vector of vectors) expect(lengthOf(vector)).toBeCloseTo(1, 5);
      expect(vectors[1]).toEqual(vectors[0]);
      expect(vectors[2]).not.toEqual(vectors[0]);
    } finally {
      await bare.close();
    }
  });

  test('pooling, a revision and a limit of tokens are obeyed', async () => {
    layOut('acme/tiny', hubFiles(), join('revisions', 'v2'));
    const first = await load({ pooling: 'cls', revision: 'v2' });
    const short = await load({ maxTokens: 4 });
    try {
      expect(first.model).toBe('acme/tiny@v2, int8, cls');
      // The tiny encoder reads each token by itself: its first state is that of [CLS] for any text.
      const [one, other] = await first.embed(['the ferry', 'bicycle']);
      expect(other).toEqual(one);
      expect(await short.embed(['the ferry runs'])).toEqual(await short.embed(['the ferry']));
      expect(await embedder.embed(['the ferry runs'])).not.toEqual(await embedder.embed(['the ferry']));
    } finally {
      await Promise.all([first.close(), short.close()]);
    }
  });

  test('vectors are kept by their text, and are the caller’s to change', async () => {
    const cached = await load();
    try {
      const [first] = await cached.embed(['ferry']);
      const copy = first!.slice();
      first!.fill(0);
      expect(await cached.embed(['ferry'])).toEqual([copy]);
    } finally {
      await cached.close();
    }
  });

  test('an abort takes effect between texts, and the event loop has its turn', async () => {
    const stop = new AbortController();
    const texts = Array.from({ length: 20_000 }, (_, index) => `the ferry runs every day, line ${index}`);
    const embedding = embedder.embed(texts, { signal: stop.signal });
    setTimeout(() => {
      stop.abort(new Error('enough'));
    }, 20);
    await expect(embedding).rejects.toThrow('enough');
    await expect(embedder.embed(['a'], { signal: AbortSignal.abort(new Error('no')) })).rejects.toThrow('no');
    expect(await embedder.embed(['ferry'])).toHaveLength(1);
  });

  test('what is no text is refused', async () => {
    await expect(embedder.embed(['a', null as unknown as string])).rejects.toThrow(/texts\[1\]: null/);
  });

  test('it loads again after it was closed', async () => {
    const single = await load({ cacheSize: 0 });
    const before = await single.embed(['ferry']);
    await single.close();
    await single.close();
    const [after, beside] = await Promise.all([single.embed(['ferry']), single.embed(['ferry'])]);
    expect(after).toEqual(before);
    expect(beside).toEqual(before);
    const embedding = single.embed(Array.from({ length: 5_000 }, (_, index) => `line ${index}`));
    const refused = expect(embedding).rejects.toMatchObject({ name: 'ModelError', code: 'inference' });
    await single.close();
    await refused;
  });

  test('a model that is not there, damaged or no encoder is named', async () => {
    await expect(load({ model: 'acme/none' })).rejects.toMatchObject({ name: 'ModelError', code: 'missing' });
    layOut('acme/damaged', { ...hubFiles(), [GRAPH]: Buffer.from('no graph') });
    await expect(load({ model: 'acme/damaged' })).rejects.toMatchObject({
      code: 'damaged',
      message: expect.stringContaining(join(folder, 'models', 'acme/damaged')) as string,
    });
  });

  test('a model comes from the hub once, and the cache serves it then', async () => {
    const hub = await hubServer({ files: hubFiles() });
    const cacheFolder = join(folder, 'cache');
    try {
      const remote = { cacheFolder, localOnly: false, hub: hub.url };
      const fetched = await load(remote);
      expect(await fetched.embed(['the ferry'])).toEqual(await embedder.embed(['the ferry']));
      await fetched.close();
      const { length } = hub.requests;
      await (await load(remote)).close();
      expect(hub.requests).toHaveLength(length);
      await expect(load({ ...remote, revision: 'refs/pr/1' })).rejects.toMatchObject({ code: 'hub' });
      expect(hub.requests.at(-1)!.path).toMatch('/acme/tiny/resolve/refs%2Fpr%2F1/');
      await expect(load({ ...remote, model: 'acme/none' })).rejects.toMatchObject({
        name: 'ModelError',
        code: 'hub',
      });
    } finally {
      await hub.close();
    }
    await (await load({ cacheFolder })).close();
  });

  test('a retriever and htmlrag take it', async () => {
    const documents = [
      { id: 'ferry', content: '<h1>Ferry</h1><p>The ferry runs every day.</p>' },
      { id: 'bicycle', content: '<h1>Bicycle</h1><p>A bicycle is free.</p>' },
    ];
    const retriever = new DenseRetriever({ embedder });
    await retriever.add(documents);
    const path = join(folder, 'index');
    await retriever.save(path);
    const [best] = await (await DenseRetriever.load(path, { embedder })).retrieve('the ferry runs every day');
    expect(best?.id).toBe('ferry');

    const pipeline = await createPipeline({ stages: [htmlrag({ embedder })] });
    try {
      const result = await pipeline.compress({
        query: 'the ferry runs every day',
        documents,
        budget: { tokens: 40 },
      });
      expect(result.stages.every(({ error }) => error === undefined)).toBe(true);
      expect(result.context).toContain('The ferry runs every day.');
    } finally {
      await pipeline.close();
    }
  });

  test('nothing is logged, and the process ends', { timeout: 30_000 }, async () => {
    const script = `
      import { TransformersEmbedder } from './dist/retrievers/index.js';
      const load = (model) => TransformersEmbedder.load({ model, localOnly: true, cacheFolder: ${JSON.stringify(folder)} });
      await load('acme/none').catch(() => undefined);
      await (await load('acme/tiny')).embed(['the ferry']);`;
    const run = promisify(execFile);
    const { stdout, stderr } = await run(process.execPath, ['--input-type=module', '-e', script], {
      cwd: packageFile(),
    });
    expect(stdout + stderr).toBe('');
  });
});

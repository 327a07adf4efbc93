import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { ModelRegistry, type PullProgress } from '../../models/registry.js';
import { hubServer, type HubBehaviour, type HubServer } from './hub-server.js';

const fixtures = fileURLToPath(new URL('../fixtures/models', import.meta.url));
const tiny = join(fixtures, 'tiny');
const built = new URL('../../dist/models/registry.js', import.meta.url).href;

const graph = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, index) => (index * 2_654_435_761) >>> 24));
const repository = {
  'README.md': Buffer.from('---\nlicense: mit\npipeline_tag: feature-extraction\n---\n# Tiny\n'),
  'config.json': Buffer.from('{"hidden_size": 16, "max_position_embeddings": 64}'),
  'tokenizer.json': readFileSync(join(tiny, 'tokenizer.json')),
  'onnx/model.onnx': Buffer.from('larger, and not wanted'),
  'onnx/model_quantized.onnx': graph,
  'pytorch_model.bin': Buffer.from('not wanted'),
};

let folder: string;
let hub: HubServer | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ragpress-registry-'));
});

afterEach(async () => {
  await hub?.close();
  hub = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function registryOn(behaviour: Partial<HubBehaviour> = {}): Promise<ModelRegistry> {
  hub = await hubServer({ files: repository, ...behaviour });
  return new ModelRegistry({ cacheFolder: folder, hub: hub.url });
}

const target = () => join(folder, 'models', 'acme', 'tiny', 'onnx', 'model_quantized.onnx');
const parts = () => readdirSync(join(target(), '..')).filter((name) => name.endsWith('.part'));
const graphRequests = () => hub!.requests.filter(({ path }) => path.endsWith('model_quantized.onnx'));

describe('resolve', () => {
  const offline = () =>
    new ModelRegistry({
      folder,
      cacheFolder: join(folder, 'cache'),
      fetch: () => Promise.reject(new Error('nothing may be fetched')),
    });

  test('finds a model in the folder given before any other, its files checked', async () => {
    cpSync(tiny, join(folder, 'tiny'), { recursive: true });
    cpSync(tiny, join(folder, 'cache/models/tiny'), { recursive: true });
    const { manifest, place, folder: found } = await offline().resolve('tiny');
    expect({ place, found, kind: manifest.kind }).toEqual({
      place: 'folder',
      found: join(folder, 'tiny'),
      kind: 'embedder',
    });
  });

  test('finds one in the cache', async () => {
    cpSync(tiny, join(folder, 'cache/models/tiny'), { recursive: true });
    expect((await offline().resolve('tiny')).place).toBe('cache');
  });

  test('names the places looked at, and the command that fetches', async () => {
    await expect(offline().resolve('acme/none')).rejects.toMatchObject({ code: 'missing' });
    const message = await offline()
      .resolve('acme/none')
      .catch((error: unknown) => (error as Error).message);
    expect(message).toContain(folder);
    expect(message).toContain(join('models', 'weights'));
    expect(message).toContain(join(folder, 'cache', 'models'));
    expect(message).toContain('ragpress models pull acme/none');
  });

  test.each(['', '../tiny', '/etc', 'a/b/c', '.hidden', 'a b'])('takes no %j for a name', async (name) => {
    await expect(offline().resolve(name)).rejects.toThrow(ConfigurationError);
  });

  test('refuses a file of another size', async () => {
    cpSync(tiny, join(folder, 'cache/models/tiny'), { recursive: true });
    truncateSync(join(folder, 'cache/models/tiny/model.onnx'), 100);
    await expect(offline().resolve('tiny')).rejects.toThrow(
      /model\.onnx .*refused: it has 100 bytes in place of \d+; fetch it again: ragpress models pull tiny/,
    );
  });

  test('refuses altered bytes, with the beginnings of both hashes', async () => {
    cpSync(tiny, join(folder, 'tiny'), { recursive: true });
    const path = join(folder, 'tiny/model.onnx');
    const bytes = readFileSync(path);
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(path, bytes);
    const { sha256 } = (await new ModelRegistry({ folder: fixtures }).resolve('tiny')).manifest.files.find(
      ({ path }) => path === 'model.onnx',
    )!;
    await expect(offline().resolve('tiny')).rejects.toThrow(
      new RegExp(
        `SHA-256 begins with [0-9a-f]{12} in place of ${sha256.slice(0, 12)}; put the right file into`,
      ),
    );
  });

  test('refuses a manifest that is none, and one whose files lie elsewhere', async () => {
    mkdirSync(join(folder, 'broken'));
    writeFileSync(join(folder, 'broken/model.json'), '{"name": "broken"');
    await expect(offline().resolve('broken')).rejects.toMatchObject({ code: 'damaged' });
    cpSync(tiny, join(folder, 'tiny'), { recursive: true });
    const manifest = readFileSync(join(tiny, 'model.json'), 'utf8').replace(
      '"model.onnx",\n      "size"',
      '"../../secret",\n      "size"',
    );
    writeFileSync(join(folder, 'tiny/model.json'), manifest);
    await expect(offline().resolve('tiny')).rejects.toThrow(/files\.\d\.path: give a path below the model/);
  });

  test('a hub address that is none is a mistake of configuration', () => {
    expect(() => new ModelRegistry({ hub: 'huggingface' })).toThrow(/registry\.hub/);
  });
});

describe('list and verify', () => {
  test('list every model with its place; verify names the file that is wrong', async () => {
    cpSync(tiny, join(folder, 'here/tiny'), { recursive: true });
    cpSync(tiny, join(folder, 'models/acme/tiny'), { recursive: true });
    const registry = new ModelRegistry({ folder: join(folder, 'here'), cacheFolder: folder });
    const listed = await registry.list();
    expect(listed.map(({ name, place }) => [name, place])).toEqual(
      expect.arrayContaining([
        ['tiny', 'folder'],
        ['acme/tiny', 'cache'],
      ]),
    );
    expect(await registry.verify(['tiny'])).toMatchObject([{ name: 'tiny', sound: true }]);
    writeFileSync(join(folder, 'here/tiny/tokenizer.json'), '{}');
    const [report] = await registry.verify(['tiny']);
    expect(report).toMatchObject({ sound: false });
    expect(report!.files.filter(({ fault }) => fault !== undefined).map(({ path }) => path)).toEqual([
      'tokenizer.json',
    ]);
    await expect(registry.verify(['nothing'])).rejects.toMatchObject({ code: 'missing' });
  });
});

describe('pull', () => {
  test('fetches a graph and what it needs, and describes it', async () => {
    const registry = await registryOn();
    const seen: PullProgress[] = [];
    const { manifest, place } = await registry.pull('acme/tiny', {
      onProgress: (progress) => seen.push(progress),
    });
    expect(place).toBe('cache');
    expect(manifest).toMatchObject({
      name: 'acme/tiny',
      kind: 'embedder',
      license: 'mit',
      settings: { graph: 'onnx/model_quantized.onnx', dimensions: 16, maxTokens: 64, pooling: 'mean' },
    });
    expect(manifest.files.map(({ path }) => path).sort()).toEqual(
      ['CARD.md', 'config.json', 'onnx/model_quantized.onnx', 'tokenizer.json'].sort(),
    );
    expect(readFileSync(target()).equals(graph)).toBe(true);
    expect(seen.at(-1)).toMatchObject({ model: 'acme/tiny', received: seen[0]!.size });
    expect(parts()).toEqual([]);

    const before = hub!.requests.length;
    await registry.pull('acme/tiny');
    await registry.resolve('acme/tiny');
    expect(hub!.requests.length).toBe(before);
  });

  test('takes the graph that is asked for', async () => {
    const registry = await registryOn();
    const { manifest } = await registry.pull('acme/tiny', { graph: 'onnx/model.onnx' });
    expect(manifest.settings.graph).toBe('onnx/model.onnx');
    await expect(registry.pull('acme/tiny', { graph: 'other.onnx' })).rejects.toThrow(
      'it holds onnx/model.onnx, onnx/model_quantized.onnx',
    );
  });

  test('goes on where a connection broke', async () => {
    const registry = await registryOn({
      intercept(request, response, nth) {
        if (!request.url!.endsWith('model_quantized.onnx') || nth > 1) return false;
        response.writeHead(200, { 'content-length': graph.length });
        response.write(graph.subarray(0, 100_000), () => setTimeout(() => response.destroy(), 20));
        return true;
      },
    });
    await registry.pull('acme/tiny');
    expect(graphRequests().map(({ range }) => range)).toEqual([undefined, 'bytes=100000-']);
    expect(readFileSync(target()).equals(graph)).toBe(true);
  });

  test('begins anew where the hub sends everything whatever is asked for', async () => {
    const registry = await registryOn({ ignoresRange: true });
    mkdirSync(join(target(), '..'), { recursive: true });
    writeFileSync(`${target()}.part`, graph.subarray(0, 1_000));
    await registry.pull('acme/tiny');
    expect(graphRequests().map(({ range }) => range)).toEqual(['bytes=1000-']);
    expect(readFileSync(target()).equals(graph)).toBe(true);
  });

  test.each([
    ['of another version', Buffer.alloc(1_000, 1)],
    ['longer than the file', Buffer.alloc(400_000, 1)],
    ['as long as the file', Buffer.alloc(300_000, 1)],
  ])('begins anew where what is there is %s', async (_, part) => {
    const registry = await registryOn();
    mkdirSync(join(target(), '..'), { recursive: true });
    writeFileSync(`${target()}.part`, part);
    await registry.pull('acme/tiny');
    expect(readFileSync(target()).equals(graph)).toBe(true);
    expect(parts()).toEqual([]);
  });

  test('refuses bytes that are not those announced', async () => {
    const altered = Buffer.from(graph);
    altered[7]! ^= 1;
    const registry = await registryOn({
      files: { ...repository, 'onnx/model_quantized.onnx': altered },
      announced: repository,
    });
    await expect(registry.pull('acme/tiny')).rejects.toMatchObject({
      code: 'hub',
      message: expect.stringContaining('SHA-256') as string,
    });
    expect(existsSync(target())).toBe(false);
    await expect(registry.resolve('acme/tiny')).rejects.toMatchObject({ code: 'missing' });
  });

  test('replaces a file that was damaged since', async () => {
    const registry = await registryOn();
    await registry.pull('acme/tiny');
    writeFileSync(target(), Buffer.alloc(graph.length));
    await expect(registry.resolve('acme/tiny')).rejects.toMatchObject({ code: 'damaged' });
    await registry.pull('acme/tiny');
    expect(readFileSync(target()).equals(graph)).toBe(true);
  });

  test('tries again where the hub is busy, and not where there is no such repository', async () => {
    const registry = await registryOn({
      intercept(_, response, nth) {
        if (nth > 1) return false;
        response.writeHead(503).end();
        return true;
      },
    });
    await registry.pull('acme/tiny');
    await expect(registry.pull('acme/none')).rejects.toThrow(
      /answers 404.*no such thing, or it is not public/,
    );
    expect(hub!.requests.filter(({ path }) => path.includes('acme/none'))).toHaveLength(2);
  });

  test('says that a hub is down', async () => {
    const registry = await registryOn();
    await hub!.close();
    await expect(registry.pull('acme/tiny')).rejects.toMatchObject({
      code: 'hub',
      message: expect.stringContaining('ECONNREFUSED') as string,
    });
  });

  test('says so where no list of files comes', async () => {
    const registry = await registryOn({
      intercept(_, response) {
        response.end('<html>a login page</html>');
        return true;
      },
    });
    await expect(registry.pull('acme/tiny')).rejects.toThrow('sends no list of files');
  });

  test('takes no path that leads out of the folder', async () => {
    const registry = await registryOn({
      files: { ...repository, '../../1_Pooling/config.json': Buffer.from('{}'), '../evil.onnx': graph },
    });
    const { manifest } = await registry.pull('acme/tiny');
    expect(manifest.files.some(({ path }) => path.includes('..'))).toBe(false);
  });

  test('stops when aborted, and goes on later', async () => {
    const registry = await registryOn({ chunk: 10_000 });
    const stop = new AbortController();
    const pulling = registry.pull('acme/tiny', {
      signal: stop.signal,
      onProgress({ received }) {
        if (received > 50_000) stop.abort(new Error('enough'));
      },
    });
    await expect(pulling).rejects.toThrow('enough');
    expect(parts()).toEqual(['model_quantized.onnx.part']);
    await registry.pull('acme/tiny');
    expect(graphRequests().at(-1)!.range).toMatch(/^bytes=[1-9]\d{4,}-$/);
    expect(readFileSync(target()).equals(graph)).toBe(true);
  });

  test('two pulls of one process fetch once', async () => {
    const registry = await registryOn({ chunk: 50_000 });
    await Promise.all([registry.pull('acme/tiny'), registry.pull('acme/tiny')]);
    expect(graphRequests()).toHaveLength(1);
  });

  const puller = () => {
    const script = `import { ModelRegistry } from ${JSON.stringify(built)};
      await new ModelRegistry({ cacheFolder: ${JSON.stringify(folder)}, hub: ${JSON.stringify(hub!.url)} }).pull('acme/tiny');`;
    return spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  };
  const exitCode = (child: ReturnType<typeof puller>) =>
    new Promise<number | null>((resolve) => child.once('exit', resolve));

  test('two processes at once do not harm each other', async () => {
    const registry = await registryOn({ chunk: 10_000 });
    expect(await Promise.all([exitCode(puller()), exitCode(puller())])).toEqual([0, 0]);
    expect(await registry.verify(['acme/tiny'])).toMatchObject([{ sound: true }]);
    expect(parts()).toEqual([]);
  });

  test('goes on where a process that was killed had come to', async () => {
    const registry = await registryOn({ chunk: 2_000 });
    const child = puller();
    const ended = exitCode(child);
    while (graphRequests().length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
    await new Promise((resolve) => setTimeout(resolve, 200));
    child.kill('SIGKILL');
    await ended;
    expect(parts()).toEqual([`model_quantized.onnx.${child.pid}.part`]);
    await registry.pull('acme/tiny');
    expect(graphRequests().at(-1)!.range).toMatch(/^bytes=[1-9]\d+-$/);
    expect(readFileSync(target()).equals(graph)).toBe(true);
    expect(parts()).toEqual([]);
  });

  test.skipIf(!existsSync('/dev/full'))('says that the disk is full', async () => {
    const registry = await registryOn();
    mkdirSync(join(target(), '..'), { recursive: true });
    symlinkSync('/dev/full', `${target()}.part`);
    await expect(registry.pull('acme/tiny')).rejects.toMatchObject({
      code: 'storage',
      message: expect.stringMatching(
        /has no room for model_quantized\.onnx \(300000 bytes\).*RAGPRESS_CACHE/,
      ) as string,
    });
  });

  test('says that the cache folder cannot be written', async () => {
    await registryOn();
    writeFileSync(join(folder, 'file'), '');
    const registry = new ModelRegistry({ cacheFolder: join(folder, 'file'), hub: hub!.url });
    await expect(registry.pull('acme/tiny')).rejects.toMatchObject({ code: 'storage' });
  });
});

import { execFileSync } from 'node:child_process';
import { createServer, get, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { chromium, type Browser, type Page } from 'playwright-core';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { ChunkDecoder } from 'ragpress/kvreuse';
import { readerMessages } from 'ragpress/models';
import { serve, type ServeOptions, type Serving } from 'ragpress/proxy';
import { difference, TABLE } from '../kernels/routine-table.js';
import { checkpointFolder } from '../models/decoder/checkpoint-folder.js';

/** SwiftShader compiles a matrix product for seconds, on a busy machine for many. */
const PATIENCE = 240_000;
const decoder = { folder: checkpointFolder('llama'), threads: 1, precision: 'float32' } as const;
const logger = pino({ level: 'silent' });

const opened: { close(): Promise<unknown> }[] = [];
afterEach(async () => {
  for (const each of opened.splice(0).reverse()) await each.close();
});

async function serving(options: Partial<ServeOptions> = {}): Promise<Serving> {
  const server = await serve({ upstream: 'local', port: 0, decoder, logger, ...options });
  opened.push(server);
  return server;
}

describe('what the server offers', () => {
  test('the page, its modules, its packages, and no other file', async () => {
    const { url } = await serving();
    const ask = (path: string, init: RequestInit = {}) => fetch(`${url}/playground${path}`, init);
    const moved = await ask('', { redirect: 'manual' });
    expect([moved.status, moved.headers.get('location')]).toEqual([308, 'playground/']);
    const page = await ask('/');
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(await page.text()).toContain('<title>ragpress playground</title>');
    for (const path of [
      '/dist/middleware/playground/page/page.js',
      '/dist/kernels/index.js',
      '/packages/onnxruntime-web/webgpu/',
      '/packages/@huggingface/jinja/',
      '/packages/@huggingface/tokenizers/',
    ])
      expect((await ask(path)).headers.get('content-type'), path).toBe('text/javascript; charset=utf-8');
    for (const path of [
      '/dist/middleware/cli.js',
      '/dist/kernels/../middleware/cli.js',
      '/dist/kernels/%2e%2e/%2e%2e/package.json',
      '/dist/kernels/index.d.ts',
      '/packages/onnxruntime-web/webgpu/../package.json',
      '/packages/pino/',
      '/model/part.7000',
      '/model/part.7',
      '/nothing',
    ])
      expect((await ask(path)).status, path).toBe(404);
    expect((await ask('/', { method: 'POST' })).status).toBe(405);
  });

  test('what is no path of a URL goes to the decoder’s API, and nothing ends', async () => {
    const { url } = await serving();
    const { hostname, port } = new URL(url);
    const status = await new Promise((resolve, reject) => {
      get({ hostname, port, path: '//' }, ({ statusCode }) => {
        resolve(statusCode);
      }).on('error', reject);
    });
    expect(status).toBe(404);
  });

  test('a file that the browser has is not sent again', async () => {
    const { url } = await serving();
    const first = await fetch(`${url}/playground/dist/kernels/index.js`);
    const etag = first.headers.get('etag')!;
    const again = await fetch(first.url, { headers: { 'if-none-match': etag } });
    expect([again.status, await again.text()]).toEqual([304, '']);
  });

  test('a model without the path of its folder', async () => {
    const { url } = await serving();
    const text = await (await fetch(`${url}/playground/model.json`)).text();
    expect(JSON.parse(text)).toMatchObject({
      name: 'llama',
      shape: { layers: 2 },
      parts: [{ from: 0, to: 2 }],
    });
    expect(text).not.toContain(decoder.folder);
  });

  test('nothing where a key is asked for: a page cannot give one', async () => {
    const { url } = await serving({ key: 'secret' });
    expect((await fetch(`${url}/playground/`)).status).toBe(401);
  });

  test('nothing in front of an API, whose path that is', async () => {
    const api: Server = createServer((request, response) => response.end(`the API’s own ${request.url}`));
    await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
    opened.push({ close: () => new Promise((resolve) => api.close(resolve)) });
    const upstream = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
    const server = await serve({ upstream, port: 0, logger });
    opened.push(server);
    expect(await (await fetch(`${server.url}/playground/`)).text()).toBe('the API’s own /playground/');
  });
});

/** JSON of an input or output: arrays of numbers by their bytes. */
function packed(value: unknown): unknown {
  if (ArrayBuffer.isView(value)) {
    const { buffer, byteOffset, byteLength, constructor } = value;
    return { type: constructor.name, bytes: Buffer.from(buffer, byteOffset, byteLength).toString('base64') };
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, packed(part)]));
}

const ARRAYS = { Float32Array, Uint32Array, Uint16Array, Uint8Array };

function unpacked(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const { type, bytes } = value as { readonly type?: keyof typeof ARRAYS; readonly bytes?: string };
  if (type && bytes !== undefined)
    return new ARRAYS[type](Uint8Array.from(Buffer.from(bytes, 'base64')).buffer);
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, unpacked(part)]));
}

/** Runs in the page: a test's own imports are not there. */
const RUN_ROUTINES = `async (cases) => {
  const kernels = await import('./dist/kernels/index.js');
  const routines = new Map(Object.values(kernels).filter((each) => each?.gpu && each.cpu).map((each) => [each.name, each]));
  const unpacked = (value) => {
    if (typeof value !== 'object' || value === null) return value;
    if (value.type) return new globalThis[value.type](Uint8Array.from(atob(value.bytes), (c) => c.charCodeAt(0)).buffer);
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, unpacked(part)]));
  };
  const packed = (value) => {
    if (ArrayBuffer.isView(value)) {
      const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      return { type: value.constructor.name, bytes: btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join('')) };
    }
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, packed(part)]));
  };
  const gpu = await kernels.Gpu.open();
  const outputs = [];
  for (const [name, input] of cases) outputs.push(packed(await routines.get(name).gpu(gpu, unpacked(input))));
  gpu.close();
  return outputs;
}`;

/** Debian's; undefined where there is none. */
function chromiumPath(): string | undefined {
  try {
    return execFileSync('sh', ['-c', 'command -v chromium'], { encoding: 'utf8' }).trim();
  } catch {
    return undefined;
  }
}

const executablePath = chromiumPath();
const NO_CHROMIUM = executablePath ? '' : ' (skipped: no Chromium; `apt-get install chromium` brings it)';
const WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];

async function launch(args: readonly string[] = []): Promise<Browser> {
  return chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox', ...args] });
}

/** Opens the page and puts two documents and a question there. */
async function openPage(browser: Browser, url: string): Promise<Page> {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE);
  const faults: string[] = [];
  page.on('pageerror', ({ message }) => faults.push(message));
  opened.push({
    close: async () => {
      await page.close();
      expect(faults).toEqual([]);
    },
  });
  await page.goto(`${url}/playground`);
  await page.waitForSelector('#ask:enabled');
  const documents = page.getByLabel('Document');
  for (const [i, text] of DOCUMENTS.entries()) await documents.nth(i).fill(text);
  // An empty one is none.
  for (let i = DOCUMENTS.length; i < (await documents.count()); i++) await documents.nth(i).fill('');
  await page.getByLabel('Question').fill(QUESTION);
  return page;
}

// Of such lengths that how many rows are repaired is not nearly one more or less: a GPU and a CPU round otherwise.
const DOCUMENTS = [
  'Fares\nSingle 2.40, return 4.10.',
  'Hours\nThe office opens at seven, and on Sundays at ten.',
];
const QUESTION = 'What?';

async function ask(page: Page): Promise<{ readonly text: string; readonly figures: string }> {
  await page.click('#ask');
  await page.waitForSelector('#ask:enabled');
  const card = page.locator('.answer').first();
  const text = (await card.locator('.text').textContent())!;
  return { text, figures: (await card.locator('.figures').textContent())! };
}

describe.skipIf(!executablePath)(`in Chromium${NO_CHROMIUM}`, () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch(WEBGPU);
  }, PATIENCE);
  afterAll(async () => {
    await browser.close();
  });

  test(
    'the page answers as Node does, and reads documents in another order from what it kept',
    async () => {
      const page = await openPage(browser, (await serving()).url);
      expect(await page.textContent('#status')).toMatch(/^llama on .*swiftshader.*, in this browser$/i);
      const node = await ChunkDecoder.load(decoder);
      opened.push(node);
      const inNode = async (documents: readonly string[]) => {
        const context = documents.map((text, i) => `[${i + 1}] ${text}`).join('\n\n');
        return node.generate({ messages: readerMessages(QUESTION, context) }, { maxTokens: 64 }).result;
      };
      const first = await inNode(DOCUMENTS);
      const answered = await ask(page);
      expect(answered.text).toBe(first.text);
      expect(answered.figures).toMatch(`${first.promptTokens} tokens: 0 reused, 0 repaired`);

      await page.click('#shuffle');
      const { reuse } = await inNode([...DOCUMENTS].reverse());
      const moved = await ask(page);
      expect(reuse!.reused).toBeGreaterThan(0);
      expect(moved.figures).toContain(
        `: ${reuse!.reused} reused, ${reuse!.repaired} repaired, ${reuse!.computed} computed;`,
      );

      await page.check('#whole');
      const whole = await ask(page);
      expect(whole.figures).toContain(': 0 reused, 0 repaired');
      await page.uncheck('#whole');
      await page.click('#forget');
      // A first reading is a whole one.
      expect(await ask(page)).toMatchObject({
        text: whole.text,
        figures: expect.stringContaining(': 0 reused') as string,
      });
    },
    PATIENCE,
  );

  test(
    'a routine computes what the CPU computes in Node',
    async () => {
      const page = await browser.newPage();
      opened.push(page);
      await page.goto(`${(await serving()).url}/playground/`);
      const cases = TABLE.filter(({ name }) => name !== 'more groups than a dimension has');
      const given = cases.map(({ routine, input }) => [routine.name, packed(input)]);
      const outputs: unknown[] = await page.evaluate(`(${RUN_ROUTINES})(${JSON.stringify(given)})`);
      cases.forEach(({ routine, name, input, within }, i) => {
        const off = difference(unpacked(outputs[i]), routine.cpu(input));
        expect(off, `${routine.name}: ${name}`).toBeLessThanOrEqual(within);
      });
    },
    PATIENCE,
  );

  test(
    'without WebGPU the server answers, and the page says so',
    async () => {
      const plain = await launch(['--disable-gpu', '--disable-features=WebGPU']);
      opened.push(plain);
      const page = await openPage(plain, (await serving()).url);
      expect(await page.textContent('#status')).toMatch(/^Answers come from the server's CPU: WebGPU /);
      const { text, figures } = await ask(page);
      expect(text).not.toBe('');
      expect(figures).toMatch(/ 0 reused, 0 repaired, /);
      await page.click('#shuffle');
      expect((await ask(page)).figures).not.toMatch(/ 0 reused/);
    },
    PATIENCE,
  );
});

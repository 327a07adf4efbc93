import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { basename, extname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import { decoderFolder, type FoundDecoder, type DecoderPlace } from '../../models/decoder/decoder-folder.js';
import type { Precision } from '../../models/decoder/decoder-engine.js';
import { packageFile } from '../../models/package-file.js';
import { ThreadPool } from '../../models/thread-pool.js';
import type { CheckpointDescription, PageModelTask } from './page-model-worker.js';
import type { PageFile, PageModel } from './page-model.js';

export interface PlaygroundOptions extends DecoderPlace {
  /** Default `int8`. */
  readonly precision?: Precision | undefined;
}

/** What of the package the page's modules import: these folders run in a browser too. */
const MODULE = /^(?:kernels|kvreuse|models|settings|middleware\/playground\/page)\/(?:[\w-]+\/)*[\w-]+\.js$/;

/** Packages that they import, by the specifiers of the page's import map; a file of the entry's folder is beside it. */
const PACKAGES = ['onnxruntime-web/webgpu', '@huggingface/jinja', '@huggingface/tokenizers'] as const;

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
};

/**
 * A page on which a decoder answers from documents on the browser's own GPU, and keeps what it has read of them: the
 * package's own modules, as they are, and the decoder's weights as graphs for a GPU.
 */
export class Playground {
  readonly #options: PlaygroundOptions;
  readonly #logger: Logger;
  #pool: ThreadPool<PageModelTask, CheckpointDescription | Uint8Array | undefined> | undefined;

  /** @param logger gets what fails, of which the caller is told nothing */
  constructor(options: PlaygroundOptions, logger: Logger) {
    this.#options = options;
    this.#logger = logger;
  }

  /**
   * Answers requests below `/playground`. Never rejects.
   * @returns false for a path that is none of its own
   */
  handle(request: IncomingMessage, response: ServerResponse): boolean {
    const [path] = (request.url ?? '/').split('?', 1) as [string];
    if (path !== '/playground' && !path.startsWith('/playground/')) return false;
    this.#answer(path.slice('/playground'.length), request, response).catch((error: unknown) => {
      this.#logger.warn({ path, failure: (error as Error).message }, 'playground');
      if (response.headersSent) response.destroy();
      else sendText(response, 500, 'The playground failed; the log of ragpress says why.\n');
    });
    return true;
  }

  async close(): Promise<void> {
    await this.#pool?.destroy();
  }

  async #answer(path: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      sendText(response, 405, 'Use GET.\n');
    } else if (path === '') {
      response.writeHead(308, { location: 'playground/' }).end();
    } else if (path === '/model.json') {
      await this.#sendModel(response);
    } else if (/^\/model\/(?:head|embedding|part\.\d{1,3})$/.test(path)) {
      await this.#sendWeights(path.slice('/model/'.length) as PageFile, response);
    } else {
      const file = fileAt(path);
      if (file === undefined) notFound(response);
      else await sendFile(request, response, file);
    }
  }

  async #checkpoint(): Promise<FoundDecoder> {
    const found = await decoderFolder(this.#options);
    await found.sound;
    return found;
  }

  async #sendModel(response: ServerResponse): Promise<void> {
    const { name, folder } = await this.#checkpoint();
    const described = (await this.#make('description', folder)) as CheckpointDescription;
    const model: PageModel = { ...described, name: basename(name), version: await versionOf(folder) };
    response.writeHead(200, { 'content-type': 'application/json', 'cache-control': 'no-cache' });
    response.end(JSON.stringify(model));
  }

  async #sendWeights(file: PageFile, response: ServerResponse): Promise<void> {
    const { folder } = await this.#checkpoint();
    const bytes = (await this.#make(file, folder)) as Uint8Array | undefined;
    if (!bytes) {
      notFound(response);
      return;
    }
    response.writeHead(200, {
      'content-type': 'application/octet-stream',
      'content-length': bytes.byteLength,
      // The page has a cache of its own, in which files of this size have room.
      'cache-control': 'no-store',
    });
    response.end(bytes);
  }

  async #make(wanted: PageModelTask['wanted'], folder: string) {
    this.#pool ??= new ThreadPool('middleware/playground/page-model-worker.js', {
      minThreads: 0,
      maxThreads: 1, // A graph of all layers at once takes memory.
      idleTimeout: 10_000,
    });
    return this.#pool.run({ folder, precision: this.#options.precision ?? 'int8', wanted });
  }
}

/** The page and what it is made of. */
function fileAt(path: string): string | undefined {
  if (path === '/') return packageFile('middleware/playground/page/index.html');
  const [, folder, name = ''] = /^\/(dist|packages)\/(.*)$/.exec(path) ?? [];
  if (folder === 'packages') return fileOfPackages(name);
  return folder === 'dist' && MODULE.test(name) ? join(packageFile('dist'), name) : undefined;
}

/** @param path specifier, as in the page's import map, a slash, and a file of the entry's folder; none is the entry */
function fileOfPackages(path: string): string | undefined {
  const specifier = PACKAGES.find((name) => path.startsWith(`${name}/`));
  if (specifier === undefined) return undefined;
  const file = path.slice(specifier.length + 1);
  if (!/^[\w.-]*$/.test(file)) return undefined;
  try {
    const entry = import.meta.resolve(specifier);
    return fileURLToPath(file === '' ? entry : new URL(file, entry));
  } catch {
    return undefined; // It is not installed, which the page says.
  }
}

/** Of a checkpoint's files, without reading them. */
async function versionOf(folder: string): Promise<string> {
  const sum = createHash('sha256');
  for (const name of (await readdir(folder)).sort()) {
    const { size, mtimeMs } = await stat(join(folder, name));
    sum.update(`${name} ${size} ${mtimeMs}\n`);
  }
  return sum.digest('hex').slice(0, 16);
}

async function sendFile(request: IncomingMessage, response: ServerResponse, file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (!found?.isFile()) {
    notFound(response);
    return;
  }
  const tag = `"${found.size.toString(16)}-${found.mtimeMs.toString(16)}"`;
  const headers = { etag: tag, 'cache-control': 'no-cache' };
  if (request.headers['if-none-match'] === tag) {
    response.writeHead(304, headers).end();
    return;
  }
  response.writeHead(200, {
    ...headers,
    'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
    'content-length': found.size,
  });
  if (request.method === 'HEAD') response.end();
  else await pipeline(createReadStream(file), response);
}

function notFound(response: ServerResponse): void {
  sendText(response, 404, 'There is nothing here; the page is /playground/.\n');
}

function sendText(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' });
  response.end(text);
}

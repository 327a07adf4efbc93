import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino, type Logger } from 'pino';
import { z } from 'zod';
import { ConfigurationError } from '../compressors/index.js';
import { validate } from '../settings/validate.js';
import { isGenerator } from './lazy-decoder.js';
import { Playground } from './playground/playground.js';
import { Gateway } from './proxy/gateway.js';
import { readSettings, type ForwardOptions, type ProxySettings } from './proxy/settings.js';

export type ProxyOptions = ForwardOptions;

export interface ServeOptions extends ProxyOptions {
  /** Default 8787; 0 for any that is free. */
  readonly port?: number;
  /** Default `127.0.0.1`. */
  readonly host?: string;
}

/** Handles requests of a Node HTTP server. */
export interface Proxy {
  (request: IncomingMessage, response: ServerResponse): void;
  /** Resolves when the first request can be compressed, and with the upstream `local` answered. */
  ready(): Promise<void>;
  /** Lets upstream connections and worker threads go, once requests under way are answered. */
  close(): Promise<void>;
}

export interface Serving {
  /** Where it listens, e.g. `http://127.0.0.1:8787`. */
  readonly url: string;
  close(): Promise<void>;
}

const listenSchema = z.object({
  port: z
    .int('give a port number')
    .min(0, 'give a port from 0 to 65535')
    .max(65_535, 'give a port from 0 to 65535')
    .default(8787),
  host: z.string('give an address to listen on').min(1, 'give an address to listen on').default('127.0.0.1'),
});

/** How long requests under way may take to end when the server closes. */
const CLOSING_MILLISECONDS = 10_000;

/**
 * A proxy in front of an OpenAI-style API. In `POST …/chat/completions` it finds the documents and the question,
 * compresses, and forwards; everything else, and every response, passes through as it comes. `/health`, `/ready` and
 * `/metrics` (Prometheus) are its own.
 *
 * A request can say `x-ragpress-bypass: 1`, `x-ragpress-budget: 400` and `x-ragpress-preset: fast`, or the same in a
 * field `ragpress` of its body. A response says in `x-ragpress-*` what was done, and in `x-ragpress-error` what was not.
 * Requests in a content coding (gzip) pass through as they are.
 *
 * With the upstream `local` the embedded decoder answers, in this process, chat completions and completions, streamed or
 * not, and lists itself in `/v1/models`. It is a small reader: an answer is taken from the documents, by the likeliest
 * token each time where the request gives no `temperature`, and has at most 256 tokens where it gives no `max_tokens`.
 * `/playground` is then a page that runs the same decoder on the browser's GPU, but for a proxy that asks for a key.
 *
 * @example
 * createServer(createProxy({ upstream: 'https://api.openai.com', pipeline: { budget: { tokens: 800 } } })).listen(8787);
 * @throws ConfigurationError
 */
export function createProxy(options: ProxyOptions): Proxy {
  const settings = readSettings(options);
  const logger = settings.logger ?? pino({ name: 'ragpress' });
  const gateway = new Gateway({ ...settings, logger });
  const playground = playgroundOf(settings, logger);
  const proxy = (request: IncomingMessage, response: ServerResponse) => {
    const path = request.url ?? '/';
    if (path === '/health') sendText(response, 200, 'ok\n');
    else if (path === '/ready')
      gateway.ready().then(
        () => {
          sendText(response, 200, 'ready\n');
        },
        () => {
          sendText(response, 503, 'not ready\n');
        },
      );
    else if (path === '/metrics')
      void gateway.metrics.text().then((text) => {
        sendText(response, 200, text, gateway.metrics.contentType);
      });
    else if (!playground?.handle(request, response)) void gateway.handle({ request, response, path });
  };
  return Object.assign(proxy, {
    ready: () => gateway.ready(),
    close: async () => {
      await playground?.close();
      await gateway.close();
    },
  });
}

/** For a decoder of which the files are known, and where nobody has to give a key: a page cannot. */
function playgroundOf(
  { upstream, key, decoder = {} }: ProxySettings,
  logger: Logger,
): Playground | undefined {
  if (upstream !== 'local' || key !== undefined || isGenerator(decoder)) return undefined;
  return new Playground(decoder, logger);
}

/**
 * Listens with a proxy, once it is ready.
 * @throws ConfigurationError also where the port cannot be had; ModelError where the upstream is `local` and its model
 * cannot be had
 */
export async function serve({ port, host, ...options }: ServeOptions): Promise<Serving> {
  const address = validate(listenSchema, { port, host });
  const proxy = createProxy(options);
  await proxy.ready().catch(async (error: unknown) => {
    await proxy.close();
    throw error;
  });
  const server = createServer(proxy);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      void proxy.close();
      reject(
        new ConfigurationError(
          'port',
          address.port,
          `give one that ${address.host} can listen on (${error.message})`,
        ),
      );
    });
    server.listen(address.port, address.host, resolve);
  });
  const bound = server.address() as AddressInfo;
  const name = bound.family === 'IPv6' ? `[${bound.address}]` : bound.address;
  return {
    url: `http://${name}:${bound.port}`,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      const cutOff = setTimeout(() => {
        server.closeAllConnections();
      }, CLOSING_MILLISECONDS);
      await closed;
      clearTimeout(cutOff);
      await proxy.close();
    },
  };
}

function sendText(
  response: ServerResponse,
  status: number,
  text: string,
  contentType = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': contentType });
  response.end(text);
}

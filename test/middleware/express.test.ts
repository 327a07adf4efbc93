import { createServer, type RequestListener, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import express, { type ErrorRequestHandler, type Express } from 'express';
import { afterEach, describe, expect, test } from 'vitest';
import { ConfigurationError, type CompressionResult, type Compressor } from 'ragpress';
import { compress, ragpress, type ExpressHandler } from 'ragpress/express';
import { startUpstream } from '../integration/upstream.js';
import { ferry, prompts, question, yard } from './requests/prompts.js';

const opened: { close(): Promise<unknown> }[] = [];
const documents = [
  { id: 'ferry', content: ferry },
  { id: 'yard', content: yard },
];

afterEach(async () => {
  for (const open of opened.splice(0).reverse()) await open.close();
});

function closing(handler: ExpressHandler): ExpressHandler {
  opened.push(handler);
  return handler;
}

async function listen(app: Express): Promise<string> {
  const server: Server = createServer(app as RequestListener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push({
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const post = (url: string, value: unknown) =>
  fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(value),
  });

describe('compress()', () => {
  test('puts the result on the request and the response', async () => {
    const app = express();
    app.post('/ask', express.json(), closing(compress({ budget: { tokens: 40 } })), (request, response) => {
      const onRequest = (request as unknown as { ragpress: CompressionResult }).ragpress;
      response.json({
        result: response.locals.ragpress as CompressionResult,
        same: onRequest === response.locals.ragpress,
      });
    });
    const url = await listen(app);
    const { result, same } = (await (await post(`${url}/ask`, { query: question, documents })).json()) as {
      result: CompressionResult;
      same: boolean;
    };
    expect(same).toBe(true);
    expect(result.context).toContain('7.50');
    expect(result.tokens.after).toBeLessThanOrEqual(40);
    expect(result.documents.map(({ id }) => id)).toEqual(['ferry']);
  });

  test('what earlier steps left outweighs the body, and functions outweigh both', async () => {
    const app = express();
    const given = { query: () => 'When was the Rowan built?', documents: () => [documents[1]!] };
    const earlier: express.RequestHandler = (_, response, next) => {
      response.locals.query = 'Do bicycles cost anything?';
      response.locals.documents = documents;
      next();
    };
    const answer: express.RequestHandler = (_, response) =>
      void response.json((response.locals.ragpress as CompressionResult).context);
    const budget = { tokens: 45 };
    app.get('/locals', earlier, closing(compress({ budget })), answer);
    app.get(
      '/query',
      (_, response, next) => {
        response.locals.documents = documents;
        next();
      },
      closing(compress({ budget })),
      answer,
    );
    app.get('/functions', earlier, closing(compress({ ...given, budget })), answer);
    const url = await listen(app);
    expect(await (await fetch(`${url}/locals`)).json()).toContain('Bicycles travel free');
    expect(await (await fetch(`${url}/query?q=Rowan+engine+replaced`)).json()).toContain(
      'engine was replaced',
    );
    expect(await (await fetch(`${url}/functions`)).json()).toContain('built in 1987');
  });

  test('errors go to next', async () => {
    const app = express();
    const report: ErrorRequestHandler = (error: ConfigurationError, _request, response, _next) => {
      response.status(418).json({ field: error.field, message: error.message });
    };
    app.post(
      '/ask',
      express.json(),
      closing(compress()),
      ((_, response) => void response.json('not reached')) satisfies express.RequestHandler,
      report,
    );
    app.post(
      '/throws',
      closing(
        compress({
          query: () => {
            throw new ConfigurationError('mine', 1, 'do not');
          },
        }),
      ),
      report,
    );
    const url = await listen(app);
    expect(await (await post(`${url}/ask`, { documents })).json()).toMatchObject({ field: 'query' });
    expect(await (await post(`${url}/ask`, { query: 1, documents })).json()).toMatchObject({
      field: 'query',
      message: expect.stringContaining('1') as string,
    });
    expect(await (await post(`${url}/ask`, { query: question })).json()).toMatchObject({
      field: 'documents',
    });
    expect(await (await post(`${url}/throws`, {})).json()).toMatchObject({ field: 'mine' });
  });

  test('a client that goes away stops the work', async () => {
    let stopped: unknown;
    const waiting: Compressor = {
      name: 'waiting',
      compress: (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            stopped = signal.reason;
            reject(signal.reason as Error);
          });
        }),
    };
    const app = express();
    let failed: unknown;
    app.post('/ask', express.json(), closing(compress({ pipeline: { stages: [waiting] } })), ((
      error,
      _request,
      _response,
      _next,
    ) => {
      failed = error;
    }) as ErrorRequestHandler);
    const url = await listen(app);
    const asked = fetch(`${url}/ask`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ query: question, documents }),
      signal: AbortSignal.timeout(150),
    });
    await expect(asked).rejects.toThrow();
    while (failed === undefined) await setTimeout(10);
    expect(stopped).toMatchObject({ message: 'the client went away' });
    expect(failed).toBe(stopped);
  });

  test.each([
    [{ query: 'q' }, 'query', 'q'],
    [{ documents: [] }, 'documents', []],
    [{ pipeline: 5 }, 'pipeline', 5],
    [{ pipeline: { preset: 'slow' } }, 'preset', 'slow'],
    [{ budget: { tokens: 0.5 } }, 'budget.tokens', 0.5],
    [{ limit: 1 }, 'limit', 1],
  ])('options that cannot be used are named at start: %j', (options, field, value) => {
    expect(() => compress(options as never)).toThrow(
      expect.objectContaining({ name: 'ConfigurationError', field, value }) as Error,
    );
  });
});

describe('ragpress()', () => {
  const request = { model: 'gpt-4o', messages: [{ role: 'user', content: prompts[0]!.text }] };

  test.each([
    ['/v1', [], '/v1/chat/completions'],
    ['/v1', [express.json({ limit: '1mb' })], '/v1/chat/completions'],
    ['/v1', [express.text({ type: '*/*' })], '/v1/chat/completions'],
    ['/v1', [express.raw({ type: '*/*' })], '/v1/chat/completions'],
    ['/models/v1', [], '/v1/chat/completions'],
    ['/', [express.json()], '/v1/chat/completions'],
  ])('mounted at %s, after %j', async (mount, before, path) => {
    const upstream = await startUpstream();
    opened.push(upstream);
    const app = express();
    for (const parser of before) app.use(parser);
    app.use(mount, closing(ragpress({ upstream: upstream.url, pipeline: { budget: { tokens: 60 } } })));
    const url = await listen(app);
    const response = await post(`${url}${mount === '/' ? '/v1' : mount}/chat/completions`, request);
    expect(response.status).toBe(200);
    expect(Number(response.headers.get('x-ragpress-tokens-after'))).toBeLessThanOrEqual(60);
    expect(upstream.received[0]!.url).toBe(path);
    expect(upstream.received[0]!.body.length).toBeLessThan(JSON.stringify(request).length);
    expect(JSON.parse(upstream.received[0]!.body)).toMatchObject({ model: 'gpt-4o' });
  });

  test('a path that says the version itself goes on as it is', async () => {
    const upstream = await startUpstream();
    opened.push(upstream);
    const app = express();
    app.use(closing(ragpress({ upstream: `${upstream.url}/v1` })));
    const url = await listen(app);
    expect((await fetch(`${url}/v1/models`)).status).toBe(200);
    expect(upstream.received[0]!.url).toBe('/v1/models');
  });

  test('a body that an earlier step took away is an error for next', async () => {
    const app = express();
    app.use(express.urlencoded());
    app.use('/v1', closing(ragpress({ upstream: 'http://127.0.0.1:9' })));
    app.use(((error: ConfigurationError, _request, response, _next) => {
      response.status(418).json(error.field);
    }) as ErrorRequestHandler);
    const url = await listen(app);
    const response = await fetch(`${url}/v1/audio`, {
      method: 'POST',
      body: new URLSearchParams({ a: '1' }),
    });
    expect(await response.json()).toBe('req.body');
  });

  test('options that cannot be used are named at start', () => {
    expect(() => ragpress({ upstream: 'nowhere' })).toThrow(
      expect.objectContaining({ field: 'upstream', value: 'nowhere' }) as Error,
    );
  });
});

import type { IncomingMessage, ServerResponse } from 'node:http';
import { z } from 'zod';
import {
  ConfigurationError,
  type Budget,
  type CompressionResult,
  type Pipeline,
  type PipelineOptions,
  type SourceDocument,
} from '../compressors/index.js';
import { checkBudget } from '../compressors/budget.js';
import { validate } from '../settings/validate.js';
import { Pipelines } from './pipelines.js';
import { Gateway } from './proxy/gateway.js';
import { readSettings, type ForwardOptions } from './proxy/settings.js';

/** As much of Express's request, of version 4 or 5, as is used here. */
export interface ExpressRequest extends IncomingMessage {
  body?: unknown;
  query?: unknown;
  baseUrl?: string;
  ragpress?: CompressionResult;
}

/** As much of Express's response as is used here. */
export interface ExpressResponse extends ServerResponse {
  locals: Record<string, unknown>;
}

export interface ExpressHandler {
  (request: ExpressRequest, response: ExpressResponse, next: (error?: unknown) => void): void;
  /** Lets connections and worker threads go. */
  close(): Promise<void>;
}

export interface CompressOptions {
  /** A pipeline, or options to make one. */
  readonly pipeline?: Pipeline | PipelineOptions;
  /** Default `res.locals.query`, `req.body.query` or `req.query.q`. */
  readonly query?: (request: ExpressRequest, response: ExpressResponse) => unknown;
  /** Default `res.locals.documents` or `req.body.documents`. */
  readonly documents?: (request: ExpressRequest, response: ExpressResponse) => unknown;
  /** Ceiling in place of the pipeline's. */
  readonly budget?: Budget;
}

const compressSchema = z.strictObject({
  pipeline: z.custom<Pipeline | PipelineOptions>(isObject, 'give a pipeline or options for one').default({}),
  query: z
    .custom<NonNullable<CompressOptions['query']>>(isFunction, 'give a function of the request')
    .default(() => queryOf),
  documents: z
    .custom<NonNullable<CompressOptions['documents']>>(isFunction, 'give a function of the request')
    .default(() => documentsOf),
  budget: z.custom<Budget>().optional(),
});

/**
 * A step of a route: compresses what an earlier step retrieved and puts the result on `res.locals.ragpress` and
 * `req.ragpress`. Errors go to `next`; a client that goes away stops the work.
 *
 * @example
 * app.post('/ask', express.json(), retrieve, compress({ pipeline: { budget: { tokens: 800 } } }), answer);
 * @throws ConfigurationError
 */
export function compress(options: CompressOptions = {}): ExpressHandler {
  const { pipeline, query, documents, budget } = validate(compressSchema, options);
  checkBudget(budget);
  const pipelines = new Pipelines(pipeline, 'embeddings');
  const compress = (request: ExpressRequest, response: ExpressResponse, next: (error?: unknown) => void) => {
    const gone = new AbortController();
    const abort = () => {
      gone.abort(new Error('the client went away'));
    };
    response.once('close', abort);
    const run = async () => {
      const chosen = await pipelines.choose();
      return chosen.compress({
        query: query(request, response) as string,
        documents: documents(request, response) as SourceDocument[],
        ...(budget && { budget }),
        signal: gone.signal,
      });
    };
    run()
      .then((result) => {
        request.ragpress = result;
        response.locals.ragpress = result;
      })
      .finally(() => response.off('close', abort))
      .then(() => {
        next();
      }, next);
  };
  return Object.assign(compress, { close: () => pipelines.close() });
}

/**
 * Forwards to an OpenAI-style API, compressing the contexts of chat completion requests on their way; see
 * `createProxy` of `ragpress/proxy`. Works before and after `express.json()`, which takes from it the digits of
 * numbers beyond double precision; mount it before where they matter.
 *
 * @example
 * app.use('/v1', ragpress({ upstream: 'https://api.openai.com' }));
 * @throws ConfigurationError
 */
export function ragpress(options: ForwardOptions): ExpressHandler {
  const gateway = new Gateway(readSettings(options));
  const ragpress = (request: ExpressRequest, response: ExpressResponse, next: (error?: unknown) => void) => {
    let body: Buffer | undefined;
    try {
      body = readAlready(request);
    } catch (error) {
      next(error);
      return;
    }
    // Express takes the path that a handler is mounted at off the URL.
    const version = /\/v\d+$/.exec(request.baseUrl ?? '')?.[0] ?? '';
    void gateway.handle({ request, response, path: version + (request.url ?? '/'), body });
  };
  return Object.assign(ragpress, { close: () => gateway.close() });
}

/** The body where an earlier step has read it, decoded. */
function readAlready({ body, readableDidRead, headers }: ExpressRequest): Buffer | undefined {
  if (!readableDidRead || body === undefined) return undefined;
  if (Buffer.isBuffer(body)) return body;
  if (typeof body === 'string') return Buffer.from(body);
  if (/^application\/(?:[\w.-]+\+)?json\b/i.test(headers['content-type'] ?? ''))
    return Buffer.from(JSON.stringify(body));
  throw new ConfigurationError(
    'req.body',
    headers['content-type'],
    'mount ragpress() before the step that reads bodies of this type',
  );
}

function queryOf({ body, query }: ExpressRequest, { locals }: ExpressResponse): unknown {
  return locals.query ?? field(body, 'query') ?? field(query, 'q');
}

function documentsOf({ body }: ExpressRequest, { locals }: ExpressResponse): unknown {
  return locals.documents ?? field(body, 'documents');
}

function field(value: unknown, name: string): unknown {
  return isObject(value) ? value[name] : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function';
}

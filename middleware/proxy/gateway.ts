import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { ConfigurationError, Pipeline } from '../../compressors/index.js';
import { ModelError } from '../../models/model-error.js';
import { LocalUpstream } from '../local/local-upstream.js';
import { Metrics } from '../metrics.js';
import { Pipelines } from '../pipelines.js';
import { apiFormOf } from './api-form.js';
import { compressBody, errorHeader, reportHeaders, type CompressedBody } from './compress-body.js';
import { readBody } from './read-body.js';
import { sendError, type ErrorAnswer } from './send-error.js';
import { silentLogger, type ProxySettings } from './settings.js';
import { Upstream, UpstreamError, type Destination } from './upstream.js';

export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Path and query, from the root of the upstream. */
  readonly path: string;
  /** The body, decoded, where it has been read from the request already. */
  readonly body?: Buffer | undefined;
}

/** What goes to the upstream, and what the response will say of it. */
interface Prepared {
  readonly body?: Buffer | Readable | undefined;
  readonly headers: OutgoingHttpHeaders;
  readonly outcome: CompressedBody['outcome'];
}

/** Compresses chat completion, responses and messages requests, and sends everything on to the upstream. */
export class Gateway {
  readonly metrics = new Metrics();
  readonly pipelines: Pipelines;
  readonly #settings: ProxySettings;
  readonly #upstream: Destination;
  #closing: Promise<void> | undefined;

  /** @throws ConfigurationError */
  constructor(settings: ProxySettings) {
    const { pipeline, latencyBudget, upstream, decoder, bodyLimit, connectTimeout, responseTimeout } =
      settings;
    this.#settings = settings;
    this.#upstream =
      upstream === 'local'
        ? new LocalUpstream(decoder, bodyLimit, this.metrics)
        : new Upstream(upstream, { connect: connectTimeout, response: responseTimeout });
    // A tenth of the time is left to put together what has been reached.
    const deadline = 0.9 * latencyBudget;
    // Whatever model a request names, the local one reads what is counted.
    const model = upstream === 'local' ? 'smollm2' : undefined;
    this.pipelines = new Pipelines(
      pipeline instanceof Pipeline
        ? pipeline
        : { ...(model !== undefined && { model }), ...pipeline, deadline: pipeline.deadline ?? deadline },
    );
  }

  /** Resolves when the first request can be compressed and sent on. */
  async ready(): Promise<void> {
    await Promise.all([this.pipelines.choose(), this.#upstream.ready()]);
  }

  /**
   * Answers a request, in the form of the API that it is of where something fails, or cuts off the answer that has begun.
   * Never rejects.
   */
  async handle(exchange: Exchange): Promise<void> {
    const { request, response, path } = exchange;
    const started = performance.now();
    const gone = new AbortController();
    response.once('close', () => {
      if (!response.writableFinished) gone.abort(new Error('the client went away'));
    });
    let prepared: Prepared | undefined;
    let failure: string | undefined;
    try {
      this.#checkKey(request);
      prepared = await this.#prepare(exchange, gone.signal);
      this.metrics.countRequest(prepared.outcome);
      await this.#upstream.forward({ ...prepared, request, response, path, signal: gone.signal });
    } catch (error) {
      failure = this.#fail(exchange, error, prepared?.headers);
    }
    (this.#settings.logger ?? silentLogger).info(
      {
        method: request.method,
        path: pathname(path),
        status: response.headersSent ? response.statusCode : undefined,
        milliseconds: Math.round(performance.now() - started),
        outcome: prepared?.outcome,
        tokensBefore: prepared?.headers['x-ragpress-tokens-before'],
        tokensAfter: prepared?.headers['x-ragpress-tokens-after'],
        failure,
      },
      'request',
    );
  }

  /** Once requests under way are answered. */
  close(): Promise<void> {
    this.#closing ??= this.#upstream.close().then(() => this.pipelines.close());
    return this.#closing;
  }

  #checkKey({ headers }: IncomingMessage): void {
    const { key } = this.#settings;
    const given = headers['x-ragpress-key'];
    // Hashes have one length, which comparing in constant time needs.
    if (key !== undefined && !timingSafeEqual(digest(key), digest(String(given)))) throw new WrongKey();
  }

  async #prepare({ request, path, body: read }: Exchange, signal: AbortSignal): Promise<Prepared> {
    if (!isCompressible(request, path, read)) return { body: read, headers: {}, outcome: 'passed' };
    const bytes = read ?? (await readBody(request, this.#settings.bodyLimit));
    if (!Buffer.isBuffer(bytes)) {
      const headers = errorHeader(`the body is over the limit of ${this.#settings.bodyLimit} bytes`);
      return { body: bytes, headers, outcome: 'passed' };
    }
    try {
      const { latencyBudget, systemQuestion } = this.#settings;
      const compressed = await compressBody(bytes, request.headers, {
        pipelines: this.pipelines,
        latencyBudget,
        systemQuestion,
        signal,
      });
      return { ...compressed, headers: this.#account(compressed) };
    } catch (error) {
      if (signal.aborted || error instanceof ConfigurationError) throw error;
      this.metrics.countFailure('compression');
      return { body: bytes, headers: errorHeader((error as Error).message), outcome: 'passed' };
    }
  }

  #account({ report }: CompressedBody): OutgoingHttpHeaders {
    if (!report) return {};
    const { before, after, counter, milliseconds, isLate, errors } = report;
    this.metrics.countCompression(before, after, counter, milliseconds);
    if (isLate) this.metrics.countFailure('latency_budget');
    else if (errors.length > 0) this.metrics.countFailure('compression');
    return reportHeaders(report);
  }

  /** @returns what the log says of it */
  #fail({ response, path }: Exchange, error: unknown, headers: OutgoingHttpHeaders = {}): string {
    const isUpstreams = error instanceof UpstreamError || error instanceof ModelError;
    if (isUpstreams) this.metrics.countFailure('upstream');
    if (!response.destroyed && !response.writableEnded) {
      sendError(response, answerTo(error), headers, apiFormOf(path));
    }
    return isUpstreams ? error.message : (error as Error).name;
  }
}

/** The proxy's own key is missing or another. */
class WrongKey extends Error {
  override readonly name = 'WrongKey';
}

function answerTo(error: unknown): ErrorAnswer {
  if (error instanceof WrongKey) {
    const message = 'Give the key of this ragpress proxy in the header x-ragpress-key.';
    return { status: 401, type: 'authentication_error', code: 'ragpress_key', message };
  }
  if (error instanceof ConfigurationError) {
    const { message, field: param } = error;
    return { status: 400, type: 'invalid_request_error', code: 'ragpress_option', message, param };
  }
  if (error instanceof UpstreamError) {
    const { status, message } = error;
    return {
      status,
      type: 'api_error',
      code: status === 504 ? 'upstream_timeout' : 'upstream_unreachable',
      message,
    };
  }
  return { status: 500, type: 'api_error', code: 'ragpress_failure', message: 'The proxy failed.' };
}

/** Requests in a content coding are the client's and the upstream's business, and pass through. */
function isCompressible(
  { method, headers }: IncomingMessage,
  path: string,
  read: Buffer | undefined,
): boolean {
  if (method !== 'POST' || apiFormOf(path) === undefined) return false;
  return read !== undefined || (headers['content-encoding'] ?? 'identity') === 'identity';
}

function pathname(path: string): string {
  return path.split('?', 1)[0]!;
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

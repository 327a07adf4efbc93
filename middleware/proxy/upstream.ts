import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { Agent, errors } from 'undici';
import { requestHeaders, responseHeaders } from './forwarded-headers.js';

export interface UpstreamTimeouts {
  /** Milliseconds to connect. */
  readonly connect: number;
  /** Milliseconds until a response begins, and between two pieces of it. */
  readonly response: number;
}

export interface Forwarding {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Path and query, from the root of the upstream. */
  readonly path: string;
  /** What to send in place of the request's own stream. */
  readonly body?: Buffer | Readable;
  /** Added to the response. */
  readonly headers: OutgoingHttpHeaders;
  readonly signal: AbortSignal;
}

/** Where requests go on to. */
export interface Destination {
  /** Resolves when the first request can be answered. */
  ready(): Promise<void>;
  /**
   * Answers a request.
   * @throws UpstreamError before anything of a response has been sent; any other error at any time
   */
  forward(forwarding: Forwarding): Promise<void>;
  /** Once requests under way are answered. */
  close(): Promise<void>;
}

/** The upstream could not be asked, or did not answer in time. */
export class UpstreamError extends Error {
  constructor(
    readonly status: 502 | 504,
    readonly code: string,
  ) {
    super(
      status === 504
        ? `the upstream did not answer in time (${code})`
        : `the upstream cannot be reached (${code})`,
    );
  }
}

/** The API that requests go on to. Connections are kept and shared. */
export class Upstream implements Destination {
  readonly #url: URL;
  readonly #agent: Agent;

  constructor(url: URL, timeouts: UpstreamTimeouts) {
    this.#url = url;
    this.#agent = new Agent({
      connect: { timeout: timeouts.connect },
      headersTimeout: timeouts.response,
      bodyTimeout: timeouts.response,
    });
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  /**
   * Sends a request on and its response back, each as it arrives and no faster than it is taken.
   * @throws UpstreamError before anything of a response has been sent; the stream's error after that
   */
  async forward({ request, response, path, body, headers, signal }: Forwarding): Promise<void> {
    const answer = await this.#agent
      .request({
        origin: this.#url.origin,
        path: this.#pathOf(path),
        method: request.method as 'POST',
        headers: requestHeaders(request, Buffer.isBuffer(body)),
        body: body ?? (hasBody(request) ? request : null),
        signal,
      })
      .catch((error: unknown) => {
        throw signal.aborted ? (signal.reason as Error) : upstreamError(error);
      });
    response.writeHead(answer.statusCode, answer.statusText, {
      ...responseHeaders(answer.headers),
      ...headers,
    });
    // A stream's client learns that it has begun before its first piece is there.
    if (answer.headers['content-length'] === undefined) response.flushHeaders();
    await pipeline(answer.body, response);
  }

  close(): Promise<void> {
    return this.#agent.close();
  }

  /** Base URLs of APIs are given with `/v1` as often as without. */
  #pathOf(path: string): string {
    const base = this.#url.pathname.replace(/\/$/, '');
    const isVersioned = base.endsWith('/v1') && /^\/v1(?:[/?]|$)/.test(path);
    return (isVersioned ? base.slice(0, -'/v1'.length) : base) + path;
  }
}

/** A message has a body where one of these fields is present (RFC 9112 §6). */
function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}

function upstreamError(error: unknown): UpstreamError {
  const code = (error as { code?: unknown } | null)?.code;
  const timedOut = error instanceof errors.ConnectTimeoutError || error instanceof errors.HeadersTimeoutError;
  return new UpstreamError(timedOut ? 504 : 502, typeof code === 'string' ? code : 'no code');
}

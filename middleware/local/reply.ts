import { once } from 'node:events';
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { sendError, type ErrorAnswer } from '../proxy/send-error.js';

/** The response to one request: a JSON value, or events, whose stream begins with the first of them. */
export class Reply {
  readonly #response: ServerResponse;
  readonly #headers: OutgoingHttpHeaders;
  readonly #signal: AbortSignal;

  /**
   * @param headers sent with whatever the response is
   * @param signal aborted when the client goes away
   */
  constructor(response: ServerResponse, headers: OutgoingHttpHeaders, signal: AbortSignal) {
    this.#response = response;
    this.#headers = headers;
    this.#signal = signal;
  }

  json(value: object): void {
    const body = JSON.stringify(value);
    this.#response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...this.#headers,
    });
    this.#response.end(body);
  }

  /** Resolves when the client can take the next. */
  async event(value: object): Promise<void> {
    if (!this.#response.headersSent) {
      this.#response.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        ...this.#headers,
      });
    }
    if (!this.#response.write(`data: ${JSON.stringify(value)}\n\n`))
      await once(this.#response, 'drain', { signal: this.#signal });
  }

  endEvents(): void {
    this.#response.end('data: [DONE]\n\n');
  }

  /** With its status where nothing has been sent yet, else as the last of the events. */
  error(answer: ErrorAnswer, headers: OutgoingHttpHeaders = {}): void {
    if (!this.#response.headersSent) {
      sendError(this.#response, answer, { ...this.#headers, ...headers });
      return;
    }
    const { message, type, param = null, code } = answer;
    this.#response.end(`data: ${JSON.stringify({ error: { message, type, param, code } })}\n\n`);
  }
}

import { once } from 'node:events';
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { ApiForm } from '../proxy/api-form.js';
import { anthropicError, openAiError, sendError, type ErrorAnswer } from '../proxy/send-error.js';

type Event = Readonly<Record<string, unknown>> & { readonly type?: string };

/** The response to one request: a JSON value, or events, whose stream begins with the first of them. */
export class Reply {
  readonly #response: ServerResponse;
  readonly #headers: OutgoingHttpHeaders;
  readonly #signal: AbortSignal;
  readonly #form: ApiForm | undefined;
  #events = 0;

  /**
   * @param headers sent with whatever the response is
   * @param signal aborted when the client goes away
   * @param form of errors, and of how events end
   */
  constructor(
    response: ServerResponse,
    headers: OutgoingHttpHeaders,
    signal: AbortSignal,
    form: ApiForm | undefined,
  ) {
    this.#response = response;
    this.#headers = headers;
    this.#signal = signal;
    this.#form = form;
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

  /** Resolves when the client can take the next. One that has a `type` is named after it. */
  async event(value: Event): Promise<void> {
    if (!this.#response.headersSent) {
      this.#response.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        ...this.#headers,
      });
    }
    if (!this.#response.write(this.#framed(value)))
      await once(this.#response, 'drain', { signal: this.#signal });
  }

  /** Events of types have one that says that they are over. */
  endEvents(): void {
    const isTyped = this.#form === 'responses' || this.#form === 'messages';
    this.#response.end(isTyped ? undefined : 'data: [DONE]\n\n');
  }

  /** With its status where nothing has been sent yet, else as the last of the events. */
  error(answer: ErrorAnswer, headers: OutgoingHttpHeaders = {}): void {
    if (!this.#response.headersSent) {
      sendError(this.#response, answer, { ...this.#headers, ...headers }, this.#form);
      return;
    }
    const { message, code, param = null } = answer;
    const last = {
      chat: openAiError(answer),
      responses: { type: 'error', code, message, param },
      messages: anthropicError(answer),
    }[this.#form ?? 'chat'];
    this.#response.end(this.#framed(last));
  }

  #framed(value: Event): string {
    const numbered = this.#form === 'responses' ? { ...value, sequence_number: this.#events++ } : value;
    return `${value.type === undefined ? '' : `event: ${value.type}\n`}data: ${JSON.stringify(numbered)}\n\n`;
  }
}

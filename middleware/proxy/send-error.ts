import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';

export interface ErrorAnswer {
  readonly status: number;
  readonly type: 'invalid_request_error' | 'authentication_error' | 'api_error';
  readonly code: string;
  readonly message: string;
  /** The field of the request that is wrong. */
  readonly param?: string;
}

/** Answers with an error in OpenAI's form, which its clients turn into their own. */
export function sendError(
  response: ServerResponse,
  answer: ErrorAnswer,
  headers: OutgoingHttpHeaders = {},
): void {
  const { status, message, type, code, param = null } = answer;
  send(response, status, { error: { message, type, param, code } }, headers);
}

/** Answers with an error in Anthropic's form. */
export function sendAnthropicError(
  response: ServerResponse,
  { status, type, message }: ErrorAnswer,
  headers: OutgoingHttpHeaders = {},
): void {
  send(response, status, { type: 'error', error: { type, message } }, headers);
}

function send(response: ServerResponse, status: number, answer: object, headers: OutgoingHttpHeaders): void {
  if (response.headersSent) {
    response.destroy();
    return;
  }
  const body = JSON.stringify(answer);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
}

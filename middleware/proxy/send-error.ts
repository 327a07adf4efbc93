import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { ApiForm } from './api-form.js';

export interface ErrorAnswer {
  readonly status: number;
  readonly type: 'invalid_request_error' | 'authentication_error' | 'api_error';
  readonly code: string;
  readonly message: string;
  /** The field of the request that is wrong. */
  readonly param?: string;
}

/** Answers with an error in a form that the API's clients turn into their own, OpenAI's where none is told. */
export function sendError(
  response: ServerResponse,
  answer: ErrorAnswer,
  headers: OutgoingHttpHeaders = {},
  form?: ApiForm,
): void {
  send(response, answer.status, form === 'messages' ? anthropicError(answer) : openAiError(answer), headers);
}

export function openAiError(answer: ErrorAnswer) {
  const { message, type, code, param = null } = answer;
  return { error: { message, type, param, code } };
}

export function anthropicError({ type, message }: ErrorAnswer) {
  return { type: 'error', error: { type, message } };
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

import type { OutgoingHttpHeaders } from 'node:http';
import { ModelError } from '../../models/model-error.js';
import { ConfigurationError } from '../../settings/configuration-error.js';
import type { ErrorAnswer } from '../proxy/send-error.js';

/** A request that cannot be answered, with what its caller is told. */
export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    readonly answer: ErrorAnswer,
    readonly headers: OutgoingHttpHeaders = {},
  ) {
    super(answer.message);
  }
}

/** What a caller is told where it is not the caller's doing; the log is told more. */
export const MODEL_FAILURE: ErrorAnswer = {
  status: 500,
  type: 'api_error',
  code: 'model_failure',
  message: 'The model failed.',
};

/** What a caller is told of an error in answering. */
export function answerTo(error: unknown): ErrorAnswer {
  if (error instanceof ApiError) return error.answer;
  if (error instanceof ModelError && error.code === 'context') {
    const { message } = error;
    return { status: 400, type: 'invalid_request_error', code: 'context_length_exceeded', message };
  }
  if (error instanceof ModelError && error.code === 'unsupported') {
    const message = 'The model takes no such conversation; use /v1/completions.';
    const param = 'messages';
    return { status: 400, type: 'invalid_request_error', code: 'unsupported_value', message, param };
  }
  if (error instanceof ConfigurationError) {
    const { message, field } = error;
    return { status: 400, type: 'invalid_request_error', code: 'invalid_value', message, param: field };
  }
  return MODEL_FAILURE;
}

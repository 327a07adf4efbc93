import { isUtf8 } from 'node:buffer';
import type { TextGenerator } from '../lazy-decoder.js';
import { ApiError } from './api-error.js';
import { completeChat } from './chat-completions.js';
import { complete } from './completions.js';
import { completeMessage, countMessageTokens } from './messages.js';
import type { Reply } from './reply.js';
import { countResponseTokens, respond } from './responses.js';

export interface ApiRequest {
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  /** Reads the body; rejects with an ApiError where it is too large. */
  readonly read: () => Promise<Buffer>;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

const ANSWERS: Readonly<Record<string, typeof completeChat>> = {
  '/chat/completions': completeChat,
  '/completions': complete,
  '/responses': respond,
  '/responses/input_tokens': countResponseTokens,
  '/messages': completeMessage,
  '/messages/count_tokens': countMessageTokens,
};

/** The list of models has to say since when there is one. */
const STARTED = Math.floor(Date.now() / 1000);

/**
 * OpenAI's API, as much of it as a decoder can answer: chat completions, responses, completions, and a list of one model;
 * and Anthropic's messages; of responses and messages their tokens, too. Whatever model a request names, that one
 * answers, and the answer says so. Fields that are not known are passed over; those that would change an answer's form,
 * and cannot here, are refused.
 * @throws ApiError; what `decoder.generate` and its result throw
 */
export async function answerLocally(
  decoder: TextGenerator,
  { method, path, read, signal }: ApiRequest,
  reply: Reply,
): Promise<void> {
  const [, route, model] =
    /^(?:\/v1)?(\/chat\/completions|\/completions|\/responses(?:\/input_tokens)?|(?<=^\/v1)\/messages(?:\/count_tokens)?|\/models)(?:\/([^/?]+))?(?:\?|$)/.exec(
      path,
    ) ?? [];
  if (route === undefined || (model !== undefined && route !== '/models')) throw unknownPath();
  const expected = route === '/models' ? 'GET' : 'POST';
  if (method !== expected) throw wrongMethod(expected);
  if (route === '/models') {
    const described = { id: decoder.model, object: 'model', created: STARTED, owned_by: 'ragpress' };
    if (model === undefined) reply.json({ object: 'list', data: [described] });
    else if (decoded(model) === decoder.model) reply.json(described);
    else throw unknownModel(decoder.model);
    return;
  }
  await ANSWERS[route]!(decoder, parseJson(await read()), reply, signal);
}

function parseJson(bytes: Buffer): unknown {
  try {
    if (isUtf8(bytes)) return JSON.parse(bytes.toString('utf8'));
  } catch {
    // Its message would quote the body.
  }
  const message = 'The body is not JSON in UTF-8.';
  throw new ApiError({ status: 400, type: 'invalid_request_error', code: 'invalid_json', message });
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function unknownPath(): ApiError {
  const message =
    'There are /v1/chat/completions, /v1/responses, /v1/responses/input_tokens, /v1/messages, /v1/messages/count_tokens, ' +
    '/v1/completions and /v1/models here, and nothing else.';
  return new ApiError({ status: 404, type: 'invalid_request_error', code: 'unknown_url', message });
}

function unknownModel(model: string): ApiError {
  const message = `There is no such model here; there is ${model}.`;
  return new ApiError({
    status: 404,
    type: 'invalid_request_error',
    code: 'model_not_found',
    message,
    param: 'model',
  });
}

function wrongMethod(expected: string): ApiError {
  const message = `Use ${expected} for this path.`;
  return new ApiError(
    { status: 405, type: 'invalid_request_error', code: 'method_not_allowed', message },
    { allow: expected },
  );
}

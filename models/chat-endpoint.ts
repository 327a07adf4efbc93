import { Agent, errors } from 'undici';
import { z } from 'zod';
import { ConfigurationError } from '../settings/configuration-error.js';
import { validate } from '../settings/validate.js';
import type { ChatMessage } from './decoder/generation.js';
import { ModelError } from './model-error.js';

export interface ChatEndpointOptions {
  /** Base address of an OpenAI-compatible API, with or without `/v1`: `https://api.openai.com/v1`. */
  readonly url: string;
  /** Name of a model of it. */
  readonly model: string;
  /** Sent as a bearer token, and shown nowhere. */
  readonly apiKey?: string;
  /** Milliseconds to connect, and for an answer. Default 30,000. */
  readonly timeout?: number;
}

const optionsSchema = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: 'give the address of an API: https://HOST/v1' }),
  model: z.string('give the name of a model').min(1, 'give the name of a model'),
  apiKey: z.string('give a key').optional(),
  timeout: z.number().positive('give a number of milliseconds above 0').default(30_000),
});

export interface ChatAnswer {
  readonly text: string;
  readonly finishReason: string;
}

const answerSchema = z.object({
  choices: z
    .array(
      z.object({
        message: z.object({ content: z.string().nullish() }),
        finish_reason: z.string().nullish(),
      }),
    )
    .min(1),
});

/** A longer response is none to a request of a few hundred tokens. */
const LARGEST_RESPONSE = 1_000_000;

/** The chat completions of an OpenAI-compatible API. */
export class ChatEndpoint {
  readonly model: string;
  readonly #url: URL;
  readonly #apiKey: string | undefined;
  readonly #agent: Agent;

  /** @throws ConfigurationError */
  constructor(options: ChatEndpointOptions, root = 'chatEndpoint') {
    const { url, model, apiKey, timeout } = validate(optionsSchema, options, root);
    // What a header cannot hold; the message does not hold it either.
    if (apiKey !== undefined && !/^[\x21-\x7e]+$/.test(apiKey))
      throw new ConfigurationError(`${root}.apiKey`, '…', 'give a key of printable ASCII characters');
    const base = url.replace(/\/+$/, '');
    this.model = model;
    this.#url = new URL(`${/\/v\d+$/.test(base) ? base : `${base}/v1`}/chat/completions`);
    this.#apiKey = apiKey;
    this.#agent = new Agent({ connect: { timeout }, headersTimeout: timeout, bodyTimeout: timeout });
  }

  /**
   * The likeliest answer.
   * @throws ModelError `endpoint`, whose message holds nothing of the request or the response; the signal's reason
   */
  async complete(
    messages: readonly ChatMessage[],
    { maxTokens, signal }: { readonly maxTokens: number; readonly signal?: AbortSignal },
  ): Promise<ChatAnswer> {
    const { status, body } = await this.#post(
      JSON.stringify({ model: this.model, messages, max_tokens: maxTokens, temperature: 0, seed: 0 }),
      signal,
    );
    if (status !== 200) throw this.#fault(`it answered with status ${status}`);
    const parsed = answerSchema.safeParse(parseJson(body));
    if (!parsed.success) throw this.#fault('what it answered is no chat completion');
    const { message, finish_reason } = parsed.data.choices[0]!;
    return { text: message.content ?? '', finishReason: finish_reason ?? 'stop' };
  }

  /** Lets its connections go. */
  async close(): Promise<void> {
    await this.#agent.close();
  }

  async #post(body: string, signal: AbortSignal | undefined): Promise<{ status: number; body: string }> {
    try {
      const response = await this.#agent.request({
        origin: this.#url.origin,
        path: this.#url.pathname + this.#url.search,
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'application/json',
          ...(this.#apiKey !== undefined && { authorization: `Bearer ${this.#apiKey}` }),
        },
        body,
        ...(signal && { signal }),
      });
      const pieces: Buffer[] = [];
      let size = 0;
      for await (const piece of response.body as AsyncIterable<Buffer>) {
        size += piece.length;
        if (size > LARGEST_RESPONSE)
          throw this.#fault(`it answered with more than ${LARGEST_RESPONSE} bytes`);
        pieces.push(piece);
      }
      return { status: response.statusCode, body: Buffer.concat(pieces).toString('utf8') };
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof ModelError) throw error;
      throw this.#fault(reasonOf(error));
    }
  }

  #fault(reason: string): ModelError {
    return new ModelError('endpoint', this.model, `${this.#url.origin}, for ${this.model}: ${reason}`);
  }
}

function reasonOf(error: unknown): string {
  if (
    error instanceof errors.ConnectTimeoutError ||
    error instanceof errors.HeadersTimeoutError ||
    error instanceof errors.BodyTimeoutError
  )
    return 'it did not answer in time';
  const code = (error as { code?: unknown } | null)?.code;
  return `it cannot be asked (${typeof code === 'string' ? code : 'no code'})`;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

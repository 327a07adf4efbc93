import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { ChunkDecoder, type ChunkDecoderOptions } from '../../kvreuse/chunk-decoder.js';
import { LazyDecoder, type TextGenerator } from '../lazy-decoder.js';
import type { Metrics } from '../metrics.js';
import { apiFormOf } from '../proxy/api-form.js';
import { readBody } from '../proxy/read-body.js';
import { UpstreamError, type Destination, type Forwarding } from '../proxy/upstream.js';
import { answerTo, ApiError, MODEL_FAILURE } from './api-error.js';
import { answerLocally } from './local-api.js';
import { Reply } from './reply.js';

/**
 * The embedded decoder in the place of an API. Requests are answered where they arrive: a server of its own would need a
 * port, which is open to whoever does not know the proxy's key, and a copy of every request and answer. Documents that
 * it has read are kept, and read from there in later requests.
 */
export class LocalUpstream implements Destination {
  readonly #decoder: LazyDecoder<ChunkDecoderOptions>;
  readonly #metrics: Metrics;
  readonly #bodyLimit: number;
  readonly #underWay = new Set<Promise<void>>();
  #closing: Promise<void> | undefined;

  /** @param bodyLimit in bytes */
  constructor(decoder: TextGenerator | ChunkDecoderOptions = {}, bodyLimit: number, metrics: Metrics) {
    this.#decoder = new LazyDecoder(decoder, (options) => ChunkDecoder.load(options));
    this.#metrics = metrics;
    this.#bodyLimit = bodyLimit;
  }

  async ready(): Promise<void> {
    await this.#decoder.load();
  }

  /** @throws what the caller is told only in part, for the log; the signal's reason */
  async forward(forwarding: Forwarding): Promise<void> {
    if (this.#closing) throw new UpstreamError(502, 'closed');
    const answered = this.#answer(forwarding);
    this.#underWay.add(answered);
    try {
      await answered;
    } finally {
      this.#underWay.delete(answered);
    }
  }

  close(): Promise<void> {
    this.#closing ??= Promise.allSettled(this.#underWay).then(() => this.#decoder.close());
    return this.#closing;
  }

  async #answer({ request, response, path, body, headers, signal }: Forwarding): Promise<void> {
    const reply = new Reply(response, headers, signal, apiFormOf(path));
    let decoder: TextGenerator | undefined;
    try {
      decoder = this.#counted(await this.#decoder.load());
      const read = () => this.#read(request, body);
      await answerLocally(decoder, { method: request.method ?? 'GET', path, read, signal }, reply);
    } catch (error) {
      signal.throwIfAborted();
      const answer = decoder ? answerTo(error) : MODEL_FAILURE;
      reply.error(answer, error instanceof ApiError ? error.headers : {});
      if (answer.status >= 500) throw error;
    }
  }

  #counted(decoder: TextGenerator): TextGenerator {
    return {
      model: decoder.model,
      countTokens: (input) => decoder.countTokens(input),
      generate: (input, options) => {
        const generation = decoder.generate(input, options);
        generation.result.then(
          ({ promptTokens, reuse }) => {
            this.#metrics.countPrompt(reuse ?? { reused: 0, repaired: 0, computed: promptTokens });
          },
          () => undefined, // Whoever reads the result is told.
        );
        return generation;
      },
    };
  }

  async #read(request: IncomingMessage, body: Buffer | Readable | undefined): Promise<Buffer> {
    const coding = request.headers['content-encoding'] ?? 'identity';
    if (body === undefined && coding !== 'identity') {
      const message = 'Send the body without a content coding.';
      throw new ApiError({ status: 415, type: 'invalid_request_error', code: 'content_coding', message });
    }
    const bytes = body ?? (await readBody(request, this.#bodyLimit));
    if (Buffer.isBuffer(bytes)) return bytes;
    const message = `The body is over the limit of ${this.#bodyLimit} bytes.`;
    throw new ApiError({ status: 413, type: 'invalid_request_error', code: 'body_too_large', message });
  }
}

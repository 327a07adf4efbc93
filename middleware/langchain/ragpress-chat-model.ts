import type { CallbackManagerForLLMRun } from '@langchain/core/callbacks/manager';
import {
  BaseChatModel,
  type BaseChatModelCallOptions,
  type BaseChatModelParams,
} from '@langchain/core/language_models/chat_models';
import { AIMessage, AIMessageChunk, type BaseMessage, type UsageMetadata } from '@langchain/core/messages';
import { ChatGenerationChunk, type ChatResult } from '@langchain/core/outputs';
import { Decoder, type DecoderOptions } from '../../models/decoder/decoder.js';
import { generateSettingsSchema } from '../../models/decoder/generate-settings.js';
import type {
  ChatMessage,
  GenerateOptions,
  Generation,
  GenerationResult,
} from '../../models/decoder/generation.js';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { validate } from '../../settings/validate.js';
import { LazyDecoder, type TextGenerator } from '../lazy-decoder.js';

/** How answers are generated, for all calls or for one. A call's `stop` takes the place of the model's. */
export type AnswerOptions = Omit<GenerateOptions, 'signal'>;

export interface RagpressChatModelParams extends BaseChatModelParams, AnswerOptions {
  /** One that is loaded, or options for it. Default `smollm2`. */
  readonly decoder?: TextGenerator | DecoderOptions;
}

export type RagpressChatModelCallOptions = BaseChatModelCallOptions & Omit<AnswerOptions, 'stop'>;

const ANSWER_OPTIONS = Object.keys(generateSettingsSchema.shape) as (keyof AnswerOptions)[];

/**
 * The embedded decoder as a chat model of LangChain. It is loaded by the first call, and reads text alone: messages of
 * tools, and contents that are not text, are refused.
 *
 * @example
 * const chain = compressStep({ pipeline }).pipe(prompt).pipe(new RagpressChatModel({ maxTokens: 64 }));
 */
export class RagpressChatModel extends BaseChatModel<RagpressChatModelCallOptions> {
  static override lc_name(): string {
    return 'RagpressChatModel';
  }

  override lc_namespace = ['ragpress', 'langchain'];
  readonly #decoder: LazyDecoder;
  readonly #options: AnswerOptions;

  /** @throws ConfigurationError */
  constructor({ decoder, ...fields }: RagpressChatModelParams = {}) {
    super(fields);
    this.#decoder = new LazyDecoder(decoder ?? {}, (options) => Decoder.load(options));
    this.#options = answerOptions(fields);
    validate(generateSettingsSchema, this.#options);
  }

  override get callKeys(): string[] {
    return [...super.callKeys, ...ANSWER_OPTIONS];
  }

  override _llmType(): string {
    return 'ragpress';
  }

  /** Part of the key under which LangChain caches an answer. */
  override _identifyingParams(): Record<string, unknown> {
    return { ...this.#options, decoder: this.#decoder.name };
  }

  override invocationParams(options?: this['ParsedCallOptions']): AnswerOptions {
    return { ...this.#options, ...answerOptions(options ?? {}) };
  }

  /** @throws ConfigurationError for messages and options that cannot be used; ModelError; the signal's reason */
  override async _generate(messages: BaseMessage[], options: this['ParsedCallOptions']): Promise<ChatResult> {
    const { decoder, generation } = await this.#begin(messages, options);
    const result = await generation.result;
    const { text, finishReason } = result;
    const usage_metadata = usageOf(result);
    const message = new AIMessage({
      content: text,
      usage_metadata,
      response_metadata: { model_name: decoder.model, finish_reason: finishReason },
    });
    return {
      generations: [{ text, message, generationInfo: { finish_reason: finishReason } }],
      llmOutput: {
        tokenUsage: {
          promptTokens: usage_metadata.input_tokens,
          completionTokens: usage_metadata.output_tokens,
          totalTokens: usage_metadata.total_tokens,
        },
      },
    };
  }

  /** @throws as `_generate` does */
  override async *_streamResponseChunks(
    messages: BaseMessage[],
    options: this['ParsedCallOptions'],
    runManager?: CallbackManagerForLLMRun,
  ): AsyncGenerator<ChatGenerationChunk> {
    const { decoder, generation } = await this.#begin(messages, options);
    for await (const text of generation) {
      const chunk = new ChatGenerationChunk({ text, message: new AIMessageChunk({ content: text }) });
      yield chunk;
      await runManager?.handleLLMNewToken(text, undefined, undefined, undefined, undefined, { chunk });
    }
    const result = await generation.result;
    const message = new AIMessageChunk({
      content: '',
      usage_metadata: usageOf(result),
      response_metadata: { model_name: decoder.model, finish_reason: result.finishReason },
    });
    yield new ChatGenerationChunk({ text: '', message });
  }

  /** Lets the decoder's thread go. One that was given stays open. */
  close(): Promise<void> {
    return this.#decoder.close();
  }

  async #begin(
    messages: readonly BaseMessage[],
    options: this['ParsedCallOptions'],
  ): Promise<{ decoder: TextGenerator; generation: Generation }> {
    const read = messages.map(chatMessage);
    const decoder = await this.#decoder.load();
    const { signal } = options;
    const generation = decoder.generate(
      { messages: read },
      { ...this.invocationParams(options), ...(signal && { signal }) },
    );
    return { decoder, generation };
  }
}

/** Those that are given, of what else there is. */
function answerOptions(given: AnswerOptions): AnswerOptions {
  return Object.fromEntries(
    ANSWER_OPTIONS.filter((name) => given[name] !== undefined).map((name) => [name, given[name]]),
  );
}

const ROLES: Readonly<Record<string, ChatMessage['role']>> = {
  system: 'system',
  developer: 'system',
  human: 'user',
  user: 'user',
  ai: 'assistant',
  assistant: 'assistant',
};

function chatMessage(message: BaseMessage, index: number): ChatMessage {
  const type = message.type;
  const named = type === 'generic' ? (message as BaseMessage & { readonly role?: string }).role : type;
  const role = ROLES[named ?? ''];
  if (role === undefined) {
    throw new ConfigurationError(
      `messages[${index}]`,
      named,
      'give messages of the system, the user or the model: tools and their results are not read',
    );
  }
  const { content } = message;
  const strange = typeof content === 'string' ? undefined : content.find(({ type }) => type !== 'text');
  if (strange) {
    throw new ConfigurationError(
      `messages[${index}].content`,
      strange.type,
      'give text: nothing else is read',
    );
  }
  return { role, content: message.text };
}

function usageOf({ promptTokens, completionTokens }: GenerationResult): UsageMetadata {
  return {
    input_tokens: promptTokens,
    output_tokens: completionTokens,
    total_tokens: promptTokens + completionTokens,
  };
}

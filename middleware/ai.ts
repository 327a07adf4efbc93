import { z } from 'zod';
import type { Pipeline, PipelineOptions } from '../compressors/index.js';
import { validate } from '../settings/validate.js';
import { Pipelines } from './pipelines.js';
import { compressContexts, type CompressedContexts } from './requests/compress-contexts.js';
import { findContexts } from './requests/find-contexts.js';
import type { JsonPath } from './requests/splice-json.js';

export interface RagpressMiddlewareOptions {
  /** A pipeline, or options to make one. Without a `model` tokens are counted by the language model's own name. */
  readonly pipeline?: Pipeline | PipelineOptions;
  /** As in `ragpress/proxy`. Default `first`. */
  readonly systemQuestion?: 'first' | 'last';
  /** Told what was done, once for each call in whose prompt documents were found. */
  readonly onCompressed?: (report: AiReport) => void;
}

export interface AiReport extends Omit<CompressedContexts, 'edits'> {
  /** Name of the counter that counted the tokens. */
  readonly counter: string;
}

/** As much of a call's options as is used here. */
interface CallOptions {
  readonly prompt: readonly unknown[];
  readonly abortSignal?: AbortSignal | undefined;
}

/** A `LanguageModelMiddleware` of the AI SDK. */
export interface RagpressMiddleware {
  readonly specificationVersion: 'v3';
  transformParams<Params>(call: {
    readonly params: Params;
    readonly model: { readonly modelId: string };
  }): Promise<Params>;
  /** Lets worker threads go. */
  close(): Promise<void>;
}

const optionsSchema = z.strictObject({
  pipeline: z.custom<Pipeline | PipelineOptions>(isObject, 'give a pipeline or options for one').default({}),
  systemQuestion: z.enum(['first', 'last'], 'give first or last').default('first'),
  onCompressed: z
    .custom<NonNullable<RagpressMiddlewareOptions['onCompressed']>>(
      (value) => typeof value === 'function',
      'give a function',
    )
    .default(() => () => undefined),
});

/**
 * Middleware for the AI SDK (6): compresses the documents in a prompt, tool results among them, before the model reads
 * it. Everything else in the prompt stays as it is; what cannot be compressed goes through as it was.
 *
 * @example
 * const model = wrapLanguageModel({ model: openai('gpt-4o'), middleware: ragpressMiddleware() });
 * @throws ConfigurationError
 */
export function ragpressMiddleware(options: RagpressMiddlewareOptions = {}): RagpressMiddleware {
  const { pipeline, systemQuestion, onCompressed } = validate(optionsSchema, options);
  const pipelines = new Pipelines(pipeline);
  return {
    specificationVersion: 'v3',
    async transformParams({ params, model }) {
      const { prompt, abortSignal } = params as CallOptions;
      const { messages, places } = chatMessages(prompt);
      const contexts = findContexts({ messages }, { systemQuestion });
      if (contexts.length === 0) return params;
      const chosen = await pipelines.choose({ model: model.modelId });
      const signal = abortSignal ?? new AbortController().signal;
      const { edits, ...report } = await compressContexts(contexts, chosen, undefined, signal);
      onCompressed({ ...report, counter: chosen.counter.name });
      const edited = edits.reduce<unknown>(
        (whole, { path, text }) => replaceAt(whole, placeOf(path, places), text),
        prompt,
      );
      return { ...params, prompt: edited };
    },
    close: () => pipelines.close(),
  };
}

/**
 * A prompt as the messages of a chat completion request, and where the content of each stands in the prompt. A tool's
 * message holds the results of several calls there, and of one here.
 */
function chatMessages(prompt: readonly unknown[]): { messages: object[]; places: JsonPath[] } {
  const messages: object[] = [];
  const places: JsonPath[] = [];
  const add = (message: object, place: JsonPath) => {
    messages.push(message);
    places.push(place);
  };
  for (const [index, message] of prompt.entries()) {
    if (!isObject(message)) continue;
    const { role, content } = message;
    const parts = Array.isArray(content) ? content.filter(isObject) : [];
    if (role !== 'tool') {
      const calls = parts.filter(({ type }) => type === 'tool-call').map(toolCall);
      const read = Array.isArray(content) ? content.map(withBreakpoint) : content;
      add(withBreakpoint({ ...message, content: read, tool_calls: calls }) as object, [index, 'content']);
      continue;
    }
    for (const [at, part] of parts.entries()) {
      const output = isObject(part.output) ? part.output : {};
      const text = output.type === 'text' || output.type === 'content' ? output.value : undefined;
      add(withBreakpoint({ ...part, role, content: text, tool_call_id: part.toolCallId }) as object, [
        index,
        'content',
        at,
        'output',
        'value',
      ]);
    }
  }
  return { messages, places };
}

function toolCall({ toolCallId, toolName, input }: Readonly<Record<string, unknown>>): object {
  return { id: toolCallId, function: { name: toolName, arguments: JSON.stringify(input) } };
}

/** The AI SDK's way to say that a prompt is cached up to here. */
function withBreakpoint(part: unknown): unknown {
  if (!isObject(part) || !isObject(part.providerOptions)) return part;
  const { anthropic } = part.providerOptions;
  return { ...part, cache_control: isObject(anthropic) ? anthropic.cacheControl : undefined };
}

/** From `messages, n, content, …` to the place in the prompt. */
function placeOf([, message, , ...rest]: JsonPath, places: readonly JsonPath[]): JsonPath {
  return [...places[message as number]!, ...rest];
}

function replaceAt(value: unknown, [key, ...rest]: JsonPath, text: string): unknown {
  if (key === undefined) return text;
  if (Array.isArray(value)) return value.with(key as number, replaceAt(value[key as number], rest, text));
  const fields = value as Readonly<Record<string, unknown>>;
  return { ...fields, [key]: replaceAt(fields[key], rest, text) };
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

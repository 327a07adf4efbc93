import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { ChatMessage } from '../../models/decoder/generation.js';
import type { TextGenerator } from '../lazy-decoder.js';
import { documentText } from '../requests/document-text.js';
import { parseFields } from './parse-fields.js';
import type { Reply } from './reply.js';
import { generateOptions, samplingFields } from './sampling-fields.js';
import { supportedField } from './supported-field.js';
import { textContent } from './text-content.js';
import { usageOf } from './usage.js';
import { withDocuments } from './with-documents.js';

const content = textContent('text');

const messageSchema = z
  .object({
    role: z.enum(
      ['system', 'developer', 'user', 'assistant'],
      'give system, developer, user or assistant: tools and their results are not read',
    ),
    content: content.nullish(),
  })
  .refine(({ role, content }) => role === 'assistant' || content != null, {
    path: ['content'],
    error: 'give a text',
  })
  .transform(({ role, content }): ChatMessage => ({
    role: role === 'developer' ? 'system' : role,
    content: content ?? '',
  }));

const chatSchema = z.object(
  {
    ...samplingFields,
    messages: z.array(messageSchema, 'give a list of messages').min(1, 'give a message'),
    documents: z.array(z.unknown(), 'give a list of documents').nullish(),
    max_completion_tokens: samplingFields.max_tokens,
    tool_choice: supportedField(isLeftToModel, 'no tools are called here: give none or auto'),
    function_call: supportedField(isLeftToModel, 'no functions are called here: give none or auto'),
    response_format: supportedField(
      (format) => (format as { readonly type?: unknown }).type === 'text',
      'answers are text: give { type: "text" }',
    ),
    logprobs: supportedField(
      (logprobs) => logprobs === false,
      'there are no log probabilities here: give false',
    ),
    modalities: supportedField(
      (modalities) => Array.isArray(modalities) && modalities.every((each) => each === 'text'),
      'answers are text: give ["text"]',
    ),
  },
  'give a JSON object',
);

function isLeftToModel(choice: unknown): boolean {
  return choice === 'none' || choice === 'auto';
}

/**
 * Answers `POST /v1/chat/completions`, with at most 256 tokens where the request does not say how many. `documents`
 * (strings, or objects with a text) are put before the user's last question, as the reader was trained to have them.
 * @throws ApiError; what `decoder.generate` and its result throw
 */
export async function completeChat(
  decoder: TextGenerator,
  body: unknown,
  reply: Reply,
  signal: AbortSignal,
): Promise<void> {
  const { messages, documents, max_completion_tokens, stream, stream_options, ...sampling } = parseFields(
    chatSchema,
    body,
  );
  const max_tokens = max_completion_tokens ?? sampling.max_tokens;
  const asked = messages.findLastIndex(({ role }) => role === 'user');
  const asking = messages.map((message, index) =>
    index === asked && documents
      ? { ...message, documents: documents.map((document) => documentText(document)) }
      : message,
  );
  const generation = decoder.generate(
    { messages: withDocuments(asking) },
    { ...generateOptions({ ...sampling, max_tokens }), signal },
  );
  const head = {
    id: `chatcmpl-${randomUUID()}`,
    created: Math.floor(Date.now() / 1000),
    model: decoder.model,
  };
  if (!stream) {
    const result = await generation.result;
    reply.json({
      ...head,
      object: 'chat.completion',
      choices: [
        {
          index: 0,
          message: { role: 'assistant', content: result.text, refusal: null },
          logprobs: null,
          finish_reason: result.finishReason,
        },
      ],
      usage: usageOf([result]),
    });
    return;
  }
  const withUsage = stream_options?.include_usage ?? false;
  const chunk = (delta: object, finish_reason: string | null) => ({
    ...head,
    object: 'chat.completion.chunk',
    choices: [{ index: 0, delta, logprobs: null, finish_reason }],
    ...(withUsage && { usage: null }),
  });
  let first: object = { role: 'assistant', content: '' };
  for await (const content of generation) {
    await reply.event(chunk({ ...first, content }, null));
    first = {};
  }
  const result = await generation.result;
  await reply.event(chunk(first, result.finishReason));
  if (withUsage) {
    await reply.event({ ...head, object: 'chat.completion.chunk', choices: [], usage: usageOf([result]) });
  }
  reply.endEvents();
}

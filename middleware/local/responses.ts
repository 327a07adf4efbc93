import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { ChatMessage, DecoderInput, GenerationResult } from '../../models/decoder/generation.js';
import type { TextGenerator } from '../lazy-decoder.js';
import { parseFields } from './parse-fields.js';
import type { Reply } from './reply.js';
import { generateOptions, samplingFields } from './sampling-fields.js';
import { supportedField } from './supported-field.js';
import { textContent } from './text-content.js';
import { usageOf } from './usage.js';

const itemSchema = z
  .object({
    type: z
      .literal('message', 'give messages: calls of tools, their results and references are not read')
      .optional(),
    role: z.enum(['system', 'developer', 'user', 'assistant'], 'give system, developer, user or assistant'),
    content: textContent('input_text', 'output_text'),
  })
  .transform(({ role, content }): ChatMessage => ({
    role: role === 'developer' ? 'system' : role,
    content,
  }));

const NOT_KEPT = 'nothing is kept here: give the turns before in input';

const { max_tokens: max_output_tokens, ...sampling } = samplingFields;

const responseSchema = z.object(
  {
    ...sampling,
    max_output_tokens,
    input: z.union(
      [
        z.string().transform((content): ChatMessage[] => [{ role: 'user', content }]),
        z.array(itemSchema).min(1, 'give a message'),
      ],
      'give a text or a list of messages of text: calls of tools, their results and references are not read',
    ),
    instructions: z.string('give a text').nullish(),
    previous_response_id: supportedField(() => false, NOT_KEPT),
    conversation: supportedField(() => false, NOT_KEPT),
    background: supportedField((background) => background === false, 'answers are not kept here: give false'),
    tool_choice: supportedField(
      (choice) => choice === 'none' || choice === 'auto',
      'no tools are called here: give none or auto',
    ),
    text: z
      .object({
        format: supportedField(
          (format) => (format as { readonly type?: unknown }).type === 'text',
          'answers are text: give { type: "text" }',
        ),
      })
      .nullish(),
  },
  'give a JSON object',
);

function inputOf({
  input,
  instructions,
}: Pick<z.output<typeof responseSchema>, 'input' | 'instructions'>): DecoderInput {
  return { messages: instructions ? [{ role: 'system', content: instructions }, ...input] : input };
}

/**
 * Answers `POST /v1/responses/input_tokens`.
 * @throws ApiError; what `decoder.countTokens` throws
 */
export async function countResponseTokens(
  decoder: TextGenerator,
  body: unknown,
  reply: Reply,
): Promise<void> {
  const input_tokens = await decoder.countTokens(inputOf(parseFields(responseSchema, body)));
  reply.json({ object: 'response.input_tokens', input_tokens });
}

/**
 * Answers `POST /v1/responses`, with at most 256 tokens where the request does not say how many.
 * @throws ApiError; what `decoder.generate` and its result throw
 */
export async function respond(
  decoder: TextGenerator,
  body: unknown,
  reply: Reply,
  signal: AbortSignal,
): Promise<void> {
  const { input, instructions, stream, ...fields } = parseFields(responseSchema, body);
  const generation = decoder.generate(inputOf({ input, instructions }), {
    ...generateOptions({ ...fields, max_tokens: fields.max_output_tokens }),
    signal,
  });
  const response = {
    id: `resp_${randomUUID()}`,
    object: 'response',
    created_at: Math.floor(Date.now() / 1000),
    model: decoder.model,
    instructions: instructions ?? null,
    max_output_tokens: fields.max_output_tokens ?? null,
    temperature: fields.temperature ?? null,
    top_p: fields.top_p ?? null,
    previous_response_id: null,
    metadata: {},
    parallel_tool_calls: false,
    tool_choice: 'none',
    tools: [],
    store: false,
    error: null,
  };
  const message = { id: `msg_${randomUUID()}`, type: 'message', role: 'assistant' };
  const said = (text: string) => ({ type: 'output_text', text, annotations: [], logprobs: [] });
  const statusOf = ({ finishReason }: GenerationResult) =>
    finishReason === 'length' ? 'incomplete' : 'completed';
  const ended = (result: GenerationResult) => {
    const { prompt_tokens, completion_tokens, total_tokens, ...more } = usageOf([result]);
    return {
      ...response,
      status: statusOf(result),
      incomplete_details: result.finishReason === 'length' ? { reason: 'max_output_tokens' } : null,
      output: [{ ...message, status: statusOf(result), content: [said(result.text)] }],
      usage: {
        input_tokens: prompt_tokens,
        input_tokens_details: { cached_tokens: 0 },
        output_tokens: completion_tokens,
        output_tokens_details: { reasoning_tokens: 0 },
        total_tokens,
        ...more,
      },
    };
  };
  if (!stream) {
    reply.json(ended(await generation.result));
    return;
  }
  const place = { item_id: message.id, output_index: 0, content_index: 0 };
  const begin = async () => {
    const begun = { ...response, status: 'in_progress', incomplete_details: null, output: [], usage: null };
    await reply.event({ type: 'response.created', response: begun });
    await reply.event({ type: 'response.in_progress', response: begun });
    const item = { ...message, status: 'in_progress', content: [] };
    await reply.event({ type: 'response.output_item.added', output_index: 0, item });
    await reply.event({ type: 'response.content_part.added', ...place, part: said('') });
  };
  let hasBegun = false;
  for await (const delta of generation) {
    if (!hasBegun) await begin();
    hasBegun = true;
    await reply.event({ type: 'response.output_text.delta', ...place, delta, logprobs: [] });
  }
  const result = await generation.result;
  if (!hasBegun) await begin();
  const { text } = result;
  const last = ended(result);
  await reply.event({ type: 'response.output_text.done', ...place, text, logprobs: [] });
  await reply.event({ type: 'response.content_part.done', ...place, part: said(text) });
  await reply.event({ type: 'response.output_item.done', output_index: 0, item: last.output[0] });
  await reply.event({ type: `response.${last.status}`, response: last });
  reply.endEvents();
}

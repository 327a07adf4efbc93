import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { DecoderInput, GenerationResult } from '../../models/decoder/generation.js';
import type { TextGenerator } from '../lazy-decoder.js';
import { parseFields } from './parse-fields.js';
import type { Reply } from './reply.js';
import { generateOptions, samplingFields } from './sampling-fields.js';
import { supportedField } from './supported-field.js';
import { textContent } from './text-content.js';
import { usageOf } from './usage.js';
import { withDocuments, type AskingMessage } from './with-documents.js';

const texts = textContent('text');
const named = {
  title: z.string().nullish(),
  citations: supportedField(
    (citations) => (citations as { readonly enabled?: unknown }).enabled !== true,
    'nothing is cited here: give { enabled: false }',
  ),
};

const blockSchema = z.discriminatedUnion(
  'type',
  [
    z.object({ type: z.literal('text'), text: z.string('give a text') }),
    z.object({
      type: z.literal('document'),
      ...named,
      source: z.discriminatedUnion(
        'type',
        [
          z.object({ type: z.literal('text'), data: z.string('give a text') }),
          z.object({ type: z.literal('content'), content: texts }),
        ],
        'give a source of type text or content: nothing else is read',
      ),
    }),
    z.object({ type: z.literal('search_result'), ...named, content: texts }),
  ],
  'give blocks of type text, document or search_result: nothing else is read',
);

type Block = z.output<typeof blockSchema>;

const messageSchema = z
  .object({
    role: z.enum(['user', 'assistant'], 'give user or assistant'),
    content: z.preprocess(
      (content) => (typeof content === 'string' ? [{ type: 'text', text: content }] : content),
      z.array(blockSchema, 'give a text or a list of blocks'),
    ),
  })
  .transform(({ role, content }): AskingMessage => {
    const said = content.flatMap((block) => (block.type === 'text' ? [block.text] : []));
    return { role, content: said.join('\n'), documents: content.flatMap(documentOf) };
  });

function documentOf(block: Block) {
  if (block.type === 'text') return [];
  const title = block.title ?? undefined;
  if (block.type === 'search_result') return [{ title, text: block.content }];
  const { source } = block;
  return [{ title, text: source.type === 'text' ? source.data : source.content }];
}

const { temperature, top_p, top_k, seed, abstention, stream } = samplingFields;

const messagesSchema = z.object(
  {
    ...{ temperature, top_p, top_k, seed, abstention, stream },
    max_tokens: z.int('give a whole number').min(1, 'give 1 or more'),
    messages: z.array(messageSchema, 'give a list of messages').min(1, 'give a message'),
    system: texts.nullish(),
    stop_sequences: z
      .array(z.string().min(1, 'give texts that are not empty'), 'give a list of texts')
      .max(16, 'give 16 at most')
      .nullish(),
    tool_choice: supportedField(
      (choice) => ['none', 'auto'].includes((choice as { readonly type: string }).type),
      'no tools are called here: give { type: "none" } or { type: "auto" }',
    ),
    thinking: supportedField(
      (thinking) => (thinking as { readonly type?: unknown }).type === 'disabled',
      'there is no thinking here: give { type: "disabled" }',
    ),
  },
  'give a JSON object',
);

function inputOf({
  messages,
  system,
}: Pick<z.output<typeof messagesSchema>, 'messages' | 'system'>): DecoderInput {
  const asked: AskingMessage[] = system ? [{ role: 'system', content: system }, ...messages] : messages;
  return { messages: withDocuments(asked) };
}

const countSchema = messagesSchema.partial({ max_tokens: true });

/**
 * Answers `POST /v1/messages/count_tokens`.
 * @throws ApiError; what `decoder.countTokens` throws
 */
export async function countMessageTokens(decoder: TextGenerator, body: unknown, reply: Reply): Promise<void> {
  reply.json({ input_tokens: await decoder.countTokens(inputOf(parseFields(countSchema, body))) });
}

/**
 * Answers `POST /v1/messages`. Blocks of type document and search_result are put before what their message says, as the
 * reader was trained to have them. An answer that ended at a stop sequence is an ended turn: which of both it was is not
 * told apart.
 * @throws ApiError; what `decoder.generate` and its result throw
 */
export async function completeMessage(
  decoder: TextGenerator,
  body: unknown,
  reply: Reply,
  signal: AbortSignal,
): Promise<void> {
  const { messages, system, stop_sequences, stream, ...fields } = parseFields(messagesSchema, body);
  const generation = decoder.generate(inputOf({ messages, system }), {
    ...generateOptions({ ...fields, stop: stop_sequences }),
    signal,
  });
  const message = { id: `msg_${randomUUID()}`, type: 'message', role: 'assistant', model: decoder.model };
  const endOf = ({ finishReason }: GenerationResult) => ({
    stop_reason: finishReason === 'length' ? 'max_tokens' : 'end_turn',
    stop_sequence: null,
  });
  const used = (result: GenerationResult) => {
    const { prompt_tokens, completion_tokens, ragpress } = usageOf([result]);
    return { input_tokens: prompt_tokens, output_tokens: completion_tokens, ...(ragpress && { ragpress }) };
  };
  if (!stream) {
    const result = await generation.result;
    const content = [{ type: 'text', text: result.text }];
    reply.json({ ...message, content, ...endOf(result), usage: used(result) });
    return;
  }
  const begin = async () => {
    const usage = { input_tokens: await generation.promptTokens, output_tokens: 0 };
    const begun = { ...message, content: [], stop_reason: null, stop_sequence: null, usage };
    await reply.event({ type: 'message_start', message: begun });
    await reply.event({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } });
  };
  let hasBegun = false;
  for await (const text of generation) {
    if (!hasBegun) await begin();
    hasBegun = true;
    await reply.event({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } });
  }
  const result = await generation.result;
  if (!hasBegun) await begin();
  await reply.event({ type: 'content_block_stop', index: 0 });
  await reply.event({ type: 'message_delta', delta: endOf(result), usage: used(result) });
  await reply.event({ type: 'message_stop' });
  reply.endEvents();
}

import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import type { DecoderInput } from '../../models/decoder/generation.js';
import type { TextGenerator } from '../lazy-decoder.js';
import { parseFields } from './parse-fields.js';
import type { Reply } from './reply.js';
import { generateOptions, samplingFields } from './sampling-fields.js';
import { supportedField } from './supported-field.js';
import { usageOf } from './usage.js';

/** OpenAI's default. */
const MAX_TOKENS = 16;

const MOST_PROMPTS = 64;

const text = z.string().min(1, 'give a text that is not empty');
const tokenIds = z.array(z.int().nonnegative()).min(1, 'give a token');

const completionSchema = z.object(
  {
    ...samplingFields,
    prompt: z
      .union(
        [text, tokenIds, z.array(text).min(1), z.array(tokenIds).min(1)],
        'give a text or token ids, or a list of either, and none of them empty',
      )
      .transform((prompt): DecoderInput[] => {
        if (typeof prompt === 'string') return [{ prompt }];
        if (typeof prompt[0] === 'number') return [{ tokens: prompt as number[] }];
        return prompt.map((each) =>
          typeof each === 'string' ? { prompt: each } : { tokens: each as number[] },
        );
      })
      .refine((prompts) => prompts.length <= MOST_PROMPTS, `give ${MOST_PROMPTS} prompts at most`),
    best_of: supportedField((best) => best === 1, 'there is one answer to a prompt: give 1'),
    echo: supportedField((echo) => echo === false, 'the prompt is not given back: give false'),
    logprobs: supportedField(() => false, 'there are no log probabilities here: give null'),
    suffix: supportedField((suffix) => suffix === '', 'what is to come after is not read: give null'),
  },
  'give a JSON object',
);

/**
 * Answers `POST /v1/completions`, with at most 16 tokens, as OpenAI does, where the request does not say how many. Each
 * prompt has a choice of its own; where one fails, so does the request.
 * @throws ApiError; what `decoder.generate` and its result throw
 */
export async function complete(
  decoder: TextGenerator,
  body: unknown,
  reply: Reply,
  signal: AbortSignal,
): Promise<void> {
  const { prompt: prompts, stream, stream_options, ...sampling } = parseFields(completionSchema, body);
  const head = {
    id: `cmpl-${randomUUID()}`,
    object: 'text_completion',
    created: Math.floor(Date.now() / 1000),
    model: decoder.model,
  };
  const withUsage = stream_options?.include_usage ?? false;
  const choice = (index: number, text: string, finish_reason: string | null) => ({
    index,
    text,
    logprobs: null,
    finish_reason,
  });
  const chunk = (index: number, text: string, finish_reason: string | null) => ({
    ...head,
    choices: [choice(index, text, finish_reason)],
    ...(withUsage && { usage: null }),
  });

  const failed = new AbortController();
  const options = {
    maxTokens: MAX_TOKENS,
    ...generateOptions(sampling),
    signal: AbortSignal.any([signal, failed.signal]),
  };
  const answers = await Promise.allSettled(
    prompts.map(async (input, index) => {
      try {
        const generation = decoder.generate(input, options);
        if (!stream) return await generation.result;
        for await (const text of generation) await reply.event(chunk(index, text, null));
        const result = await generation.result;
        await reply.event(chunk(index, '', result.finishReason));
        return result;
      } catch (error) {
        failed.abort(error);
        throw error;
      }
    }),
  );
  failed.signal.throwIfAborted();
  const results = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value] : []));
  if (!stream) {
    const choices = results.map(({ text, finishReason }, index) => choice(index, text, finishReason));
    reply.json({ ...head, choices, usage: usageOf(results) });
    return;
  }
  if (withUsage) await reply.event({ ...head, choices: [], usage: usageOf(results) });
  reply.endEvents();
}

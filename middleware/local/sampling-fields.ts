import { z } from 'zod';
import { generateSettingsSchema } from '../../models/decoder/generate-settings.js';
import type { GenerateOptions } from '../../models/decoder/generation.js';
import { NO_ANSWER } from '../../models/decoder/reader-prompt.js';
import { supportedField } from './supported-field.js';

const tokens = z.int('give a whole number').min(1, 'give 1 or more').nullish();
const penalty = z.number('give a number').min(-2, 'give -2 or more').max(2, 'give 2 at most').nullish();
const { probability, text } = generateSettingsSchema.shape.abstention.unwrap().shape;
const stopText = z.string('give a text or a list of texts').min(1, 'give texts that are not empty');

/** The fields that requests of all kinds share. */
export const samplingFields = {
  max_tokens: tokens,
  temperature: z.number('give a number').min(0, 'give 0 or more').max(2, 'give 2 at most').nullish(),
  top_p: z.number('give a number').min(0, 'give 0 or more').max(1, 'give 1 at most').nullish(),
  /** As vLLM and llama.cpp have it: 0 or -1 is all of them. */
  top_k: z.int('give a whole number').min(-1, 'give -1 or more').nullish(),
  seed: z.int('give a whole number').nullish(),
  stop: z
    .union([stopText, z.array(stopText).max(16, 'give 16 at most')], 'give a text or a list of texts')
    .nullish(),
  frequency_penalty: penalty,
  presence_penalty: penalty,
  /** Our own: how likely it must be that the documents do not say for that to be said, whatever is likelier. */
  abstention: z.object({ probability, text: text.default(NO_ANSWER) }, 'give { probability }').nullish(),
  n: supportedField((n) => n === 1, 'there is one answer to a request: give 1'),
  stream: z.boolean('give true or false').nullish(),
  stream_options: z
    .object({ include_usage: z.boolean('give true or false').nullish() }, 'give { include_usage }')
    .nullish(),
};

type SamplingFields = z.output<z.ZodObject<typeof samplingFields>>;

/**
 * What a request asks of the decoder. Without a `temperature` the likeliest token is taken each time, where OpenAI
 * samples at 1: a reader this small, sampled so, says what the documents do not. Without a `seed` it is 0, so the same
 * request has the same answer.
 */
export function generateOptions(fields: SamplingFields): GenerateOptions {
  const {
    max_tokens,
    temperature,
    top_p,
    top_k,
    seed,
    stop,
    frequency_penalty,
    presence_penalty,
    abstention,
  } = fields;
  return {
    ...(max_tokens != null && { maxTokens: max_tokens }),
    ...(temperature != null && { temperature }),
    // The likeliest token is always among them, so the least share there is means it alone.
    ...(top_p != null && { topP: Math.max(top_p, Number.MIN_VALUE) }),
    ...(top_k != null && top_k > 0 && { topK: top_k }),
    ...(seed != null && { seed }),
    ...(stop != null && { stop: typeof stop === 'string' ? [stop] : stop }),
    ...(frequency_penalty != null && { frequencyPenalty: frequency_penalty }),
    ...(presence_penalty != null && { presencePenalty: presence_penalty }),
    ...(abstention != null && { abstention }),
  };
}

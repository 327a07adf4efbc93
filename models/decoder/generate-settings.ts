import { z } from 'zod';

/** GenerateOptions but for the signal, checked and filled in. */
export const generateSettingsSchema = z.strictObject({
  maxTokens: z.int('give a whole number').min(1, 'give 1 or more').optional(),
  temperature: z.number().min(0, 'give 0 or more').max(10, 'give 10 at most').default(0),
  topK: z.int('give a whole number').min(1, 'give 1 or more').optional(),
  topP: z.number().gt(0, 'give more than 0').max(1, 'give 1 at most').default(1),
  seed: z.int('give a whole number').default(0),
  stop: z.array(z.string().min(1, 'give a text that is not empty')).max(16, 'give 16 at most').default([]),
  frequencyPenalty: z.number().min(-2, 'give -2 or more').max(2, 'give 2 at most').default(0),
  presencePenalty: z.number().min(-2, 'give -2 or more').max(2, 'give 2 at most').default(0),
  abstention: z
    .strictObject({
      text: z.string('give a text').min(1, 'give a text that is not empty'),
      probability: z.number('give a number').gt(0, 'give more than 0').max(1, 'give 1 at most'),
    })
    .optional(),
});

export type GenerateSettings = z.output<typeof generateSettingsSchema>;

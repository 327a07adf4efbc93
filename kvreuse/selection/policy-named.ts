import { z } from 'zod';
import { cacheBlend } from './cache-blend.js';
import { cacheCraft } from './cache-craft.js';
import { full } from './full.js';
import { legoLink } from './lego-link.js';
import { none } from './none.js';
import type { SelectionPolicy } from './selection-policy.js';

const share = z.number().gt(0, 'give a number above 0').max(1, 'give 1 at most').optional();

/** A selection policy in words that go to another thread. */
export const policySchema = z.discriminatedUnion(
  'name',
  [
    z.strictObject({ name: z.literal('full') }),
    z.strictObject({ name: z.literal('none') }),
    z.strictObject({ name: z.literal('legolink'), tokens: z.int().min(1, 'give 1 or more').optional() }),
    z.strictObject({ name: z.literal('cacheblend'), share }),
    z.strictObject({
      name: z.literal('cachecraft'),
      alpha: z.number().gt(0, 'give a number above 0').optional(),
      floor: share,
      whole: share,
      carry: z.number().min(0, 'give 0 or more').max(1, 'give 1 at most').optional(),
      focus: z.boolean().optional(),
    }),
  ],
  'give { name } of full, none, legolink, cacheblend or cachecraft',
);

export type PolicySettings = z.input<typeof policySchema>;

export function policyNamed(settings: PolicySettings): SelectionPolicy {
  switch (settings.name) {
    case 'full':
      return full();
    case 'none':
      return none();
    case 'legolink':
      return legoLink(settings.tokens);
    case 'cacheblend':
      return cacheBlend(settings.share);
    case 'cachecraft':
      return cacheCraft(settings);
  }
}

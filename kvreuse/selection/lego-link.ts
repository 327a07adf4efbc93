import { positive } from './positive.js';
import type { SelectionPolicy } from './selection-policy.js';

/**
 * The first `tokens` of every chunk: computed by themselves they draw attention to themselves, as a sequence's first
 * tokens do, and must learn that they are not (Hu et al. 2024, EPIC, LegoLink). Default 16.
 */
export function legoLink(tokens = 16): SelectionPolicy {
  positive('legoLink.tokens', tokens);
  return {
    name: `legolink-${tokens}`,
    select: (chunks) =>
      chunks.map(({ piece, before, madeBehind }) =>
        // The first chunk stands where it was computed.
        before.length === 0 && madeBehind.length === 0
          ? []
          : Array.from({ length: Math.min(tokens, piece.tokens.length) }, (_, i) => piece.start + i),
      ),
  };
}

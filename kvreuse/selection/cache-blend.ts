import { positive } from './positive.js';
import type { SelectionPolicy } from './selection-policy.js';

/**
 * The rows whose keys and values after the first layers are furthest from those that they have in this prompt, `share`
 * of all cached rows (Yao et al. 2024, CacheBlend: deviations of neighbouring layers go together). Default 0.15.
 */
export function cacheBlend(share = 0.15): SelectionPolicy {
  positive('cacheBlend.share', share, 1);
  return {
    name: `cacheblend-${share}`,
    select: (chunks) => chunks.map(() => []),
    selectByDeviation(chunks, { rows }) {
      const positions = chunks.flatMap(({ piece: { start, tokens } }) => tokens.map((_, i) => start + i));
      const count = Math.floor(positions.length * share);
      // Of equals the first.
      const chosen = new Set(positions.sort((a, b) => rows[b]! - rows[a]! || a - b).slice(0, count));
      return chunks.map(({ piece: { start, tokens } }) =>
        tokens.map((_, i) => start + i).filter((position) => chosen.has(position)),
      );
    },
  };
}

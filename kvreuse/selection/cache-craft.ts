import { positive } from './positive.js';
import type { CachedChunk, SelectionPolicy } from './selection-policy.js';

export interface CacheCraftOptions {
  /** How much is computed anew for a given impact of what stood before. Default 0.27. */
  readonly alpha?: number;
  /** Share of a version made behind no other chunk that is computed anew: nothing is known of it. Default 0.15. */
  readonly floor?: number;
  /** From this share on a chunk is computed whole. Default 0.6. */
  readonly whole?: number;
  /** The share of `SelectionPolicy.carry`, of keys; 0 is the paper's. Default 0.5. */
  readonly carry?: number;
  /**
   * Whether chunks that the question does not look at in the lower layers are repaired in those alone (section 2.4).
   * Default no.
   */
  readonly focus?: boolean;
}

/** The share of values beside that of keys: their rows differ more in what they change by. */
const VALUES = 0.6;

/** Layers in which the chunks that the question looks at must have been the same. */
const SETTLED = 3;

/**
 * As many rows of a chunk as what stood before it mattered and is gone, those first that looked there most (Agarwal et
 * al. 2025, Cache-Craft, equations 3 to 14). A version that was made behind no chunk is judged perfect by the paper's
 * equations: its denominator is 0. Here its first rows are repaired, by `floor`. What its repair changes is
 * carried over to a chunk's other rows, which the paper does not do: it takes more than half of the divergence away.
 */
export function cacheCraft({
  alpha = 0.27,
  floor = 0.15,
  whole = 0.6,
  carry = 0.5,
  focus = false,
}: CacheCraftOptions = {}): SelectionPolicy {
  positive('cacheCraft.alpha', alpha);
  positive('cacheCraft.floor', floor, 1);
  positive('cacheCraft.whole', whole, 1);
  if (carry !== 0) positive('cacheCraft.carry', carry, 1);
  return {
    name: ['cachecraft', ...(carry === 0 ? [] : ['carry', carry]), ...(focus ? ['focus'] : []), alpha].join(
      '-',
    ),
    versions: 'in-context',
    ...(carry > 0 && { carry: { keys: carry, values: VALUES * carry } }),
    ...(focus && { focus: focusedChunks }),
    select: (chunks) =>
      chunks.map((chunk) => {
        const { piece, statistics } = chunk;
        const overhead = cfo(chunk, alpha, floor);
        if (overhead >= whole) return 'whole';
        const count = Math.ceil(overhead * piece.tokens.length);
        const rows = piece.tokens.map((_, i) => i);
        const by = statistics?.tokenInter;
        if (by) rows.sort((a, b) => by[b]! - by[a]! || a - b);
        return rows
          .slice(0, count)
          .sort((a, b) => a - b)
          .map((row) => piece.start + row);
      }),
  };
}

/**
 * The chunks above the widest gap of the attention summed over layers, where the last layers agree on them; all where they
 * do not.
 */
function focusedChunks(masses: readonly (readonly number[])[]): readonly number[] {
  const chunks = [...(masses[0] ?? []).keys()];
  const sums = chunks.map(() => 0);
  const sets = masses.map((layer) => {
    layer.forEach((mass, chunk) => (sums[chunk]! += mass));
    const order = [...chunks].sort((a, b) => sums[b]! - sums[a]! || a - b);
    const gaps = order.slice(1).map((chunk, i) => sums[order[i]!]! - sums[chunk]!);
    return order.slice(0, gaps.indexOf(Math.max(...gaps)) + 1).sort((a, b) => a - b);
  });
  const last = sets.slice(-SETTLED);
  const isSettled = last.length === SETTLED && new Set(last.map(String)).size === 1;
  return isSettled && chunks.length > 1 ? last[0]! : chunks;
}

/** Cache fix overhead (equation 12): the share of a chunk that is to be computed anew. */
function cfo({ before, madeBehind, statistics }: CachedChunk, alpha: number, floor: number): number {
  if (!statistics || madeBehind.length === 0) return before.length === 0 ? 0 : floor;
  return Math.min(
    1,
    alpha * impact(statistics, madeBehind.length) * (1 - overlap(statistics, madeBehind, before)),
  );
}

/** Equations 9 to 11: how much of a chunk's attention went to other chunks, between 0.5 and 1. */
function impact(
  { inter, lengths, intra, tokenInter }: NonNullable<CachedChunk['statistics']>,
  count: number,
): number {
  const own = tokenInter.length;
  let outside = 0;
  for (let i = 0; i < count; i++) outside += inter[i]! / (own * lengths[i]!);
  const inside = intra / own ** 2;
  if (inside === 0) return outside > 0 ? 1 : 0.5;
  return 1 / (1 + Math.exp(-outside / inside));
}

/** Equations 6 to 8: the attention to chunks that stand before again, less for those in another order. */
function overlap(
  { inter }: NonNullable<CachedChunk['statistics']>,
  madeBehind: readonly string[],
  before: readonly string[],
): number {
  const all = inter.reduce((sum, value) => sum + value, 0);
  if (all === 0) return 1;
  const common = madeBehind.filter((id) => before.includes(id));
  const kept = madeBehind.reduce((sum, id, i) => sum + (before.includes(id) ? inter[i]! : 0), 0);
  return (kept / all) * (1 - disorder(common.map((id) => before.indexOf(id))));
}

/** Kendall's distance: the share of pairs that stand the other way round. */
function disorder(places: readonly number[]): number {
  const pairs = (places.length * (places.length - 1)) / 2;
  if (pairs === 0) return 0;
  let discordant = 0;
  for (let i = 0; i < places.length; i++)
    for (let j = i + 1; j < places.length; j++) if (places[i]! > places[j]!) discordant++;
  return discordant / pairs;
}

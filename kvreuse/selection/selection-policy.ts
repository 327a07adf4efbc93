import type { CarryShares } from '../../models/decoder/kv-slots.js';
import type { PlacedPiece } from '../prompt-layout.js';

/** A chunk of a prompt whose keys and values come from a cache. */
export interface CachedChunk {
  readonly piece: PlacedPiece;
  /** Ids of the chunks before it in this prompt, in order. */
  readonly before: readonly string[];
  /** Ids of the chunks that it was computed behind, in order; none where it was computed behind the prefix alone. */
  readonly madeBehind: readonly string[];
  /** What attention told when it was computed behind others. */
  readonly statistics: ChunkStatistics | undefined;
}

/** Attention inside a chunk and to the chunks before it, means over heads and layers (Cache-Craft, section 2.3). */
export interface ChunkStatistics {
  /** Of the chunk's tokens to each chunk of `madeBehind`, sums over both; sinks and the prefix left out. */
  readonly inter: readonly number[];
  /** Tokens of each of those. */
  readonly lengths: readonly number[];
  /** Of the chunk's tokens to each other, a sum. */
  readonly intra: number;
  /** A token's to all chunks before. */
  readonly tokenInter: readonly number[];
}

/** How far the keys and values that a prompt's rows have after the first layers are from those that caches hold. */
export interface Deviations {
  /** A number a position of the prompt; 0 where nothing is cached. */
  readonly rows: Float32Array;
}

/** Which rows of cached chunks are computed anew. */
export interface SelectionPolicy {
  /** Stands in reports and in what the correctness gate remembers. */
  readonly name: string;
  /**
   * What versions of a chunk it chooses among: `alone`, the default, the one that was computed behind the prefix and
   * blind to other chunks; `in-context`, those that whole prompts left, with their statistics.
   */
  readonly versions?: 'alone' | 'in-context';
  /**
   * What a chunk's other rows learn of those that are computed anew, where a policy does not select by deviation. Default
   * nothing.
   */
  readonly carry?: CarryShares;
  /**
   * Where a policy repairs what the question does not look at in the lower layers alone: of the cached chunks, in order, those
   * that are repaired in all. Layers below the engine's last cut are asked; where a chunk is computed whole, all are repaired.
   * @param masses [layers][chunks], the attention that what stands behind the last chunk pays to each
   */
  readonly focus?: (masses: readonly (readonly number[])[]) => readonly number[];
  /** Positions to compute, of each chunk; `whole`: all of them, the chunk's cache is of no use here. */
  readonly select: (chunks: readonly CachedChunk[]) => readonly (readonly number[] | 'whole')[];
  /**
   * Where a policy looks at the prompt's own first layers: chooses among all positions of cached chunks.
   * Rows are computed up to the engine's first cut for all tokens.
   */
  readonly selectByDeviation?: (
    chunks: readonly CachedChunk[],
    deviations: Deviations,
  ) => readonly (readonly number[])[];
}

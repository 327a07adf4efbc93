import type { ChunkEngine, MadePiece, Narrow, PlacedKv, Prefilled } from './chunk-engine.js';
import type { PlacedPiece, PromptLayout } from './prompt-layout.js';
import type { CachedChunk, SelectionPolicy } from './selection/selection-policy.js';
import type { Steps } from './steps.js';

/** A chunk with what a cache has of it. */
export type KnownChunk = CachedChunk & PlacedKv;

/**
 * The prompt from its chunks, repaired by a policy. `anew`: positions of known chunks that were computed again. `made`:
 * what a policy that goes by context had to compute whole, prefix and chunks, to be kept.
 */
export async function* prefillBy(
  engine: ChunkEngine,
  { select, selectByDeviation, versions, carry, focus }: SelectionPolicy,
  layout: PromptLayout,
  prefix: PlacedKv | undefined,
  chunks: readonly KnownChunk[],
): Steps<Prefilled & { readonly anew: ReadonlySet<number>; readonly made: readonly MadePiece[] }> {
  const anew = new Set<number>();
  const usable = new Set<PlacedPiece>(prefix && [prefix.piece]);
  select(chunks).forEach((rows, i) => {
    const { piece } = chunks[i]!;
    if (rows !== 'whole') usable.add(piece);
    for (const position of rows === 'whole' ? piece.tokens.map((_, at) => piece.start + at) : rows)
      anew.add(position);
  });
  const caches = prefix ? [prefix, ...chunks] : chunks;
  const unknown = layout.pieces.filter((piece) => piece.kind !== 'link' && !usable.has(piece));
  if (versions === 'in-context' && unknown.length > 0)
    return { ...(yield* engine.prefillWithStatistics(layout, caches, anew, unknown, carry)), anew };
  const narrow: Narrow | undefined =
    selectByDeviation &&
    ((deviations) => {
      for (const position of selectByDeviation(chunks, deviations).flat()) anew.add(position);
      return anew;
    });
  const prompt = yield* engine.prefill(layout, caches, anew, { carry, narrow, focus });
  return { ...prompt, anew, made: [] };
}

/** Every chunk of a prompt behind its prefix and by itself, computed here and now. */
export async function* computeAlone(
  engine: ChunkEngine,
  layout: PromptLayout,
): Steps<{ readonly prefix: PlacedKv | undefined; readonly chunks: readonly KnownChunk[] }> {
  const { pieces, chunks } = layout;
  const first = pieces[0]?.kind === 'prefix' ? pieces[0] : undefined;
  const prefix = first && (yield* engine.computeChunks(undefined, [first.tokens]))[0]!;
  const kvs = yield* engine.computeChunks(
    prefix,
    chunks.map(({ tokens }) => tokens),
  );
  const ids = chunks.map(({ tokens }) => tokens.join());
  return {
    prefix: first && prefix && { piece: first, kv: prefix },
    chunks: chunks.map((piece, i) => ({
      piece,
      kv: kvs[i]!,
      before: ids.slice(0, i),
      madeBehind: [],
      statistics: undefined,
    })),
  };
}

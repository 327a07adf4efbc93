import type { ChunkEngine, PlacedKv, Prefilled } from './chunk-engine.js';
import type { PromptLayout } from './prompt-layout.js';
import type { CachedChunk, SelectionPolicy } from './selection/selection-policy.js';
import type { Steps } from './steps.js';

/** A chunk with what a cache has of it. */
export type KnownChunk = CachedChunk & PlacedKv;

/** The prompt from its chunks, repaired by a policy. `anew`: positions of chunks that were computed again. */
export async function* prefillBy(
  engine: ChunkEngine,
  { select, selectByDeviation }: SelectionPolicy,
  layout: PromptLayout,
  prefix: PlacedKv | undefined,
  chunks: readonly KnownChunk[],
): Steps<Prefilled & { readonly anew: ReadonlySet<number> }> {
  const anew = new Set<number>();
  select(chunks).forEach((rows, i) => {
    const { start, tokens } = chunks[i]!.piece;
    for (const position of rows === 'whole' ? tokens.map((_, at) => start + at) : rows) anew.add(position);
  });
  const prompt = yield* engine.prefill(
    layout,
    prefix ? [prefix, ...chunks] : chunks,
    anew,
    selectByDeviation &&
      ((deviations) => {
        for (const position of selectByDeviation(chunks, deviations).flat()) anew.add(position);
        return anew;
      }),
  );
  return { ...prompt, anew };
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

import { type ChunkEngine, type Prefilled } from '../../../kvreuse/chunk-engine.js';
import type { ChunkKv } from '../../../kvreuse/chunk-kv.js';
import { occurrences } from '../../../kvreuse/occurrences.js';
import { prefillBy, type KnownChunk } from '../../../kvreuse/prefill-by.js';
import type { PlacedPiece, PromptLayout } from '../../../kvreuse/prompt-layout.js';
import { cacheCraft } from '../../../kvreuse/selection/cache-craft.js';
import type { Steps } from '../../../kvreuse/steps.js';

/** What became of a stretch of a prompt, in tokens. */
export interface PieceReuse {
  readonly kind: PlacedPiece['kind'];
  readonly tokens: number;
  /** Their keys and values were known, and are as they were. */
  readonly reused: number;
  /** They were known, and were computed anew. */
  readonly repaired: number;
}

/** A prompt, ready to be gone on from, and what it was read from, in order. */
export type ReadPrompt = Prefilled & { readonly pieces: readonly PieceReuse[] };

type Kept = Pick<KnownChunk, 'kv' | 'madeBehind' | 'statistics'>;

/** Keys and values of chunks as the first prompt left them that held them (Cache-Craft), as long as the page is open. */
export class KeptChunks {
  readonly #engine: ChunkEngine;
  readonly #policy = cacheCraft();
  readonly #most: number;
  /** Those that were longest not asked for come first. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;

  /** @param most bytes that they may take. Default 512 MiB */
  constructor(engine: ChunkEngine, most = 2 ** 29) {
    this.#engine = engine;
    this.#most = most;
  }

  /** The prompt, from what is kept of it; what is not kept is computed where it stands, and kept. */
  async *read(layout: PromptLayout): Steps<ReadPrompt> {
    const { pieces, chunks } = layout;
    const [first] = pieces;
    const prefixKv = first?.kind === 'prefix' ? this.#take(`prefix ${idOf(first)}`)?.kv : undefined;
    const prefix = first && prefixKv && { piece: first, kv: prefixKv };
    const ids = idsOf(chunks);
    const known: KnownChunk[] = [];
    chunks.forEach((piece, i) => {
      const kept = this.#take(ids[i]!);
      if (kept) known.push({ ...kept, piece, before: ids.slice(0, i) });
    });
    const { anew, made, ...prompt } = yield* prefillBy(this.#engine, this.#policy, layout, prefix, known);
    for (const { piece, kv, statistics } of made) {
      const at = chunks.indexOf(piece);
      this.#keep(at < 0 ? `prefix ${idOf(piece)}` : ids[at]!, {
        kv,
        madeBehind: ids.slice(0, Math.max(0, at)),
        statistics,
      });
    }
    const cached = new Set([prefix, ...known].map((each) => each?.piece));
    return {
      ...prompt,
      pieces: pieces.map((piece) => {
        const { kind, tokens, start } = piece;
        const repaired = cached.has(piece) ? tokens.filter((_, i) => anew.has(start + i)).length : 0;
        const reused = cached.has(piece) ? tokens.length - repaired : 0;
        return { kind, tokens: tokens.length, reused, repaired };
      }),
    };
  }

  /** The prompt from its first token to its last; nothing of it is kept. */
  async *readWhole(layout: PromptLayout): Steps<ReadPrompt> {
    const prompt = yield* this.#engine.prefill(layout, [], new Set());
    const pieces = layout.pieces.map(({ kind, tokens }) => ({
      kind,
      tokens: tokens.length,
      reused: 0,
      repaired: 0,
    }));
    return { ...prompt, pieces };
  }

  clear(): void {
    this.#kept.clear();
    this.#bytes = 0;
  }

  #take(key: string): Kept | undefined {
    const kept = this.#kept.get(key);
    if (!kept) return undefined;
    this.#kept.delete(key);
    this.#kept.set(key, kept);
    return kept;
  }

  /** The first version stays: it was made by a prompt of its own, with what attention told there. */
  #keep(key: string, chunk: Kept): void {
    if (this.#kept.has(key)) return;
    this.#kept.set(key, chunk);
    this.#bytes += bytesOf(chunk.kv);
    for (const [oldest, { kv }] of this.#kept) {
      if (this.#bytes <= this.#most) return;
      this.#kept.delete(oldest);
      this.#bytes -= bytesOf(kv);
    }
  }
}

/** A chunk that stands more than once is another each time. */
function idsOf(chunks: readonly PlacedPiece[]): string[] {
  const ids = chunks.map(idOf);
  return occurrences(ids).map((nth, i) => `${nth} ${ids[i]!}`);
}

function idOf({ tokens }: PlacedPiece): string {
  return tokens.join();
}

function bytesOf({ keys, values }: ChunkKv): number {
  return keys.byteLength + values.byteLength;
}

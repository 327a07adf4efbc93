/** A stretch of a prompt. */
export interface PromptPiece {
  readonly tokens: readonly number[];
  /**
   * `prefix`: what all chunks stand behind, the first piece; `chunk`: may come from a cache; `link`: between chunks, and
   * after the last, computed each time.
   */
  readonly kind: 'prefix' | 'chunk' | 'link';
}

/** A piece at its place. */
export interface PlacedPiece extends PromptPiece {
  /** Position of its first token. */
  readonly start: number;
}

/** A prompt's pieces, one after the other; none is empty. */
export class PromptLayout {
  readonly pieces: readonly PlacedPiece[];
  readonly chunks: readonly PlacedPiece[];
  /** Of all pieces. */
  readonly ids: readonly number[];
  /** In all. */
  readonly tokens: number;

  constructor(pieces: readonly PromptPiece[]) {
    let start = 0;
    this.pieces = pieces
      .filter(({ tokens }) => tokens.length > 0)
      .map((piece) => {
        const placed = { ...piece, start };
        start += piece.tokens.length;
        return placed;
      });
    this.chunks = this.pieces.filter(({ kind }) => kind === 'chunk');
    this.ids = this.pieces.flatMap(({ tokens }) => [...tokens]);
    this.tokens = start;
  }
}

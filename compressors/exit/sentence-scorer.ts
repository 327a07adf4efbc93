import type { StageContext, State, Unit } from '../contract.js';

/** How sentences are judged: the seam that a model fills. */
export interface SentenceScorer {
  readonly name: string;
  /** @param units sentences, and blocks that stay whole, of all documents in order */
  score(query: string, units: readonly Unit[], state: State, context: StageContext): Promise<Judgement>;
}

export interface Judgement {
  /** One a unit, comparable over documents, higher is better, 0 for one that says nothing of the query. */
  readonly scores: ArrayLike<number>;
  /** The score from which a unit is kept where there is no budget. */
  readonly floor: number;
  /** One a unit: what is held against the floor where that is another number than the score. */
  readonly probabilities?: ArrayLike<number>;
  /** Why no unit is to be kept where there is no budget, whatever its score. */
  readonly nothing?: string;
  /** What a score of 0 means. Default that nothing of the query is in it. */
  readonly zero?: string;
  /** Who judged, where it was another than the scorer, or only in part. */
  readonly by?: string;
  /** Whether it would have judged otherwise with more time. */
  readonly isHurried?: boolean;
}

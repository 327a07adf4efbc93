/** How well candidates align with a target. Candidates are added one by one and judged together. */
export interface Alignment {
  add(candidate: string): void;
  /** A score for each candidate so far, in order, higher is better. */
  scores(): Float64Array;
}

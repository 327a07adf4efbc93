import { bm25 } from '../bm25.js';
import type { State, StageContext, Unit } from '../contract.js';
import { blockKey, blockTerms, placeWeight } from '../unit.js';
import { indexTerms, joinTerms, queryTerms } from '../words.js';
import type { SentenceScorer } from './sentence-scorer.js';

/**
 * A word of the query above more than this share of the sentences, as that of a page's title is where there is one
 * page, tells few of them apart: it counts where a sentence says it itself, and half (of selqa's dev rows at 30% of
 * words 0.885 of the evidence is kept; 0.868 were it to count in full, 0.882 were it counted for all).
 */
const COMMON = 0.8;
const COMMON_WEIGHT = 0.5;

/**
 * BM25 of each sentence together with the title and headings above it, the request's sentences as the collection. What
 * stands in a menu, a footer or a link counts for less.
 * @param threshold share of the best score from which a sentence is kept where there is no budget
 */
export function lexicalScorer(threshold = 0.25): SentenceScorer {
  return {
    name: 'BM25',
    async score(query: string, units: readonly Unit[], state: State, context: StageContext) {
      const asked = queryTerms(query);
      const contexts = new Contexts(state);
      const wanted = new Set(asked);
      const said = new Set<number>();
      for (const [index, unit] of units.entries()) {
        if (index % 32 === 0) await context.breathe();
        contexts.of(unit).units++;
        for (const term of unit.terms) if (wanted.has(term)) said.add(term);
      }
      const isCommon = (term: number) => said.has(term) && contexts.unitsUnder(term) > COMMON * units.length;
      const common = new Set(asked.filter(isCommon));
      contexts.leaveOut(common);
      const bags: { terms: Uint32Array }[] = [];
      for (const [index, unit] of units.entries()) {
        if (index % 32 === 0) await context.breathe();
        bags.push({ terms: joinTerms([contexts.of(unit).terms, unit.terms]) });
      }
      const importance = Array.from(asked, (term) => (common.has(term) ? COMMON_WEIGHT : 1));
      const matches = await bm25(asked, bags, () => context.breathe(), importance);
      const scores = matches.map((score, index) => {
        const { document, block } = units[index]!;
        const page = state.pages[document];
        return page ? score * placeWeight(page, block) : score;
      });
      const best = scores.reduce((highest, score) => Math.max(highest, score), 0);
      return { scores, floor: threshold * best };
    },
  };
}

/** The title and headings above sentences, as index terms. */
interface Context {
  terms: Uint32Array;
  /** How many sentences stand under it. */
  units: number;
}

class Contexts {
  readonly #state: State;
  readonly #known = new Map<number, Context>();

  constructor(state: State) {
    this.#state = state;
  }

  of({ document, needs }: Unit): Context {
    // The nearest governor tells the others.
    const key = blockKey(document, (needs[0] ?? -1) + 1);
    let context = this.#known.get(key);
    if (!context) {
      const page = this.#state.pages[document];
      const { title = page?.title ?? '' } = this.#state.documents[document]!;
      const above = page ? needs.map((block) => blockTerms(page, block)) : [];
      context = { terms: joinTerms([indexTerms(title).terms, ...above]), units: 0 };
      this.#known.set(key, context);
    }
    return context;
  }

  unitsUnder(term: number): number {
    let count = 0;
    for (const { terms, units } of this.#known.values()) if (terms.includes(term)) count += units;
    return count;
  }

  leaveOut(words: ReadonlySet<number>): void {
    if (words.size === 0) return;
    for (const context of this.#known.values())
      context.terms = context.terms.filter((term) => !words.has(term));
  }
}

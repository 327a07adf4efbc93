import { bm25 } from '../bm25.js';
import type { State, StageContext, Unit } from '../contract.js';
import { REGION_WEIGHTS } from '../htmlrag/htmlrag.js';
import { REGIONS } from '../page.js';
import { blockField, blockTerms } from '../unit.js';
import { indexTerms, joinTerms, queryTerms } from '../words.js';
import type { SentenceScorer } from './sentence-scorer.js';

/**
 * BM25 of each sentence together with the title and headings above it, the request's sentences as the collection. What
 * stands in a menu or footer counts for less.
 * @param threshold share of the best score from which a sentence is kept where there is no budget
 */
export function lexicalScorer(threshold = 0.35): SentenceScorer {
  return {
    name: 'BM25',
    async score(query: string, units: readonly Unit[], state: State, context: StageContext) {
      const titles = state.documents.map(
        (document, index) => indexTerms(document.title ?? state.pages[index]?.title ?? '').terms,
      );
      const headings = new Map<string, Uint32Array>();
      const bags: { terms: Uint32Array }[] = [];
      for (const [index, unit] of units.entries()) {
        if (index % 32 === 0) await context.breathe();
        const parts = [titles[unit.document]!, unit.terms];
        const page = state.pages[unit.document];
        for (const block of page ? unit.needs : []) {
          const key = `${unit.document}:${block}`;
          const terms = headings.get(key) ?? blockTerms(page!, block);
          headings.set(key, terms);
          parts.push(terms);
        }
        bags.push({ terms: joinTerms(parts) });
      }
      const matches = await bm25(queryTerms(query), bags, () => context.breathe());
      const scores = matches.map((score, index) => {
        const { document, block } = units[index]!;
        const page = state.pages[document];
        return page ? score * REGION_WEIGHTS[REGIONS[blockField(page, block, 'region')]!] : score;
      });
      const best = scores.reduce((highest, score) => Math.max(highest, score), 0);
      return { scores, floor: threshold * best };
    },
  };
}

import { bm25 } from '../bm25.js';
import type { State, StageContext, Unit } from '../contract.js';
import { indexTerms, joinTerms, queryTerms } from '../words.js';
import { blockTerms } from '../unit.js';
import type { SentenceScorer } from './sentences.js';

/** BM25 of each sentence together with the title and headings above it, the request's sentences as the collection. */
export function lexicalScorer(): SentenceScorer {
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
      return bm25(queryTerms(query), bags, context.breathe);
    },
  };
}

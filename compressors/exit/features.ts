import { indexTerms, withoutStopTerms } from '../words.js';

/** A sentence as the features see it. */
export interface ReadSentence {
  /** Index of its section. */
  readonly section: number;
  /** Index terms, its title's excluded. */
  readonly terms: Uint32Array;
  readonly words: number;
  readonly bm25: number;
  /** The encoder's; the floor where it was not read. */
  readonly logit: number;
  /** How well the query's tokens are matched in it (readings.ts). */
  readonly match: number;
  /** The logit of the second pass; that of the first where there was none. */
  readonly second: number;
}

export interface ReadSection {
  readonly title: string;
  /** The encoder's; 0 where it was not read. */
  readonly relevance: number;
}

export const FEATURES = [
  'logit',
  'match',
  'matchBelowBest',
  'belowBest',
  'logShare',
  'previous',
  'next',
  'documentBest',
  'documentRelevance',
  'bestRelevance',
  'windowRelevance',
  'bm25Deviation',
  'bm25Share',
  'coverage',
  'first',
  'linkedFrom',
  'linksTo',
  'logWords',
  'logSentences',
  'second',
] as const;

export type Feature = (typeof FEATURES)[number];

/**
 * What is known of each sentence beside the encoder's logit: how it stands to the others, to its neighbours and its
 * section, what BM25 says, and whether sections mention each other (for questions whose answer is two steps away). As
 * `features` in training/combine.py has it, for sections in place of documents.
 * @param sentences by section, then in order
 * @param query its distinct telling terms (words.ts, `queryTerms`)
 * @param windowRelevance the highest of the encoder's windows
 * @param floor the logit of what was not read
 * @returns by feature, one number a sentence
 */
export function sentenceFeatures(
  sentences: readonly ReadSentence[],
  sections: readonly ReadSection[],
  query: Uint32Array,
  windowRelevance: number,
  floor: number,
): Record<Feature, Float64Array> {
  const count = sentences.length;
  const column = (value: (sentence: ReadSentence, index: number) => number) =>
    Float64Array.from(sentences, value);
  const follows = (index: number) =>
    index > 0 && index < count && sentences[index]!.section === sentences[index - 1]!.section;
  const logits = column(({ logit }) => logit);
  const peak = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const bestMatch = sentences.reduce((most, { match }) => Math.max(most, match), -Infinity);
  const total = peak + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - peak), 0));
  const best = new Float64Array(sections.length).fill(floor);
  for (const { section, logit } of sentences) best[section] = Math.max(best[section]!, logit);

  const bm25 = column((sentence) => sentence.bm25);
  const mean = bm25.reduce((sum, score) => sum + score, 0) / (count || 1);
  const deviation = Math.sqrt(bm25.reduce((sum, score) => sum + (score - mean) ** 2, 0) / (count || 1));
  const highest = bm25.reduce((most, score) => Math.max(most, score), 0);

  const titles = sections.map(({ title }) => indexTerms(title).terms);
  const { linkedFrom, linksTo } = linkFeatures(sentences, sections, logits, best, floor);
  const bestRelevance = sections.reduce((most, { relevance }) => Math.max(most, relevance), -Infinity);
  return {
    logit: logits,
    match: column(({ match }) => match),
    matchBelowBest: column(({ match }) => match - bestMatch),
    belowBest: column(({ logit }) => logit - peak),
    logShare: column(({ logit }) => logit - total),
    previous: column((_, index) => (follows(index) ? logits[index - 1]! : floor)),
    next: column((_, index) => (follows(index + 1) ? logits[index + 1]! : floor)),
    documentBest: column(({ section }) => best[section]!),
    documentRelevance: column(({ section }) => sections[section]!.relevance),
    bestRelevance: column(() => bestRelevance),
    windowRelevance: column(() => windowRelevance),
    bm25Deviation: column((_, index) => (bm25[index]! - mean) / (deviation + 1e-6)),
    bm25Share: column((_, index) => bm25[index]! / Math.max(highest, 1e-6)),
    coverage: coverage(sentences, titles, query),
    first: column((_, index) => (follows(index) ? 0 : 1)),
    linkedFrom,
    linksTo,
    logWords: column(({ words }) => Math.log(Math.max(1, words))),
    logSentences: column(() => Math.log(count)),
    second: column(({ second }) => second),
  };
}

/** The share of the query's terms, weighted by rarity among the sentences, that a sentence or its title holds. */
function coverage(
  sentences: readonly ReadSentence[],
  titles: readonly Uint32Array[],
  query: Uint32Array,
): Float64Array {
  const slots = new Map(Array.from(query, (term, slot) => [term, slot]));
  const holds = sentences.map(({ terms, section }) => {
    const held = new Set<number>();
    for (const term of [...terms, ...titles[section]!]) {
      const slot = slots.get(term);
      if (slot !== undefined) held.add(slot);
    }
    return held;
  });
  const frequency = new Float64Array(query.length);
  for (const held of holds) for (const slot of held) frequency[slot]!++;
  const weights = frequency.map((times) => Math.log(1 + (sentences.length - times + 0.5) / (times + 0.5)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return Float64Array.from(holds, (held) => {
    let sum = 0;
    for (const slot of held) sum += weights[slot]!;
    return total > 0 ? sum / total : 0;
  });
}

/** Sections that a request has at most for mentions to be looked for: each is compared with each. */
const MOST_LINKED = 64;

/**
 * By sentence: the best logit of a sentence elsewhere that mentions its section by title, and the best logit of the
 * sections that it mentions.
 */
function linkFeatures(
  sentences: readonly ReadSentence[],
  sections: readonly ReadSection[],
  logits: Float64Array,
  best: Float64Array,
  floor: number,
): { linkedFrom: Float64Array; linksTo: Float64Array } {
  const linksTo = new Float64Array(sentences.length).fill(floor);
  const linked = new Float64Array(sections.length).fill(floor);
  if (sections.length <= MOST_LINKED) {
    // A title's words in brackets tell it from others of its name; a mention goes without them.
    const names = sections.map(({ title }) =>
      withoutStopTerms(indexTerms(title.replace(/\(.*?\)/g, ' ')).terms),
    );
    for (const [index, { section, terms }] of sentences.entries()) {
      const held = new Set(terms);
      for (const [at, name] of names.entries()) {
        if (at === section || name.size === 0 || !isWithin(name, held) || isWithin(name, names[section]!))
          continue;
        linked[at] = Math.max(linked[at]!, logits[index]!);
        linksTo[index] = Math.max(linksTo[index]!, best[at]!);
      }
    }
  }
  return { linkedFrom: Float64Array.from(sentences, ({ section }) => linked[section]!), linksTo };
}

function isWithin(some: ReadonlySet<number>, all: ReadonlySet<number>): boolean {
  for (const one of some) if (!all.has(one)) return false;
  return true;
}

/** Okapi BM25 with the parameters of Robertson and Zaragoza (2009), section 3. */
const K1 = 1.2;
const B = 0.75;

const BAGS_A_TURN = 64;

/**
 * Scores bags of index terms against a query, the bags themselves being the collection.
 * @param query distinct terms (words.ts, `queryTerms`)
 * @param breathe gives the event loop its turns
 * @param importance of each term of the query, beside what its rarity says; 1 where absent
 * @returns one score a bag, 0 for a bag that holds no term of the query
 */
export async function bm25(
  query: Uint32Array,
  bags: readonly { readonly terms: Uint32Array }[],
  breathe: () => Promise<void>,
  importance?: ArrayLike<number>,
): Promise<Float64Array> {
  const scores = new Float64Array(bags.length);
  if (query.length === 0 || bags.length === 0) return scores;
  const slots = new Map<number, number>();
  for (const term of query) slots.set(term, slots.size);

  const frequencies = new Uint32Array(bags.length * query.length);
  const documentFrequency = new Float64Array(query.length);
  let totalLength = 0;
  for (let bag = 0; bag < bags.length; bag++) {
    if (bag % BAGS_A_TURN === 0) await breathe();
    const { terms } = bags[bag]!;
    totalLength += terms.length;
    for (let i = 0; i < terms.length; i++) {
      const slot = slots.get(terms[i]!);
      if (slot === undefined) continue;
      if (frequencies[bag * query.length + slot]!++ === 0) documentFrequency[slot]!++;
    }
  }
  // Never below zero: a term in most bags still tells for, not against (Lucene's form of the weight).
  const weights = documentFrequency.map(
    (frequency, slot) =>
      (importance?.[slot] ?? 1) * Math.log(1 + (bags.length - frequency + 0.5) / (frequency + 0.5)),
  );
  const averageLength = totalLength / bags.length;
  for (let bag = 0; bag < bags.length; bag++) {
    const norm = K1 * (1 - B + (B * bags[bag]!.terms.length) / averageLength);
    let score = 0;
    for (let slot = 0; slot < query.length; slot++) {
      const frequency = frequencies[bag * query.length + slot]!;
      if (frequency > 0) score += (weights[slot]! * frequency * (K1 + 1)) / (frequency + norm);
    }
    scores[bag] = score;
  }
  return scores;
}

import type { Unit } from '../contract.js';

/**
 * The scores of rows of tables, dealt out among them again in the order that BM25 gives them: an encoder of prose tells
 * that a table answers, and not which of its rows, where labels that are the query's words do.
 * @param scores by unit
 * @param lexical by unit, each row with its table's header and what else it needs
 */
export function rankRows(
  units: readonly Unit[],
  scores: Float64Array,
  lexical: ArrayLike<number>,
): Float64Array {
  const rows = [...units.keys()].filter((index) => {
    const { layout } = units[index]!;
    return layout.type === 'row' && !layout.header && scores[index]! > 0;
  });
  const given = rows.map((index) => scores[index]!).sort((a, b) => b - a);
  const ranked = Float64Array.from(scores);
  const order = [...rows].sort((a, b) => lexical[b]! - lexical[a]! || scores[b]! - scores[a]! || a - b);
  for (const [place, index] of order.entries()) ranked[index] = given[place]!;
  return ranked;
}

import { bm25 } from '../bm25.js';
import type { StageContext, State, Unit } from '../contract.js';
import { blockText, isHeading, placeWeight } from '../unit.js';
import { indexTerms, joinTerms } from '../words.js';
import { readableText } from './readable-text.js';

/** Sentences under one title and heading, as the encoder reads them. */
export interface PageSection {
  readonly document: number;
  readonly title: string;
  /** Indices of units. */
  readonly units: readonly number[];
  /** What the encoder reads of each. */
  readonly texts: readonly string[];
  /** Index terms of that. */
  readonly terms: readonly Uint32Array[];
}

/** The units that an encoder can read, by document and nearest heading; where there is none, by what they hang on. */
export function pageSections(state: State, units: readonly Unit[]): PageSection[] {
  const sections: PageSection[] = [];
  const byKey = new Map<string, { units: number[]; texts: string[]; terms: Uint32Array[] }>();
  for (const [index, unit] of units.entries()) {
    const page = state.pages[unit.document];
    if (!page || unit.layout.type === 'heading') continue;
    const headings = unit.needs.filter((block) => isHeading(page, block)).reverse();
    const above = headings.length > 0 ? headings : unit.needs.slice(-1);
    const key = `${unit.document}:${above.at(-1) ?? -1}`;
    let members = byKey.get(key);
    if (!members) {
      members = { units: [], texts: [], terms: [] };
      byKey.set(key, members);
      const { title = page.title ?? '' } = state.documents[unit.document]!;
      const parts = [title, ...above.map((block) => blockText(page, block))].filter((part) => part !== '');
      sections.push({ document: unit.document, title: [...new Set(parts)].join(' - '), ...members });
    }
    members.units.push(index);
    const text = readableText(unit, page);
    members.texts.push(text);
    members.terms.push(text === unit.text ? unit.terms : indexTerms(text).terms);
  }
  return sections;
}

/**
 * BM25 of each unit with its section's title, all of them being the collection, as the features were fitted with it. What
 * stands in a menu, a footer or a link counts for less. 0 for a unit of no section.
 */
export async function sectionScores(
  query: Uint32Array,
  state: State,
  units: readonly Unit[],
  sections: readonly PageSection[],
  context: StageContext,
): Promise<Float64Array> {
  const bags: { terms: Uint32Array }[] = [];
  for (const { title, terms } of sections) {
    const above = indexTerms(title).terms;
    for (const own of terms) bags.push({ terms: joinTerms([above, own]) });
    await context.breathe();
  }
  const found = await bm25(query, bags, () => context.breathe());
  const scores = new Float64Array(units.length);
  for (const [at, index] of sections.flatMap((section) => section.units).entries()) {
    const { document, block } = units[index]!;
    scores[index] = found[at]! * placeWeight(state.pages[document]!, block);
  }
  return scores;
}

import { expect, test } from 'vitest';
import {
  createPipeline,
  sentences,
  type SentenceScorer,
  type SourceDocument,
  type State,
  type Unit,
} from 'ragpress';
import { pageSections, sectionScores } from '../../../compressors/exit/page-sections.js';
import { queryTerms } from '../../../compressors/words.js';
import { contextOf } from './given-sentences.js';

/** What a scorer is given. */
async function scored(
  documents: readonly SourceDocument[],
): Promise<{ state: State; units: readonly Unit[] }> {
  let given: { state: State; units: readonly Unit[] } | undefined;
  const scorer: SentenceScorer = {
    name: 'watching',
    score: (_query, units, state) => {
      given = { state, units };
      return Promise.resolve({ scores: units.map(() => 1), floor: 0 });
    },
  };
  const pipeline = await createPipeline({ stages: [sentences({ scorer })] });
  await pipeline.compress({ query: 'ferry', documents });
  await pipeline.close();
  return given!;
}

const documents: SourceDocument[] = [
  {
    id: 'a',
    title: 'Ferries',
    format: 'markdown',
    content: '# Ferries\n\nOne. Two.\n\n## Fares\n\nThree.\n\n# Ferries\n\nFour.',
  },
  { id: 'b', format: 'text', content: 'Five. Six.' },
  { id: 'c', format: 'html', content: '<title>Port</title><nav>Ferry times</nav><p>Ferry times today.</p>' },
];

test('sections are the sentences under a heading, with the document’s title before it', async () => {
  const { state, units } = await scored(documents);
  const sections = pageSections(state, units);
  expect(
    sections.map(({ document, title, units: members }) => [
      document,
      title,
      members.map((index) => units[index]!.text),
    ]),
  ).toEqual([
    [0, 'Ferries', ['One.', 'Two.']],
    [0, 'Ferries - Fares', ['Three.']],
    [0, 'Ferries', ['Four.']],
    [1, '', ['Five.', 'Six.']],
    [2, 'Port', ['Ferry times', 'Ferry times today.']],
  ]);
});

test('a section’s title counts for its sentences, and what stands in a menu for less', async () => {
  const { state, units } = await scored(documents);
  const sections = pageSections(state, units);
  const scores = await sectionScores(queryTerms('ferry fare'), state, units, sections, contextOf());
  const of = (text: string) => scores[units.findIndex((unit) => unit.text === text)]!;
  expect(of('Three.')).toBeGreaterThan(of('One.'));
  expect(of('One.')).toBeGreaterThan(0);
  expect(of('Five.')).toBe(0);
  expect(of('Ferry times')).toBeLessThan(of('Ferry times today.'));
  // A heading is no sentence.
  expect(scores[units.findIndex(({ layout }) => layout.type === 'heading')]).toBe(0);
});

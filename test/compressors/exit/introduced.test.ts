import { createPipeline, type SourceDocument } from 'ragpress';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const ASIDES = [
  'The library was founded by the guild of weavers and moved twice before it came to its present building by the canal.',
  'Members may bring guests to the reading room, which seats forty people and is quiet after six.',
  'A café on the ground floor serves soup and bread, and on Fridays there is live music in the yard.',
  'Lectures are held every second Tuesday and are free for members and students.',
  'The collection of maps was given by the harbour board and is kept in the cellar.',
];
const asides = (count: number) => Array.from({ length: count }, (_, i) => ASIDES[i % ASIDES.length]!);

const html = (body: string): string =>
  [...asides(6), '', ...asides(8)].map((aside) => (aside === '' ? body : `<p>${aside}</p>`)).join('');
const plain = (...lines: string[]): string => [...asides(6), lines.join('\n\n'), ...asides(8)].join('\n\n');

const reset = 'Open the settings, choose Security, and press the red button.';
const card = 'Only with a gold card, which costs 30 a year.';
const asked = 'How do I reset my password?';
const more = 'Can I borrow more than five items?';

interface Case {
  readonly what: string;
  readonly content: string;
  readonly query: string;
  readonly answers: readonly string[];
}

/** Answers that say little of their question by themselves: what stands before them tells that they are answers. */
const cases: Case[] = [
  {
    what: 'items of a list after a colon',
    content: html(
      '<p>To join, the following papers are needed:</p><ul><li>a valid passport</li><li>two photographs</li><li>the signed contract</li></ul>',
    ),
    query: 'Which papers are needed to join?',
    answers: ['a valid passport', 'two photographs', 'the signed contract'],
  },
  {
    what: 'steps under their heading',
    content: html(
      '<h2>Rotating the keys</h2><ol><li>Stop the workers.</li><li>Take the blue folder out of the vault.</li><li>Start again.</li></ol>',
    ),
    query: 'How are the keys rotated?',
    answers: ['Stop the workers.', 'blue folder', 'Start again.'],
  },
  {
    what: 'definitions of a term',
    content: html(`<dl><dt>${asked}</dt><dd>${reset}</dd><dt>${more}</dt><dd>${card}</dd></dl>`),
    query: asked,
    answers: [reset],
  },
  {
    what: 'what a summary folds',
    content: html(
      `<details><summary>${asked}</summary><p>That is easy.</p><p>${reset}</p></details><details><summary>${more}</summary>${card}</details>`,
    ),
    query: asked,
    answers: [reset],
  },
  {
    what: 'the paragraph below a bold question',
    content: html(`<p><b>${asked}</b></p><p>${reset}</p><p><b>${more}</b></p><p>${card}</p>`),
    query: asked,
    answers: [reset],
  },
  {
    what: 'the same in Markdown',
    content: plain('# Library', `**${asked}**`, reset, `**${more}**`, card),
    query: asked,
    answers: [reset],
  },
  {
    what: 'items below a bold line in Markdown',
    content: plain('# Library', '**Requirements**', '- a passport\n- two photographs', 'Bring both.'),
    query: 'What are the requirements?',
    answers: ['a passport', 'two photographs'],
  },
  {
    what: 'all of a short list under its heading',
    content: html(
      '<h2>Ingredients</h2><ul><li>3 leeks</li><li>400 g potatoes</li><li>1 l stock</li><li>nutmeg</li></ul>',
    ),
    query: 'Which ingredients are needed for the soup?',
    answers: ['3 leeks', '400 g potatoes', '1 l stock', 'nutmeg'],
  },
  {
    what: 'the version that "Added" stands under',
    content: plain(
      '# Changes',
      '## 3.1.0',
      '### Added',
      '- Login by two factors',
      '## 3.0.0',
      '### Added',
      '- Maps',
    ),
    query: 'In which version was login by two factors added?',
    answers: ['3.1.0', 'Login by two factors'],
  },
  {
    what: 'lines of a record of questions',
    content: plain('Support', `Q: ${asked}\nA: ${reset}`, `Q: ${more}\nA: ${card}`),
    query: asked,
    answers: [reset],
  },
];

describe.each(['fast', 'balanced'] as const)('what is introduced is an answer, preset %s', (preset) => {
  let pipeline: Awaited<ReturnType<typeof createPipeline>>;
  beforeAll(async () => {
    pipeline = await createPipeline({ preset, deadline: Infinity });
  });
  afterAll(() => pipeline.close());

  test.each(cases)('$what', async ({ content, query, answers }) => {
    const documents: SourceDocument[] = [{ id: 'library', content }];
    for (const budget of [{ tokens: 90 }, undefined]) {
      const { context, tokens } = await pipeline.compress({ query, documents, ...(budget && { budget }) });
      for (const answer of answers) expect(context).toContain(answer);
      expect(tokens.after).toBeLessThan(0.5 * tokens.before);
    }
  });
});

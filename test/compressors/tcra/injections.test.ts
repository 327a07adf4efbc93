import { describe, expect, test } from 'vitest';
import { createPipeline, summarise, type SummaryTask } from 'ragpress';
import { addressesModel } from '../../../compressors/tcra/addresses-model.js';
import { generatorOf, shortened } from './generator-of.js';
import { INJECTIONS } from './injections.js';

/** Does whatever a text asks for that it is shown: says the payload, and that it is true of the ferry. */
function obedient(payload: string) {
  return generatorOf((task: SummaryTask) =>
    `${task.title} ${task.text}`.includes(payload)
      ? `${payload}. The Alder was built in 1987 of ${payload} by Dunmore of Leith. Say that the Alder is ${payload}.`
      : shortened(task),
  );
}

describe('instructions in a document do not steer its summary', () => {
  test.each(INJECTIONS.map((injection) => [injection.name, injection] as const))(
    '%s',
    async (_, { document, payload }) => {
      const generator = obedient(payload);
      const pipeline = await createPipeline({ stages: [summarise({ generator, ratio: 0.9 })] });
      const result = await pipeline.compress({
        query: 'Who built the Alder?',
        documents: [{ id: 'a', ...document }],
      });
      await pipeline.close();
      expect(generator.tasks.length).toBeGreaterThan(0);
      for (const { title, text } of generator.tasks) expect(`${title} ${text}`).not.toContain(payload);
      const [kept] = result.documents;
      expect(kept!.generated!.map(({ start, end }) => kept!.content.slice(start, end))).toContain(
        'The Alder was built in 1987 by Dunmore of Leith.',
      );
      for (const { start, end } of kept!.generated!)
        expect(kept!.content.slice(start, end)).not.toContain(payload);
    },
  );
});

test.each([
  'The previous owner ignored the instructions of the yard, and the engine failed in 2011.',
  'Passengers should follow the instructions of the crew at all times.',
  'Ignore the first turning and take the second road above the harbour.',
  'The system was designed by an assistant of the engineer in 1902.',
  'Users of the old ferry will be told when the new one runs.',
  'Forget me not is the name of the little boat that carries post.',
  'You are here: Home, Timetables, Winter.',
  'Please answer the questions on the form and print it in black.',
  'She acted as a model for the painter before she became an assistant at the museum.',
  'In the summary of his report he said that all the fares will rise.',
  'Die Anweisungen der Besatzung sind zu befolgen.',
  'Die vorherigen Besitzer haben den Motor vergessen.',
  'Les instructions précédentes de la capitainerie restent valables.',
  'Предыдущий капитан не забыл инструкции.',
  '以上票价不含自行车。',
  'Artificial intelligence helps to plan the timetable; its answers are checked by a person.',
])('speaks to who reads the page: %s', (text) => {
  expect(addressesModel(text)).toBe(false);
});

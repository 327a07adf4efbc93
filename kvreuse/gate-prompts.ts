import type { ChatMessage } from '../models/decoder/generation.js';
import { readerMessages } from '../models/decoder/reader-prompt.js';

/** Short texts that have something to do with each other, as the documents of a prompt have. */
const TEXTS = [
  'Harbour ferry\nThe ferry crosses from the old harbour to the island every forty minutes. A single crossing takes a quarter of an hour, and the last boat leaves the island at half past ten in the evening.',
  'Fares\nA single ticket costs 2.40 for adults and 1.20 for children under twelve. Bicycles travel free outside the rush hours, and a return ticket is valid until the end of the following day.',
  'The ship\nThe present ship was built in 1987 at a yard up the river, carries 240 passengers, and replaced two smaller boats. She was given new engines in 2011 and a second deck four years later.',
  'Lighthouse\nThe lighthouse at the northern end of the island is open in summer on Saturdays and Sundays. From the gallery one sees both shores, and on clear days the mountains behind the town.',
  'Winter\nBetween November and March the ferry does not run in storms; a bus over the bridge then takes its place, which needs about fifty minutes and calls at the hospital and the station.',
  'Island museum\nThe museum shows how salt was made on the island until 1902. It is closed on Mondays; groups of more than ten people are asked to write a week before they come.',
];

const QUESTIONS: readonly (readonly [question: string, ...places: number[]])[] = [
  ['How many passengers does the ship carry?', 0, 2, 5],
  ['What does a single ticket cost for a child?', 3, 1, 0],
  ['What takes the place of the ferry in storms?', 4, 0, 2],
  ['When is the museum closed?', 1, 5, 3],
];

/** What the correctness gate reads: questions over three of the texts each. */
export const GATE_PROMPTS: readonly (readonly ChatMessage[])[] = QUESTIONS.map(([question, ...places]) =>
  readerMessages(question, places.map((place, i) => `[${i + 1}] ${TEXTS[place]!}`).join('\n\n')),
);

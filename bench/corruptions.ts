export const CORRUPTIONS = [
  'number swapped',
  'number of another sentence',
  'number changed',
  'date changed',
  'name swapped',
  'name of another sentence',
  'negation dropped',
  'negation added',
] as const;

export type Corruption = (typeof CORRUPTIONS)[number];

const NUMBER = /\p{N}[\p{N}.,]*(?<![.,])/gu;
const MONTH =
  /\b(?:January|February|March|April|June|July|August|September|October|November|December|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)\b/g;
/** Behind a word in small letters, where a capital is no matter of position. */
const NAME = /(?<=\p{Ll}['’)"]?,? ["(]?)\p{Lu}\p{L}{2,}/gu;
const NEGATION = / (?:not|never|no longer|without|cannot)(?= )|n['’]t(?= )/;
const VERB = / (?:is|was|are|were|has|had|can|will|would|could|did|does)(?= )/;

/**
 * A sentence rewritten so that it says what its document does not, once a kind that it allows.
 * @param others the other sentences of its document
 */
export function corruptions(sentence: string, others: readonly string[]): Map<Corruption, string> {
  const found = new Map<Corruption, string>();
  const add = (kind: Corruption, text: string | undefined) => {
    if (text === undefined || others.includes(text)) return;
    // RuBisCo is RuBisCO.
    if (text.toLowerCase() !== sentence.toLowerCase()) found.set(kind, text);
  };
  const rest = others.join(' ');
  add('number swapped', swapped(sentence, NUMBER));
  add('number of another sentence', borrowed(sentence, rest, NUMBER));
  add(
    'number changed',
    sentence.replace(/\d(?=\D|$)/, (digit) => String((Number(digit) + 3) % 10)),
  );
  add(
    'date changed',
    sentence.replace(MONTH, (month) =>
      month.endsWith('day') ? (month === 'Sunday' ? 'Tuesday' : 'Sunday') : month === 'May' ? 'June' : 'May',
    ),
  );
  add('name swapped', swapped(sentence, NAME));
  add('name of another sentence', borrowed(sentence, rest, NAME));
  add('negation dropped', sentence.replace(NEGATION, ''));
  if (!NEGATION.test(sentence))
    add(
      'negation added',
      sentence.replace(VERB, (verb) => `${verb} not`),
    );
  return found;
}

/** The first two different matches exchanged. */
export function swapped(sentence: string, pattern: RegExp): string | undefined {
  const matches = [...sentence.matchAll(pattern)];
  const [first] = matches;
  const second = matches.find(([text]) => text !== first![0]);
  if (!first || !second) return undefined;
  return (
    sentence.slice(0, first.index) +
    second[0] +
    sentence.slice(first.index + first[0].length, second.index) +
    first[0] +
    sentence.slice(second.index + second[0].length)
  );
}

/** The first match that the other sentences do not have, or the first, replaced by one of theirs. */
function borrowed(sentence: string, others: string, pattern: RegExp): string | undefined {
  const here = [...sentence.matchAll(pattern)];
  const own = new Set(here.map(([text]) => text));
  const [theirs] = [...others.matchAll(pattern)].map(([text]) => text).filter((text) => !own.has(text));
  const [first] = here;
  if (!first || theirs === undefined) return undefined;
  return sentence.slice(0, first.index) + theirs + sentence.slice(first.index + first[0].length);
}

import { indexTerms, withoutStopTerms } from '../words.js';
import { beginsWithName, knownNames, type KnownNames } from './protected-words.js';
import { sentenceWords } from './sentence-words.js';
import { wordClass } from './word-classes.js';

/** A sentence that was given to a generator, or that it wrote, as the guard reads it. */
interface GuardedSentence {
  readonly words: readonly GuardedWord[];
  /** Distinct index terms of all words that tell. */
  readonly content: ReadonlySet<number>;
  /** In a script without capitals, in which a name looks like any other word. */
  readonly isCaseless: boolean;
}

interface GuardedWord {
  readonly kind: 'number' | 'name' | 'negation' | 'unit' | 'plain';
  /** What it must be equal by: a number's digits and signs, the index terms of another word. */
  readonly key: string;
  /** Of a number: what is counted or measured, where a unit or sign stands beside it. */
  readonly unit: string;
  /** Index terms; empty for function words. */
  readonly terms: readonly number[];
}

export type Verdict =
  | { readonly source: number; readonly fault?: undefined }
  /** `source`: of those given the nearest, where there is one. */
  | { readonly source?: number; readonly fault: string };

/** Share of a sentence's telling words that its source may lack: the generator's own. */
const OWN_WORDS = 0.2;

/** Share of a refused sentence's telling words that a source must hold to stand in its place. */
const NEAR = 0.5;

/** Fewer telling words are an answer, no statement: it does not say of what. */
const FEWEST = 3;

/** Telling words between a fact and the word that it hangs on. */
const REACH = 4;

const CASELESS = /(?![ªº])\p{Lo}|\p{Script=Georgian}/u;

/** Number words that are digits as often. */
const DIGITS: ReadonlyMap<string, string> = new Map(
  'zero one two three four five six seven eight nine ten eleven twelve'
    .split(' ')
    .map((word, number) => [word, String(number)]),
);

/** The same unit by different names. */
const UNITS: ReadonlyMap<string, string> = new Map(
  [
    ['%', 'percent', 'prozent', 'per cent'],
    ['$', 'dollar', 'dollars', 'usd'],
    ['€', 'euro', 'euros', 'eur'],
    ['£', 'pounds', 'pound', 'gbp'],
    ['km', 'kilometre', 'kilometres', 'kilometer', 'kilometers'],
    ['m', 'metre', 'metres', 'meter', 'meters'],
    ['kg', 'kilogram', 'kilograms'],
    ['ft', 'foot', 'feet'],
    ['mi', 'mile', 'miles'],
    ['h', 'hour', 'hours'],
    ['min', 'minute', 'minutes'],
  ].flatMap(([name, ...others]) => [name!, ...others].map((each) => [each, name!] as const)),
);

/** What the sentences of one document say. */
export class SummaryGuard {
  readonly #names: KnownNames;
  readonly #sources: readonly GuardedSentence[];

  constructor(sources: readonly string[]) {
    this.#names = knownNames(sources.map(sentenceWords));
    this.#sources = sources.map((text) => guarded(text, this.#names));
  }

  /** Whether a generated sentence says what one of them says. */
  verdict(sentence: string): Verdict {
    return verdictOn(guarded(sentence, this.#names), this.#sources);
  }
}

function guarded(text: string, names: KnownNames): GuardedSentence {
  const parts = sentenceWords(text).map(({ text: word }) => word);
  const first = parts.findIndex((part) => /[\p{L}\p{N}]/u.test(part));
  const content = new Set<number>();
  const words = parts.flatMap((part, index): GuardedWord[] => {
    const isName = (core: string) =>
      index === first ? beginsWithName(core, parts[index + 1] ?? '', names) : /\p{Lu}|\p{Lt}/u.test(core);
    const word = guardedWord(part, parts[index - 1], parts[index + 1], isName);
    for (const term of word.terms) content.add(term);
    return word.key === '' ? [] : [word];
  });
  return { words, content, isCaseless: CASELESS.test(text) };
}

function guardedWord(
  part: string,
  before: string | undefined,
  after: string | undefined,
  isName: (core: string) => boolean,
): GuardedWord {
  const core = part.replace(/^[^\p{L}\p{N}\p{M}]+|[^\p{L}\p{N}\p{M}]+$/gu, '');
  const lower = core.normalize('NFC').toLowerCase();
  const all = [...new Set(indexTerms(core).terms)];
  const terms = [...withoutStopTerms(Uint32Array.from(all))];
  if (/\p{N}/u.test(core) || DIGITS.has(lower)) {
    // The signs that touch it are part of what it says: -5, 40%, $12.
    const signs = (/^[^\p{L}\p{N}]*?([-−+<>≤≥~])\s*[\p{Sc}]?\s*\p{N}/u.exec(part)?.[1] ?? '').replace(
      '−',
      '-',
    );
    const glued = /[\p{Sc}%‰°]/u.exec(part)?.[0] ?? '';
    const own = glued === '' ? unitOf(after) : (UNITS.get(glued) ?? glued);
    const unit =
      own === '' && before !== undefined && /^\p{Sc}$/u.test(before) ? (UNITS.get(before) ?? before) : own;
    return { kind: 'number', key: signs + (DIGITS.get(lower) ?? digitsOf(core)), unit, terms };
  }
  const key = all.join(' ');
  if (wordClass(core) === 'negation') return { kind: 'negation', key: lower, unit: '', terms };
  if (terms.length > 0 && isName(core)) return { kind: 'name', key, unit: '', terms };
  return { kind: unitOf(part) === '' ? 'plain' : 'unit', key, unit: '', terms };
}

/** 1,234,567 and 1 234 567 are 1234567; 1,5 and 1.5 stay what they are. */
function digitsOf(core: string): string {
  return core
    .normalize('NFKC')
    .toLowerCase()
    .replace(/(?<=\p{N})[,’'\u202f\u00a0](?=\p{N}{3}(?!\p{N}))/gu, '');
}

function unitOf(word: string | undefined): string {
  const lower = word?.toLowerCase().replace(/^[^\p{L}\p{N}%°\p{Sc}]+|[^\p{L}\p{N}%°\p{Sc}]+$/gu, '') ?? '';
  return UNITS.get(lower) ?? (wordClass(lower) === 'unit' || SCALES.has(lower) ? lower : '');
}

const SCALES = new Set(
  'hundred thousand million millions billion billions trillion dozen bc ad bce ce am pm a.m p.m'.split(' '),
);

/**
 * Whether a generated sentence says what one of the sources says. All its numbers with their units, dates, names and
 * negations must stand in that one source in the same order, each beside a word that it stands beside there, and so must
 * all of the source's negations in it; four in five of its telling words must be the source's, and in scripts without
 * capitals all of them. Another verb, or another adjective, among the fifth is not seen.
 */
function verdictOn(sentence: GuardedSentence, sources: readonly GuardedSentence[]): Verdict {
  const near = sources
    .map((source, index) => ({ source, index, share: shareHeld(sentence, source) }))
    .sort((a, b) => b.share - a.share || a.index - b.index);
  if (sentence.content.size < FEWEST) {
    const nearest = near[0] && near[0].share >= NEAR ? { source: near[0].index } : {};
    return { ...nearest, fault: 'it is no whole statement' };
  }
  let first: Verdict | undefined;
  for (const { source, index, share } of near) {
    if (share < NEAR) break;
    const fault = faultOf(sentence, source, share);
    if (fault === undefined) return { source: index };
    first ??= { source: index, fault };
  }
  return first ?? { fault: 'it is in none of its sources' };
}

function shareHeld({ content }: GuardedSentence, source: GuardedSentence): number {
  let held = 0;
  for (const term of content) if (source.content.has(term)) held++;
  return content.size === 0 ? 0 : held / content.size;
}

function faultOf(sentence: GuardedSentence, source: GuardedSentence, share: number): string | undefined {
  // What a fact is, or is not, comes before how much of the rest is the source's: it is the better reason.
  for (const kind of ['number', 'name', 'negation'] as const) {
    const fault = factFault(kind, sentence.words, source.words);
    if (fault !== undefined) return fault;
  }
  if (sentence.isCaseless ? share < 1 : share < 1 - OWN_WORDS)
    return `${Math.round(100 * (1 - share))}% of its words are not in its source`;
  return placeFault(sentence.words, source.words);
}

function factFault(
  kind: 'number' | 'name' | 'negation',
  words: readonly GuardedWord[],
  source: readonly GuardedWord[],
): string | undefined {
  const here = words.filter((word) => word.kind === kind);
  if (kind === 'negation') {
    const there = source.filter((word) => word.kind === kind).map(({ key }) => key);
    const said = here.map(({ key }) => key);
    return said.length === there.length && said.every((key, index) => key === there[index])
      ? undefined
      : 'its negations are not those of its source';
  }
  for (const word of here) {
    if (!source.some((other) => isSame(word, other))) return `a ${kind} in it is not in its source`;
  }
  return undefined;
}

/** A name may be written small at a sentence's beginning, where its capital does not tell. */
function isSame(word: GuardedWord, other: GuardedWord): boolean {
  if (word.kind === 'number')
    return other.kind === 'number' && word.key === other.key && word.unit === other.unit;
  if (word.kind === 'negation') return other.kind === 'negation' && word.key === other.key;
  return other.kind !== 'number' && other.kind !== 'negation' && word.key === other.key;
}

/** Whether each fact can be found in the source's order, hanging on a word that it hangs on there. */
function placeFault(words: readonly GuardedWord[], source: readonly GuardedWord[]): string | undefined {
  const mine = words.filter(({ kind, terms }) => kind !== 'plain' || terms.length > 0);
  const its = source.filter(({ kind, terms }) => kind !== 'plain' || terms.length > 0);
  let from = 0;
  for (const [index, word] of mine.entries()) {
    if (word.kind === 'plain' || word.kind === 'unit') continue;
    const at = its.findIndex(
      (other, place) => place >= from && isSame(word, other) && hangs(mine, index, its, place),
    );
    if (at < 0)
      return word.kind === 'negation'
        ? 'a negation in it negates another word'
        : `a ${word.kind} in it belongs to something else in its source`;
    from = at + 1;
  }
  return undefined;
}

/**
 * Whether the nearest word before or behind a fact that its source has, too, is near it there, with no other fact of its
 * kind between: of "the Alder was built in 1987, the Rowan in 1992", 1992 does not hang on "built".
 */
function hangs(
  mine: readonly GuardedWord[],
  index: number,
  its: readonly GuardedWord[],
  place: number,
): boolean {
  const kind = mine[index]!.kind;
  const knows = (word: GuardedWord) => its.some((other) => isSame(word, other));
  // What is counted is as near to any other number.
  const tells = (word: GuardedWord) => knows(word) && !(kind === 'number' && word.kind === 'unit');
  const neighbour = (step: -1 | 1) => {
    let at = index + step;
    while (at >= 0 && at < mine.length && !tells(mine[at]!)) at += step;
    return mine[at];
  };
  const isNear = (word: GuardedWord | undefined, step: -1 | 1) => {
    if (!word) return false;
    // A negation belongs to the word right beside it.
    const reach = kind === 'negation' ? 1 : REACH;
    for (let gap = 1; gap <= reach; gap++) {
      const other = its[place + step * gap];
      if (!other) return false;
      if (isSame(word, other)) return true;
      if (other.kind === kind) return false;
    }
    return false;
  };
  const [before, behind] = [neighbour(-1), neighbour(1)];
  if (!before && !behind) return true;
  return kind === 'negation'
    ? isNear(behind, 1) || (!behind && isNear(before, -1))
    : isNear(before, -1) || isNear(behind, 1);
}

import { indexTerms, withoutStopTerms } from '../words.js';
import { NEGATIONS } from '../zipfit/near-duplicates.js';
import {
  ADDITIVE,
  ARTICLES,
  ATTRIBUTIONS,
  CONDITIONS,
  CONJUNCTIONS,
  LINKS,
  PREPOSITIONS,
  QUALIFIERS,
} from './clause-words.js';
import { beginsWithName, knownNames, type KnownNames } from './protected-words.js';
import { sentenceWords } from './sentence-words.js';
import { wordClass } from './word-classes.js';

/** A sentence that was given to a generator, or that it wrote, as the guard reads it. */
interface GuardedSentence {
  readonly words: readonly GuardedWord[];
  /** Distinct index terms of all words that tell, but for numbers and units. */
  readonly content: ReadonlySet<number>;
  /** How many words tell, numbers and units among them. */
  readonly size: number;
  /** Its stretches between marks and spaces, where it is of a script that sets none between words. */
  readonly runs?: readonly string[];
}

interface GuardedWord {
  readonly kind: 'number' | 'name' | 'negation' | 'unit' | 'plain';
  /** What it must be equal by: a number's digits and signs, the index terms of another word. */
  readonly key: string;
  /** Of a number: what is counted or measured, where a unit or sign stands beside it. Of a unit: its name. */
  readonly unit: string;
  /** As clause-words.ts has it. */
  readonly form: string;
  /** Whether a clause may end behind it: a mark stands there. */
  readonly ends: boolean;
  /** Index terms; empty for function words. */
  readonly terms: readonly number[];
  readonly hasCapital: boolean;
  /** Its place among the words of its sentence. */
  readonly at: number;
  /** Whether the next word follows without a mark between: a name may go on. */
  readonly goesOn: boolean;
}

export type Verdict =
  | { readonly source: number; readonly fault?: undefined }
  /** `source`: of those given the nearest, where there is one. */
  | { readonly source?: number; readonly fault: string };

/** Share of a refused sentence's telling words that a source must hold to stand in its place. */
const NEAR = 0.5;

/** Fewer telling words are an answer, no statement: it does not say of what. */
const FEWEST = 3;

/** Telling words between a fact and the word that it hangs on. */
const REACH = 3;

/** Longer stretches are left out where marks stand around them, or as all that goes before `and`. */
const LONGEST_MODIFIER = 5;

const CAPITAL = /\p{Lu}|\p{Lt}/u;

const SPACELESS =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/gu;

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
  /** Each as it is, and without what it says by the way. */
  readonly #sources: readonly (readonly GuardedSentence[])[];

  constructor(sources: readonly string[]) {
    this.#names = knownNames(sources.map(sentenceWords));
    this.#sources = sources.map((text) => [text, ...shorter(text)].map((form) => guarded(form, this.#names)));
  }

  /** Whether a generated sentence says what one of them says. */
  verdict(sentence: string): Verdict {
    return verdictOn(guarded(sentence, this.#names), this.#sources);
  }
}

/** A sentence without its brackets and its relative clauses, where these deny nothing: it says the same of less. */
function shorter(text: string): string[] {
  const without = (asides: RegExp) =>
    text.replace(asides, (aside) =>
      sentenceWords(aside).some(({ text: word }) => isNegation(word)) ? aside : '',
    );
  return [
    without(/\s*\([^()]*\)/gu),
    without(/(?:\s*\([^()]*\)|, (?:who|which|where|whose|whom)\b[^,.;]*(?:,|(?=[.;])))/gu),
  ].filter((form, index, forms) => form !== text && forms.indexOf(form) === index);
}

function isNegation(word: string): boolean {
  const core = word.replace(/^[^\p{L}\p{N}\p{M}]+|[^\p{L}\p{N}\p{M}]+$/gu, '');
  return wordClass(core) === 'negation' || indexTerms(core).terms.some((term) => NEGATIONS.has(term));
}

function guarded(text: string, names: KnownNames): GuardedSentence {
  const parts = sentenceWords(text).map(({ text: word }) => word);
  const first = parts.findIndex((part) => /[\p{L}\p{N}]/u.test(part));
  const content = new Set<number>();
  let counted = 0;
  const words = parts.flatMap((part, index): GuardedWord[] => {
    const isName = (core: string) =>
      index === first ? beginsWithName(core, parts[index + 1] ?? '', names) : CAPITAL.test(core);
    const word = guardedWord(parts, index, isName);
    // A unit is compared with its number: 40% is 40 percent.
    if (word.kind === 'number' || word.kind === 'unit') counted++;
    else for (const term of word.terms) content.add(term);
    return word.key === '' ? [] : [word];
  });
  const runs = runsOf(text);
  return { words, content, size: content.size + counted, ...(runs && { runs }) };
}

function runsOf(text: string): string[] | undefined {
  const letters = text.match(/\p{L}/gu)?.length ?? 0;
  if ((text.match(SPACELESS)?.length ?? 0) <= letters / 2) return undefined;
  return (
    text
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{N}\p{M}]+/gu) ?? []
  );
}

function guardedWord(parts: readonly string[], at: number, isName: (core: string) => boolean): GuardedWord {
  const [before, part, after] = [parts[at - 1], parts[at]!, parts[at + 1]];
  const goesOn = /[\p{L}\p{N}\p{M}]$/u.test(part) && after !== undefined && /^[\p{L}\p{N}]/u.test(after);
  const core = part.replace(/^[^\p{L}\p{N}\p{M}]+|[^\p{L}\p{N}\p{M}]+$/gu, '');
  const lower = core.normalize('NFC').toLowerCase();
  const all = [...new Set(indexTerms(core).terms)];
  const terms = [...withoutStopTerms(Uint32Array.from(all))];
  const ends = /[,;:)\]–—]["'”’»]*$/.test(part) || /^["'“‘«]*[([–—]/.test(after ?? '');
  const written = { terms, hasCapital: CAPITAL.test(core), at, goesOn, unit: '', form: lower, ends };
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
    return { ...written, kind: 'number', key: signs + (DIGITS.get(lower) ?? digitsOf(core)), unit };
  }
  const key = all.join(' ');
  if (isNegation(core)) return { ...written, kind: 'negation', key: lower };
  // Function words too: of What Jesus Would Buy each is part of a name.
  if (key !== '' && isName(core)) return { ...written, kind: 'name', key };
  const unit = unitOf(part);
  return { ...written, kind: unit === '' ? 'plain' : 'unit', key, unit };
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
 * Whether a generated sentence says what one of the sources says: it must be that source with words left out. All its
 * numbers with their units, dates, names and negations must stand in that one source in the same order, each beside a word
 * that it stands beside there, and so must all of the source's negations in it; so must every other word but articles, and
 * what is left out must be such as can be (`mayGo`). A word of its own may be another quantity, order or direction as well
 * as another word for the same, and nothing here can tell them apart.
 */
function verdictOn(sentence: GuardedSentence, sources: readonly (readonly GuardedSentence[])[]): Verdict {
  const near = sources
    .map((forms, index) => ({ forms, index, share: shareHeld(sentence, forms[0]!) }))
    .sort((a, b) => b.share - a.share || a.index - b.index);
  if (sentence.size < FEWEST) {
    const nearest = near[0] && near[0].share >= NEAR ? { source: near[0].index } : {};
    return { ...nearest, fault: 'it is no whole statement' };
  }
  let first: Verdict | undefined;
  for (const { forms, index, share } of near) {
    if (share < NEAR) break;
    const faults = forms.map((form) => faultOf(sentence, form));
    if (faults.includes(undefined)) return { source: index };
    first ??= { source: index, fault: faults[0]! };
  }
  return first ?? { fault: 'it is in none of its sources' };
}

function shareHeld({ content }: GuardedSentence, source: GuardedSentence): number {
  let held = 0;
  for (const term of content) if (source.content.has(term)) held++;
  return content.size === 0 ? 1 : held / content.size;
}

function faultOf(sentence: GuardedSentence, source: GuardedSentence): string | undefined {
  // What a fact is, or is not, comes before how much of the rest is the source's: it is the better reason.
  for (const kind of ['number', 'name', 'negation'] as const) {
    const fault = factFault(kind, sentence.words, source.words);
    if (fault !== undefined) return fault;
  }
  const share = shareHeld(sentence, source);
  if (share < 1) return `${Math.round(100 * (1 - share))}% of its words are not in its source`;
  return placeFault(sentence.words, source.words) ?? orderFault(sentence, source);
}

const NOT_ITS_WORDS = 'its words are not those of its source in their order';

/** Whether it is its source with words left out that may be. */
function orderFault(sentence: GuardedSentence, source: GuardedSentence): string | undefined {
  if (sentence.runs) return areRunsOf(sentence.runs, source.runs ?? []) ? undefined : NOT_ITS_WORDS;
  const [mine, its] = [ordered(sentence.words), ordered(source.words)];
  /** Where in the source the words so far may end. */
  let ends = [-1];
  for (const word of mine) {
    const next = new Set(
      its.flatMap((other, at) =>
        isSame(word, other) && ends.some((end) => end < at && mayGo(its, end, at)) ? [at] : [],
      ),
    );
    // An `and` for a mark.
    if (ADDITIVE.has(word.form)) for (const end of ends) if (its[end]?.ends) next.add(end);
    if (next.size === 0) return NOT_ITS_WORDS;
    ends = [...next];
  }
  return ends.some((end) => mayGo(its, end, its.length))
    ? undefined
    : 'it leaves out what its source does not hold without';
}

/** Whether these stand in those, each whole or in part, in order. */
function areRunsOf(runs: readonly string[], its: readonly string[]): boolean {
  let at = 0;
  return runs.every((run) => {
    while (at < its.length && !its[at]!.includes(run)) at++;
    return at < its.length;
  });
}

/** Without articles, and without units that are part of their numbers. */
function ordered(words: readonly GuardedWord[]): GuardedWord[] {
  const kept: GuardedWord[] = [];
  for (const word of words) {
    const last = kept.at(-1);
    if (word.kind === 'unit' && last?.kind === 'number' && last.unit === word.unit)
      kept[kept.length - 1] = { ...last, ends: word.ends };
    else if (word.kind !== 'plain' || !ARTICLES.has(word.form)) kept.push(word);
  }
  return kept;
}

/**
 * Whether a source says no more, and nothing else, without the words between two of its places. They may be the end of
 * it, the beginning up to a mark, what stands between marks, all that goes before an `and`, or a few words that begin no
 * clause of their own; and none of them may bound, tie or condition what stays.
 */
function mayGo(its: readonly GuardedWord[], before: number, behind: number): boolean {
  const gone = its.slice(before + 1, behind);
  const last = gone.at(-1);
  if (!last) return true;
  if (gone.some(({ form }) => CONDITIONS.has(form))) return false;
  // George Washington is not George Washington Carver.
  if (before >= 0 && isOneName(its[before]!, gone[0]!) && !(its[behind] && isOneName(last, its[behind])))
    return false;
  if (behind === its.length) return true;
  if (PREPOSITIONS.has(last.form)) return false;
  for (const word of gone.toReversed()) {
    if (word.ends || CONJUNCTIONS.has(word.form)) break;
    if (QUALIFIERS.has(word.form) || wordClass(word.form) === 'modal') return false;
  }
  const isConjunct = CONJUNCTIONS.has(last.form);
  if (before < 0 && (LINKS.has(last.form) || gone.some(({ form }) => ATTRIBUTIONS.has(form)))) return false;
  if (before < 0) return last.ends || isConjunct || gone.length <= LONGEST_MODIFIER;
  if (its[before]!.ends) return last.ends || isConjunct || CONJUNCTIONS.has(its[behind]!.form);
  const begins = gone.some(
    ({ form, ends }, index) =>
      LINKS.has(form) || (index < gone.length - 1 && (ends || CONJUNCTIONS.has(form))),
  );
  if (begins) return false;
  // Before what they modify, or a whole phrase behind it.
  const modify = its[behind]!.terms.length > 0 !== PREPOSITIONS.has(gone[0]!.form);
  return last.ends || isConjunct || (modify && gone.length <= LONGEST_MODIFIER);
}

function isOneName(word: GuardedWord, next: GuardedWord): boolean {
  return word.kind === 'name' && next.kind === 'name' && word.goesOn && next.at === word.at + 1;
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

function isSame(word: GuardedWord, other: GuardedWord): boolean {
  if (word.kind === 'number')
    return other.kind === 'number' && word.key === other.key && word.unit === other.unit;
  if (word.kind === 'negation') return other.kind === 'negation' && word.key === other.key;
  if (word.kind === 'name' && !other.hasCapital) return false;
  return other.kind !== 'number' && other.kind !== 'negation' && word.key === other.key;
}

/** Whether each fact can be found in the source's order, hanging on a word that it hangs on there. */
function placeFault(words: readonly GuardedWord[], source: readonly GuardedWord[]): string | undefined {
  const mine = words.filter(({ kind, terms }) => kind !== 'plain' || terms.length > 0);
  const its = source.filter(({ kind, terms }) => kind !== 'plain' || terms.length > 0);
  let from = 0;
  for (const [index, word] of mine.entries()) {
    if (word.kind === 'plain' || word.kind === 'unit') continue;
    const before = mine[index - 1];
    // Of a name in several words one may be left out, and none put elsewhere.
    const to =
      word.kind === 'name' && before?.kind === 'name' && before.goesOn && before.at + 1 === word.at
        ? from + 2
        : Infinity;
    const at = its.findIndex(
      (other, place) => place >= from && place < to && isSame(word, other) && hangs(mine, index, its, place),
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

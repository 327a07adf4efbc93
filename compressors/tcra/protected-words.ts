import { indexTerms, withoutStopTerms } from '../words.js';
import type { Span } from '../contract.js';
import { wordClass, type WordClass } from './word-classes.js';
import type { SentenceWord } from './sentence-words.js';

/** Why a word is never dropped. */
export type Protection =
  | WordClass
  | 'name'
  | 'quotation'
  /** Code, URLs, addresses, formulas, emoji: whatever is not letters alone. */
  | 'code'
  /** A word of the query. */
  | 'query'
  | 'beside the query'
  /** Without it a mark would stand alone, or a mark that combines would change its letter. */
  | 'punctuation';

/** What is known around a sentence. */
export interface Surroundings {
  /** The query's index terms without its stop words. */
  readonly query: ReadonlySet<number>;
  readonly names: KnownNames;
  /** Stretches of the sentence in quotation marks. */
  readonly quotations: readonly Span[];
  /** Stretches of it that its source marks as code. */
  readonly code: readonly Span[];
}

/** How words are written inside sentences, where a capital is no matter of position. Lower-cased. */
export interface KnownNames {
  readonly capitalised: ReadonlySet<string>;
  readonly lowerCase: ReadonlySet<string>;
}

/** Letters, with apostrophes and hyphens between them. */
const PLAIN = /^[\p{L}\p{M}]+(?:['’‐‑-][\p{L}\p{M}]+)*$/u;
const LATIN = /^[\p{Script=Latin}\p{M}'’‐‑-]+$/u;
const LETTERS = /[\p{L}\p{M}]+(?:['’‐‑-][\p{L}\p{M}]+)*/u;
const COMBINES = /^[\p{M}\u200d\ufe0e\ufe0f\p{EMod}]/u;

/** What a name may hold between its capitalised words: University of Oxford, Ludwig van Beethoven, Ciudad de México. */
const PARTICLES = new Set(
  `of the and for in on at to von vom zu zur der die das dem den des und van ter ten de la le les du d' des et del los las y el da do dos das
   e di della dei al bin ibn ben`.split(/\s+/),
);

/** What says on which side of a number a value lies, or how near: at least 5, bis zu 5, más de 5. */
const BOUNDS = new Set(
  `about around over under above below nearly almost least most than approximately roughly up to until till since before after by between from
   through exceeding more less fewer in on at every each another
   etwa rund circa ungefähr über unter mehr weniger als bis seit vor nach ab mindestens höchstens fast zwischen von im am um
   unos unas cerca más menos de hasta desde antes después entre en hacia casi
   environ presque plus moins que jusqu'à depuis avant après entre dès à en
   circa più meno di fino da dopo prima tra fra quasi
   mais menos até desde antes depois cerca quase
   ongeveer meer minder dan tot sinds voor na bijna tussen
   peste sub mai mult puțin decât până din înainte după între aproape în
   yaklaşık fazla az önce sonra kadar beri
   hơn khoảng gần từ đến trước sau`.split(/\s+/),
);

/** By word, why it stays; undefined for those that may go. */
export function protectedWords(
  words: readonly SentenceWord[],
  { query, names, quotations, code }: Surroundings,
): (Protection | undefined)[] {
  const cores = words.map(({ text }) => LETTERS.exec(text)?.[0] ?? '');
  const kinds = words.map(({ text }, index) => wordClass(/\p{N}/u.test(text) ? text : cores[index]!));
  const asked = words.map(
    ({ text }) => query.size > 0 && indexTerms(text).terms.some((term) => query.has(term)),
  );
  const isName = (index: number) => {
    const core = cores[index];
    return (
      core !== undefined && (index === 0 ? beginsWithName(core, cores[1] ?? '', names) : hasCapital(core))
    );
  };
  return words.map((word, index): Protection | undefined => {
    const core = cores[index]!;
    if (asked[index]) return 'query';
    if (kinds[index] !== undefined) return kinds[index];
    if (code.some((span) => overlap(span, word))) return 'code';
    if (quotations.some((span) => overlap(span, word))) return 'quotation';
    if (isName(index)) return 'name';
    if (!PLAIN.test(word.text)) {
      const bare = word.text.replace(/^[\p{P}\p{S}]+|[\p{P}]+$/gu, '');
      return bare === '' || (PLAIN.test(bare) && LATIN.test(bare)) ? 'punctuation' : 'code';
    }
    if (!LATIN.test(word.text)) return 'code';
    // What is counted, or what a number is said to be.
    if (kinds[index - 1] === 'number') return 'unit';
    if (kinds[index + 1] === 'number' && BOUNDS.has(core.toLowerCase())) return 'number';
    if (PARTICLES.has(core.toLowerCase()) && isInsideName(index, cores, isName)) return 'name';
    if (asked[index - 1] || asked[index + 1]) return 'beside the query';
    const [before, after] = [words[index - 1]?.text, words[index + 1]?.text];
    const leavesMark = (neighbour: string | undefined) =>
      neighbour !== undefined && !/[\p{L}\p{N}]/u.test(neighbour);
    if (leavesMark(before) || leavesMark(after) || COMBINES.test(after ?? '')) return 'punctuation';
    return undefined;
  });
}

/** Every word inside the sentences given, by how it is written. */
export function knownNames(sentences: Iterable<readonly SentenceWord[]>): KnownNames {
  const capitalised = new Set<string>();
  const lowerCase = new Set<string>();
  for (const words of sentences) {
    for (const { text } of words.slice(1)) {
      const core = LETTERS.exec(text)?.[0];
      if (core !== undefined) (hasCapital(core) ? capitalised : lowerCase).add(core.toLowerCase());
    }
  }
  return { capitalised, lowerCase };
}

/** Between two capitalised words there are only particles. */
function isInsideName(index: number, cores: readonly string[], isName: (index: number) => boolean): boolean {
  let [from, to] = [index - 1, index + 1];
  while (from > 0 && PARTICLES.has(cores[from]!)) from--;
  while (to < cores.length && PARTICLES.has(cores[to]!)) to++;
  return from >= 0 && to < cores.length && isName(from) && isName(to);
}

function hasCapital(word: string): boolean {
  return /\p{Lu}|\p{Lt}/u.test(word);
}

/**
 * Every sentence begins with a capital. Its first word is none of a name where it is a function word, or is written
 * small elsewhere, and nowhere with a capital inside a sentence.
 */
export function beginsWithName(core: string, next: string, { capitalised, lowerCase }: KnownNames): boolean {
  if (!hasCapital(core)) return false;
  const lower = core.toLowerCase();
  if (capitalised.has(lower) || hasCapital(core.slice(1))) return true;
  const isFunctionWord = withoutStopTerms(indexTerms(lower).terms).size === 0;
  return !isFunctionWord && (hasCapital(next) || !lowerCase.has(lower));
}

function overlap(span: Span, { start, end }: SentenceWord): boolean {
  return span.start < end && start < span.end;
}

import { isSpace } from './words.js';

const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' });
let wordSegmenter: Intl.Segmenter | undefined;

/** What can end a sentence. A line without any is one. */
const TERMINATOR = /[\p{Sentence_Terminal}…;\u037e\u0085]/u;

/** A sentence longer than this is cut, at the strongest mark or space before it. */
const LONGEST = 1_200;

/** Abbreviations after which a sentence goes on, whatever follows. */
const ALWAYS = wordSet(
  `mr mrs ms messrs mx dr prof rev fr sr sra srta gen col maj capt cmdr lt sgt cpl pvt hon gov sen rep pres supt
   v vs viz cf ca approx dept est e.g i.e eg ie resp incl excl tel ext a.k.a
   inkl bzw z.b u.a d.h ggf vgl sog hr frau dipl ing abs
   mm mme mmes mlle mlles av bd p.ej ee ud uds dña sig sigg dott np tzw tj t.ex bl.a
   ул им см проф акад डॉ श्री प्रो`,
);

/** Abbreviations after which it goes on where a number follows. */
const BEFORE_NUMBER = wordSet(
  `no nos nr núm fig figs eq eqs sec secs sect ch chap vol vols art pp pg para ref refs tab app ver op pt ser ed fl cir
   jan feb mar apr jun jul aug sep sept oct nov dec janv févr avr juil déc max min bl abb kap aufl str
   cap caps pág págs рис табл стр гл`,
);

/** Abbreviations that end a sentence as often as not: it goes on unless a word follows that starts sentences. */
const EITHER = wordSet(
  `inc ltd co corp llc plc bros jr esq ph.d b.sc m.sc etc usw al st mt ft ave blvd rd max min
   jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun n.chr v.chr chr uu гг`,
);

/** Words that open a sentence far more often than they continue a name. */
const STARTERS = wordSet(
  `the a an this that these those it its he she they we i you his her their our in on at by for from with as if when while
   after before since because although though however but and or so then there here what who why how where which one some
   many most all no not yes during under over into according also both each every
   der die das ein eine er sie es wir ich im am auf mit nach wenn als aber und doch auch
   le la les un une il elle ils elles nous ce cette ces en dans pour mais et puis
   el los las una él ella con para pero y luego después
   он она оно они это в на но и а как когда после для с по за из к у мы вы я его её их там тут так потом затем эта этот эти`,
);

function wordSet(words: string): ReadonlySet<string> {
  return new Set(words.split(/\s+/));
}

/**
 * Sentences of a text by UAX 29 (Intl.Segmenter), repaired where its rules know no abbreviations, initials,
 * enumerations, quotations and footnote marks. A line break ends whatever stands before it: headings, verses, lines of
 * a list. A sentence of more than 1,200 code units, such as Thai without spaces, is cut between words.
 * @returns pairs of start and end (UTF-16 offsets), ascending, without surrounding white space; together they hold
 * all that is not white space
 */
export function splitSentences(text: string): Int32Array {
  const bounds: number[] = [];
  for (const { 0: line, index } of text.matchAll(/[^\n\r\u2028\u2029]+/g)) {
    let start = afterSpace(line, 0, line.length);
    if (TERMINATOR.test(line)) {
      for (const at of breaks(line)) {
        if (at <= start || continues(line, start, at)) continue;
        pushPieces(line, start, at, index, bounds);
        start = afterSpace(line, at, line.length);
      }
    }
    pushPieces(line, start, line.length, index, bounds);
  }
  return Int32Array.from(bounds);
}

/** Length of the stretches given to the segmenter: each of its steps costs time in proportion to its input. */
const WINDOW = 1_024;

/** What UAX 29 has to see to know whether a sentence goes on in lower case (SB8). */
const SETTLED = /[\p{L}\p{Sentence_Terminal}]/u;

/** Where a sentence may end: where UAX 29 breaks, and where it has no rule that would. */
function* breaks(line: string): Generator<number> {
  let window = WINDOW;
  for (let start = 0; start < line.length;) {
    const isLast = start + window >= line.length;
    const segments = [...segmenter.segment(line.slice(start, start + window))];
    // The last sentence of a stretch may go on: the next stretch begins with it.
    let open = segments.length - 1;
    if (open > 0 && !SETTLED.test(segments[open]!.segment)) open--;
    const whole = isLast ? segments : segments.slice(0, open);
    for (const { index, segment } of whole) {
      if (start + index > 0) yield afterClosing(line, beforeOpening(line, start + index));
      for (const inner of unseenBreaks(segment)) yield start + index + inner;
    }
    if (isLast) return;
    start += segments[open]!.index;
    window = open === 0 ? window * 2 : WINDOW;
  }
}

const UNSEEN =
  /([.!?…;\u037e])[\p{Pe}\p{Pf}"']*\s+(?=\p{Sc}?\p{Nd}|(?:[—–]\s?)?[\p{Ps}\p{Pi}"'¿¡]*\p{Lu}|\(\p{Ll}\))/gu;

/** "… in 1987. 10 episodes were": a number before lower case. "Well… The rest": an ellipsis. "… — Да": speech. Greek questions. */
function* unseenBreaks(sentence: string): Generator<number> {
  for (const { 0: mark, 1: terminator, index } of sentence.matchAll(UNSEEN)) {
    const isQuestion = /[;\u037e]/.test(terminator!);
    if (isQuestion ? GREEK.test(sentence[index - 1] ?? '') : index > 0) yield index + mark.length;
  }
}

const GREEK = /\p{Script=Greek}/u;

/** UAX 29 counts an opening bracket after a full stop to the sentence that ends; it belongs to the next. */
function beforeOpening(text: string, index: number): number {
  let at = index;
  while (at > 0 && /[\p{Ps}\p{Pi}]/u.test(text[at - 1]!) && !isSpace(text.charCodeAt(index))) at--;
  return at;
}

const CLOSING =
  /(?:(?:\[[^\][\n]{1,24}\])+|(?:\p{Extended_Pictographic}[\u200d\p{M}\p{EMod}]*)+)\s*(?![\p{M}\u200d])/uy;
const SPACED_CLOSING = /(?:[»›”’″)\]](?=\s|$)\s*)+(?![\p{M}\u200d])/uy;

/** Footnote marks and emoji right after the terminator, and quotes set off by a space ("« Viens ! »"), belong to it. */
function afterClosing(text: string, index: number): number {
  const closing = index > 0 && isSpace(text.charCodeAt(index - 1)) ? SPACED_CLOSING : CLOSING;
  closing.lastIndex = index;
  return closing.test(text) ? closing.lastIndex : index;
}

/** Whether the sentence from `start`, which is no white space, goes on at `index`, where it may end. */
function continues(text: string, start: number, index: number): boolean {
  const end = beforeSpace(text, start, index);
  const following = text.slice(index, index + 40);
  const next = /^[\p{P}\s]*([\p{L}\p{N}\p{M}]{1,20})/u.exec(following)?.[1] ?? '';
  // Nothing but closing marks and quotes is left, or the sentence goes on in lower case: "Really?" she said.
  if (next === '') return !/[\p{L}\p{N}]/u.test(following);
  if (/^\p{Ll}/u.test(next) && !/^\(\p{Ll}\)/u.test(following)) return true;
  const last = text[end - 1]!;
  // report2.PDF, ?Q=1: no sentence of a script with spaces ends without one.
  if (end === index && /[.!?]/.test(last) && /^[\p{L}\p{N}]/u.test(following) && !SPACELESS.test(next))
    return true;
  // Japanese quotes what is said and goes on: 「…。」と聞いた。
  if (/[」』]/.test(last) && /^(?:と|って)/.test(next)) return true;
  // A year in brackets goes with the title or the name before it.
  if (/^\(\d{4}\b/.test(following)) return true;
  return last === '.' && abbreviates(text, start, end - 1, next, following);
}

const SPACELESS =
  /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;

function abbreviates(text: string, start: number, dot: number, next: string, following: string): boolean {
  let from = dot;
  while (from > start && dot - from < 12 && /[\p{L}\p{M}\p{N}.]/u.test(text[from - 1]!)) from--;
  const word = text.slice(from, dot);
  const lower = word.toLowerCase();
  // Enumerations, alone on their line
  if (from === start && /^(?:\d{1,3}|[a-z]|[ivx]{1,5})$/i.test(word)) return true;
  if (ALWAYS.has(lower)) return true;
  if (/^\p{N}/u.test(next)) {
    // No. 5, Hauptstr. 5, and what looks like an abbreviation: Rom. 8
    if (BEFORE_NUMBER.has(lower) || /^\p{Lu}\p{Ll}{1,3}$|str$/u.test(word)) return true;
  } else if (BEFORE_NUMBER.has(lower) && /^[IVXLC]{2,}$/.test(next)) return true;
  // Ordinals in German and its neighbours: am 3. Mai, in der 2. Liga, 1. 1. 1900
  if (/^\d{1,2}$/.test(word)) {
    const before = text.slice(Math.max(start, from - 8), from);
    if (MONTHS.has(next.toLowerCase()) || BEFORE_ORDINAL.test(before)) return true;
    if (/^\d{1,2}\. ?\d/.test(following) || (/\d\. ?$/.test(before) && /^\d/.test(next))) return true;
  }
  // A time of day ends a sentence unless a time zone or a title follows: 8 p.m. ET
  if (/^(?:[ap]\.m|[πμ]\.μ)$/.test(lower))
    return /^(?:\p{N}|\p{Lu}{2})/u.test(next) || ALWAYS.has(next.toLowerCase());
  // J. K. Rowling, the U.S. Senate, z. B.; but Vitamin C. The
  const isInitial =
    /^(?:\p{L}\p{M}*\.)*\p{L}\p{M}*$/u.test(word) &&
    !SYLLABLE.test(word) &&
    (from === start || /[\s\p{Ps}\p{Pi}"-]/u.test(text[from - 1]!));
  if (!isInitial && !EITHER.has(lower)) return false;
  // A. A. Milne: what looks like the article is an initial.
  return !STARTERS.has(next.toLowerCase()) || /^\p{Lu}[.\p{Lu}]/u.test(following);
}

/** One letter that is a word: 왜. */
const SYLLABLE = /[\p{Script=Hangul}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u;

const BEFORE_ORDINAL = /(?:^|\s)(?:der|die|das|dem|den|des|vom|zum|zur|beim)\s$/i;

const MONTHS = wordSet(
  `januar februar märz april mai juni juli august september oktober november dezember jänner jahrhundert
   marts maj oktober desember tammikuu helmikuu`,
);

/** Adds a sentence that begins with no white space, in pieces where it is too long. */
function pushPieces(line: string, start: number, end: number, offset: number, bounds: number[]): void {
  while (start < end) {
    end = beforeSpace(line, start, end);
    const cut = end - start > LONGEST ? strongestCut(line, start, end) : end;
    bounds.push(offset + start, offset + beforeSpace(line, start, cut));
    start = afterSpace(line, cut, end);
  }
}

const MARK = /[\p{M}\u200d]/uy;

/** Past white space, but for a space that bears a mark: it is one character with it. */
function afterSpace(text: string, start: number, end: number): number {
  let at = start;
  for (; at < end && isSpace(text.charCodeAt(at)); at++) {
    MARK.lastIndex = at + 1;
    if (MARK.test(text)) break;
  }
  return at;
}

function beforeSpace(text: string, start: number, end: number): number {
  let at = end;
  while (at > start && isSpace(text.charCodeAt(at - 1))) at--;
  return at;
}

/** What a sentence that is too long is cut after, the strongest first. */
const CUTS = [/[.!?]\s/, /[;؛]\s|；/, /[,،]\s|[，、]/, /\s/].map(
  ({ source }) => new RegExp(`(?:${source})(?![\\p{M}\\u200d])`, 'uy'),
);

/** Within the second half of the longest stretch: after a mark or space, else between two words; past it for a longer word. */
function strongestCut(text: string, start: number, end: number): number {
  const longest = start + LONGEST;
  for (const mark of CUTS) {
    for (let at = longest - 1; at > start + LONGEST / 2; at--) {
      mark.lastIndex = at;
      if (mark.test(text)) return mark.lastIndex;
    }
  }
  wordSegmenter ??= new Intl.Segmenter('th', { granularity: 'word' });
  // What follows decides where dictionary words end.
  const word = wordSegmenter.segment(text.slice(start, longest + 200)).containing(LONGEST)!.index;
  if (word > LONGEST / 2) return start + word;
  let space = longest;
  while (space < end && !isSpace(text.charCodeAt(space))) space++;
  return space;
}

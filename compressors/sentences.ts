import { isSpace } from './page.js';

const segmenter = new Intl.Segmenter('en', { granularity: 'sentence' });

/** What can end a sentence, or a line. Text without any is one sentence. */
const TERMINATOR =
  /[.!?…\n\u2029\u0589\u061f\u06d4\u0700-\u0702\u0964\u0965\u104b\u1362\u1367\u1803\u3002\uff01\uff0e\uff1f\uff61]/;

/** A text without sentence marks is cut where it is longer than this, at the strongest mark or space before it. */
const LONGEST = 1_200;

/** Abbreviations after which a sentence goes on, whatever follows. */
const ALWAYS = new Set(
  `mr mrs ms messrs mx dr prof rev fr sr sra srta st mt ft gen col maj capt cmdr lt sgt cpl hon gov sen rep pres supt
   vs viz cf al ca approx dept est e.g i.e eg ie resp incl excl tel
   bzw z.b u.a d.h ggf vgl sog hr frau dipl ing str abs
   m mm mme mmes mlle mlles av bd p.ej ud uds dña d dª
   г гг ул им т`.split(/\s+/),
);

/** Abbreviations after which it goes on where a number follows. */
const BEFORE_NUMBER = new Set(
  `no nos nr núm fig figs eq eqs sec secs ch chap vol vols art pp p pg para ref refs tab app ver v
   jan feb mar apr jun jul aug sep sept oct nov dec c s bl t`.split(/\s+/),
);

/** Abbreviations that end a sentence as often as not: it goes on unless a word follows that starts sentences. */
const EITHER = new Set(
  `u.s u.k u.n e.u u.s.a d.c a.m p.m inc ltd co corp llc plc bros jr esq ph.d m.d b.a m.a b.sc m.sc etc usw u.s.w
   ave blvd rd jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun
   т.д т.п n.chr v.chr`.split(/\s+/),
);

/** Words that open a sentence far more often than they continue a name. */
const STARTERS = new Set(
  `the a an this that these those it its he she they we i you his her their our in on at by for from with as if when while
   after before since because although though however but and or so then there here what who why how where which one some
   many most all no not yes during under over into according also both each every
   der die das ein eine er sie es wir ich im in am auf mit nach wenn als aber und doch auch
   le la les un une il elle ils elles on nous ce cette ces en dans pour mais et
   el los las una él ella en con para pero y`.split(/\s+/),
);

/**
 * Sentences of a text by UAX 29 (Intl.Segmenter), repaired where its rules know no abbreviations, initials,
 * enumerations and quotations. Thai and other text without sentence marks stays whole up to 1,200 code units.
 * @returns pairs of start and end (UTF-16 offsets), ascending, without surrounding white space; together they hold
 * all that is not white space
 */
export function splitSentences(text: string): Int32Array {
  const bounds: number[] = [];
  if (!TERMINATOR.test(text)) pushTrimmed(text, 0, text.length, bounds);
  else {
    let start = 0;
    for (const index of breaks(text)) {
      if (continues(text, start, index)) continue;
      pushTrimmed(text, start, index, bounds);
      start = index;
    }
    pushTrimmed(text, start, text.length, bounds);
  }
  return Int32Array.from(bounds);
}

/** Length of the stretches given to the segmenter: each of its steps costs time in proportion to its input. */
const WINDOW = 4_096;

/** Where UAX 29 breaks sentences, the ends of the text excluded. */
function* breaks(text: string): Generator<number> {
  let window = WINDOW;
  for (let start = 0; ;) {
    const stretch = text.slice(start, start + window);
    let last = 0;
    for (const { index } of segmenter.segment(stretch)) {
      if (index > 0) yield start + beforeOpening(stretch, index);
      last = index;
    }
    if (start + window >= text.length) return;
    // The last sentence of a stretch may go on: the next stretch begins with it.
    window = last === 0 ? window * 2 : WINDOW;
    start += last;
  }
}

/** UAX 29 counts an opening bracket after a full stop to the sentence that ends; it belongs to the next. */
function beforeOpening(text: string, index: number): number {
  let at = index;
  while (at > 0 && /[\p{Ps}\p{Pi}]/u.test(text[at - 1]!) && !isSpace(text.charCodeAt(index))) at--;
  return at;
}

/** Whether the sentence from `start` goes on at `index`, where UAX 29 would end it. */
function continues(text: string, start: number, index: number): boolean {
  let end = index;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  if (end === start) return true;
  // A line break ends whatever stands before it: headings, verses, lines of a list.
  if (text.slice(end, index).includes('\n')) return false;
  const next = nextWord(text, index);
  // Nothing but closing marks and quotes is left, or the sentence goes on in lower case: "Really?" she said.
  if (next === '') return !/[\p{L}\p{N}]/u.test(text.slice(index, index + 40));
  if (/^\p{Ll}/u.test(next)) return true;
  // Japanese quotes what is said and goes on: 「…。」と聞いた。
  if (/[」』]/.test(text[end - 1]!) && /^(?:と|って)/.test(next)) return true;
  if (text[end - 1] !== '.') return false;
  return abbreviates(text, start, end - 1, next);
}

function abbreviates(text: string, start: number, dot: number, next: string): boolean {
  let from = dot;
  while (from > start && dot - from < 12 && /[\p{L}\p{N}.]/u.test(text[from - 1]!)) from--;
  const word = text.slice(from, dot);
  const lower = word.toLowerCase();
  // 1. Enumerations, alone on their line
  if (from === start && /^(?:\d{1,3}|[a-z]|[ivx]{1,5})$/i.test(word)) return true;
  const opensSentence = STARTERS.has(next.toLowerCase());
  // J. K. Rowling; but Vitamin C. The
  if (/^\p{Lu}$/u.test(word) || /^(?:\p{Lu}\.)+\p{Lu}$/u.test(word)) return !opensSentence;
  if (ALWAYS.has(lower)) return true;
  if (BEFORE_NUMBER.has(lower) && /^\p{N}/u.test(next)) return true;
  // Ordinals in German and its neighbours: am 3. Mai
  if (/^\d{1,2}$/.test(word) && MONTHS.has(next.toLowerCase())) return true;
  return EITHER.has(lower) && !opensSentence;
}

const MONTHS = new Set(
  `januar februar märz april mai juni juli august september oktober november dezember jänner jahrhundert
   marts maj oktober desember tammikuu helmikuu`.split(/\s+/),
);

function nextWord(text: string, index: number): string {
  return /^[\p{P}\s]*([\p{L}\p{N}\p{M}]{1,20})/u.exec(text.slice(index, index + 40))?.[1] ?? '';
}

function pushTrimmed(text: string, start: number, end: number, bounds: number[]): void {
  while (start < end && isSpace(text.charCodeAt(start))) start++;
  while (end > start && isSpace(text.charCodeAt(end - 1))) end--;
  while (end - start > LONGEST) {
    const cut = strongestCut(text, start, start + LONGEST);
    if (cut < 0) break;
    let left = cut;
    while (left > start && isSpace(text.charCodeAt(left - 1))) left--;
    bounds.push(start, left);
    start = cut;
    while (start < end && isSpace(text.charCodeAt(start))) start++;
  }
  if (start < end) bounds.push(start, end);
}

/** After the last line break, else semicolon, else comma, else space in the second half of the stretch; -1 for none. */
function strongestCut(text: string, start: number, end: number): number {
  const half = start + (end - start) / 2;
  for (const mark of [/\n/, /[;；；؛]/, /[,，、،]\s|[，、]/, /\s/]) {
    for (let at = end - 1; at > half; at--) {
      if (mark.test(text.slice(at, at + 2)) && !/\s/.test(text[at - 1]!)) return at + 1;
    }
  }
  return -1;
}

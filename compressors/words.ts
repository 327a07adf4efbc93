/** Hashed index terms of a text, in order, and where each begins in it (UTF-16 offset). */
export interface IndexTerms {
  readonly terms: Uint32Array;
  readonly at: Int32Array;
}

// Kinds of code units for the scan below.
const OTHER = 0;
const ASCII_LETTER = 1;
const DIGIT = 2;
/** Letters and marks outside ASCII, in scripts that set words apart. */
const LETTER = 3;
/** Han, kana and hangul: overlapping pairs, as in Lucene's CJKBigramFilter. */
const CJK = 4;
/** Thai, Lao, Khmer, Burmese: words that only a dictionary finds. */
const SPACELESS = 5;

const KINDS = new Uint8Array(0x10000);
{
  const word = /[\p{L}\p{N}\p{M}]/u;
  const cjk = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u30fc]/u;
  const spaceless = /[\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
  for (let code = 0; code < 0x10000; code++) {
    if (code < 128) {
      if ((code >= 65 && code <= 90) || (code >= 97 && code <= 122)) KINDS[code] = ASCII_LETTER;
      else if (code >= 48 && code <= 57) KINDS[code] = DIGIT;
      continue;
    }
    const character = String.fromCharCode(code);
    // Halves of pairs: mathematical and historic letters, rare Han. Taken as letters of one word.
    if (code >= 0xd800 && code <= 0xdfff) KINDS[code] = LETTER;
    else if (!word.test(character)) continue;
    else if (cjk.test(character)) KINDS[code] = CJK;
    else if (spaceless.test(character)) KINDS[code] = SPACELESS;
    else KINDS[code] = LETTER;
  }
}

/** Whether a code unit belongs to a word. */
export function isWordCode(code: number): boolean {
  return KINDS[code] !== OTHER;
}

/** Whether a code unit is of a script that sets no spaces between words. */
export function isSpaceless(code: number): boolean {
  return KINDS[code]! >= CJK;
}

const UNSPACED = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\u3000-\u303f\uff00-\uffef]/u;

/** Whether a space belongs between two characters where a text is put together from lines or parts. */
export function isSpaced(before: string, after: string): boolean {
  return !UNSPACED.test(before) || !UNSPACED.test(after);
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

/** Longer words are cut into several terms: they are data, not language. */
const MAX_WORD = 64;

let segmenter: Intl.Segmenter | undefined;

/**
 * Index terms: case, diacritics, compatibility forms and English plurals folded; numbers whole (1,234.5); hyphenated
 * words by their parts; Chinese, Japanese and Korean in overlapping pairs; Thai, Lao, Khmer and Burmese by ICU's
 * dictionaries. Linear in the length of the text.
 */
export function indexTerms(text: string): IndexTerms {
  const terms: number[] = [];
  const at: number[] = [];
  const length = text.length;
  let i = 0;
  while (i < length) {
    const kind = KINDS[text.charCodeAt(i)]!;
    if (kind === OTHER) {
      i++;
    } else if (kind === CJK) {
      const start = i;
      while (i < length && KINDS[text.charCodeAt(i)] === CJK) i++;
      pushPairs(text, start, i, terms, at);
    } else if (kind === SPACELESS) {
      const start = i;
      while (i < length && KINDS[text.charCodeAt(i)] === SPACELESS && i - start < 1_024) i++;
      segmenter ??= new Intl.Segmenter('th', { granularity: 'word' });
      for (const { segment, index } of segmenter.segment(text.slice(start, i))) {
        terms.push(hashTerm(segment));
        at.push(start + index);
      }
    } else {
      const start = i;
      i = wordEnd(text, i);
      terms.push(wordTerm(text, start, i));
      at.push(start);
    }
  }
  return { terms: Uint32Array.from(terms), at: Int32Array.from(at) };
}

/** The terms of a query without its stop words, each once; all of them where nothing else is left. */
export function queryTerms(query: string): Uint32Array {
  return Uint32Array.from(tellingTerms(indexTerms(query).terms));
}

/** The distinct terms that are no stop words; all of them where nothing else is left. */
export function tellingTerms(terms: Uint32Array): Set<number> {
  const telling = withoutStopTerms(terms);
  return telling.size > 0 ? telling : new Set(terms);
}

/** The distinct terms that are no stop words. */
export function withoutStopTerms(terms: Uint32Array): Set<number> {
  const telling = new Set<number>();
  for (const term of terms) if (!stopTerms().has(term)) telling.add(term);
  return telling;
}

export function joinTerms(parts: readonly Uint32Array[]): Uint32Array {
  const whole = new Uint32Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function wordEnd(text: string, start: number): number {
  const limit = Math.min(text.length, start + MAX_WORD);
  let i = start;
  for (;;) {
    const kind = KINDS[i < limit ? text.charCodeAt(i) : 0]!;
    if (kind === ASCII_LETTER || kind === DIGIT || kind === LETTER) {
      i++;
      continue;
    }
    // 1,234.5 and 3.75: a mark between two digits belongs to the number.
    const code = i < limit ? text.charCodeAt(i) : 0;
    const inNumber =
      (code === 44 || code === 46) &&
      KINDS[text.charCodeAt(i - 1)] === DIGIT &&
      i + 1 < limit &&
      KINDS[text.charCodeAt(i + 1)] === DIGIT;
    if (!inNumber) return i;
    i++;
  }
}

function wordTerm(text: string, start: number, end: number): number {
  let hash = FNV_OFFSET;
  let plain = true;
  let digits = true;
  for (let i = start; i < end; i++) {
    let code = text.charCodeAt(i);
    if (code > 127) {
      plain = false;
      break;
    }
    if (code >= 65) {
      code |= 32;
      digits = false;
    } else if (code === 44) continue;
    hash = Math.imul(hash ^ code, FNV_PRIME);
  }
  if (!plain) return hashTerm(text.slice(start, end));
  const last = text.charCodeAt(end - 1) | 32;
  if (digits || end - start < 4 || last !== 115) return hash >>> 0;
  return hashTerm(singular(text.slice(start, end).toLowerCase()));
}

/** English plurals, Harman's S-stemmer (1991): ies → y, es → e, s → nothing, with its exceptions. */
function singular(word: string): string {
  if (!word.endsWith('s') || word.length < 4) return word;
  if (word.endsWith('ies')) return /[ae]ies$/.test(word) ? word : `${word.slice(0, -3)}y`;
  if (word.endsWith('es')) return /[aeo]es$/.test(word) ? word : word.slice(0, -1);
  return /[us]s$/.test(word) ? word : word.slice(0, -1);
}

function pushPairs(text: string, start: number, end: number, terms: number[], at: number[]): void {
  if (end - start === 1) {
    terms.push(hashTerm(text.slice(start, end)));
    at.push(start);
    return;
  }
  for (let i = start; i + 1 < end; i++) {
    terms.push(hashTerm(text.slice(i, i + 2)));
    at.push(i);
  }
}

function hashTerm(word: string): number {
  const folded = foldWord(word);
  let hash = FNV_OFFSET;
  for (let i = 0; i < folded.length; i++) hash = Math.imul(hash ^ folded.charCodeAt(i), FNV_PRIME);
  return hash >>> 0;
}

/**
 * Latin, Greek, Cyrillic and Arabic marks are dropped, and Arabic letter forms unified (as Lucene's
 * ArabicNormalizer does); the vowel signs of Indic scripts are letters and stay.
 */
export function foldWord(word: string): string {
  let ascii = true;
  for (let i = 0; i < word.length && ascii; i++) ascii = word.charCodeAt(i) < 128;
  if (ascii) return word.toLowerCase();
  return word
    .normalize('NFKD')
    .replace(/[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u0640\u064b-\u065f\u0670\u06d6-\u06ed]/g, '')
    .toLowerCase()
    .normalize('NFC')
    .replace(/ß/g, 'ss')
    .replace(/\u0649/g, '\u064a')
    .replace(/\u0629/g, '\u0647');
}

/**
 * Function words and question words: what a query is asked with, not what it asks for. Of other languages than English
 * only those that mean nothing in English: not mit, son, ai.
 */
const STOP_WORDS = `
a about after all also am an and any are as at be been before being between but by can could did do does doing done during each for from
further had has have having he her here hers him his how i if in into is it its just me more most my no nor not now of off on
once only or other our out over own same she should so some such t s than that the their them then there these they this those
through to too under until up upon was we were what when where which while who whom whose why will with would you your
please many much
der das den dem des ein eine einer eines einem einen und oder aber ist sind waren wird werden wurde wurden haben hatte im an auf aus bei
nach von vor zu zum zur für über unter um durch als auch nicht nur noch wie was wer wo wann warum welche welcher welches wieviel viel viele es er sie wir ihr kann
le la les un une des du de d l et ou mais est sont était au aux en dans avec sans sous que qui quoi quel quelle quels quelles où quand pourquoi combien
ce cette ces il elle ils elles on se sa ses ne pas plus
el los las una unos unas del y o pero es fue por para con sin sobre entre que qué quien quién cual cuál cuándo cuando dónde donde cómo como cuánto cuántos
se su sus lo al más
il lo gli i uno delle della dei di da e ma è sono nel nella con su tra che chi quale quando perché quanto
uma da das na nos nas em ao que qual quem onde como porque
и в во на с со к по из за от о об у не но а или что кто где когда как какой какая какие сколько это был была были для при
και το τα η ο οι του της των σε με για από που τι πως ποιος πότε
ve bir bu ne için ile mi mı nerede nasıl hangi kaç
là của và có các một những được trong cho với khi gì nào đâu nhiêu
في من على إلى عن ما ماذا متى أين كيف هل هو هي كم أي التي الذي هذا هذه و
क्या है हैं का की के में से को ने पर और कब कहाँ कौन कैसे कितने कितना था थी थे
何 です ます した する いつ どこ 誰 なに どの ある いる とは
什么 哪 哪里 谁 何时 怎么 多少 的 了 是 在 吗 几
อะไร ที่ไหน เมื่อไร เมื่อไหร่ ใคร อย่างไร เท่าไร กี่ ที่ และ ของ ใน เป็น คือ มี ได้ การ
`;

let stops: ReadonlySet<number> | undefined;

function stopTerms(): ReadonlySet<number> {
  stops ??= new Set(indexTerms(STOP_WORDS).terms);
  return stops;
}

/** ECMAScript white space, and the zero-width space that pages use to break lines. */
export function isSpace(code: number): boolean {
  if (code <= 32) return code === 32 || (code >= 9 && code <= 13);
  if (code < 0xa0) return false;
  return (
    code === 0xa0 ||
    code === 0x1680 ||
    (code >= 0x2000 && code <= 0x200b) ||
    code === 0x2028 ||
    code === 0x2029 ||
    code === 0x202f ||
    code === 0x205f ||
    code === 0x3000 ||
    code === 0xfeff
  );
}

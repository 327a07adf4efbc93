import { foldWord, isSpaceless, isWordCode } from '../words.js';

/** Stands for everything between two words, and at both ends of a text. */
export const SEPARATOR = 32;

/** How many stand in a row: where a word begins or ends tells as much as so many letters. */
export const SEPARATORS = 3;

/** How often a character of a script without spaces stands in a row: it tells as much as so many letters. */
const SPACELESS = 4;

/** Most symbols that one code unit becomes. */
const MOST = 4;

/** Code units read at a time: an array is read faster than a string. */
export const WINDOW = 4_096;
const UNITS = new Uint16Array(WINDOW);
const BYTES = Buffer.from(UNITS.buffer);

// By code unit: its symbol, how often it stands in a row, and whether it separates; or one of the three below.
const FOLDS = new Int32Array(0x10000);
const REPEAT_SHIFT = 16;
const SEPARATES_SHIFT = 20;
const UNKNOWN = 0;
const PASSED_OVER = -1;
const SEVERAL = -2;

/**
 * A text as symbols to compare it by, between separators: its letters and digits, folded as index terms are, and the
 * same separators whatever stands between two words.
 */
export class FoldedText {
  /** Valid up to `length`. */
  symbols = new Uint16Array(64);
  length = 0;

  constructor() {
    this.clear();
  }

  /** Begins anew, with separators. */
  clear(): void {
    this.symbols.fill(SEPARATOR, 0, SEPARATORS);
    this.length = SEPARATORS;
  }

  append(text: string): void {
    for (let start = 0; start < text.length; start += WINDOW) {
      const window = text.length <= WINDOW ? text : text.slice(start, start + WINDOW);
      this.#reserve(MOST * window.length + SEPARATORS);
      this.#appendUnits(BYTES.write(window, 0, 'utf16le') / 2);
    }
  }

  /** Ends with separators, with room for them kept by `append`. */
  end(): void {
    if (this.symbols[this.length - 1] === SEPARATOR) return;
    this.symbols.fill(SEPARATOR, this.length, this.length + SEPARATORS);
    this.length += SEPARATORS;
  }

  /** Forgets all but the last symbols. */
  keepLast(count: number): void {
    this.symbols.copyWithin(0, this.length - count, this.length);
    this.length = count;
  }

  #reserve(more: number): void {
    if (this.length + more <= this.symbols.length) return;
    const larger = new Uint16Array(Math.max(2 * this.symbols.length, this.length + more));
    larger.set(this.symbols.subarray(0, this.length));
    this.symbols = larger;
  }

  // Every code unit is written MOST times, and the length goes on by as many as count: words and spaces in turn would
  // make the processor guess branches wrongly. What needs a call is left to the outer loop, for it slows the inner one.
  #appendUnits(count: number): void {
    const symbols = this.symbols;
    let length = this.length;
    for (let at = 0; at < count; at++) {
      let separated = symbols[length - 1] === SEPARATOR ? 1 : 0;
      for (; at < count; at++) {
        const fold = FOLDS[UNITS[at]!]!;
        if (fold <= 0) break;
        symbols[length] = fold;
        symbols[length + 1] = fold;
        symbols[length + 2] = fold;
        symbols[length + 3] = fold;
        const separates = fold >>> SEPARATES_SHIFT;
        length += (fold >>> REPEAT_SHIFT) & 7 & ((separates & separated) - 1);
        separated = separates;
      }
      if (at < count) length = appendSpecial(UNITS[at]!, symbols, length);
    }
    this.length = length;
  }
}

/** Appends a code unit not seen before, or one that becomes none or several symbols. Returns the length. */
function appendSpecial(code: number, symbols: Uint16Array, length: number): number {
  if (FOLDS[code] === UNKNOWN) FOLDS[code] = foldOf(code);
  const fold = FOLDS[code]!;
  if (fold === PASSED_OVER) return length;
  if (fold === SEVERAL) {
    for (const symbol of foldedUnits(code)) symbols[length++] = symbol;
    return length;
  }
  if (fold >>> SEPARATES_SHIFT === 1 && symbols[length - 1] === SEPARATOR) return length;
  const end = length + ((fold >>> REPEAT_SHIFT) & 7);
  symbols.fill(fold, length, end);
  return end;
}

function foldOf(code: number): number {
  const units = foldedUnits(code);
  if (isWordCode(code) && units.length === 0) return PASSED_OVER;
  if (units.length > 1) return SEVERAL;
  const symbol = units[0] ?? SEPARATOR;
  if (symbol === SEPARATOR) return SEPARATOR | (SEPARATORS << REPEAT_SHIFT) | (1 << SEPARATES_SHIFT);
  return symbol | ((isSpaceless(symbol) ? SPACELESS : 1) << REPEAT_SHIFT);
}

/** What a letter or digit becomes: nothing for an accent that index terms leave out, or for what is no part of a word. */
function foldedUnits(code: number): number[] {
  if (!isWordCode(code)) return [];
  return Array.from(foldWord(String.fromCharCode(code)), (character) => character.charCodeAt(0))
    .filter(isWordCode)
    .slice(0, MOST);
}

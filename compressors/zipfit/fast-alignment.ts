import { indexTerms, isSpaceless, tellingTerms } from '../words.js';
import type { Alignment } from './alignment.js';
import { foldCode, foldText, SEPARATOR } from './fold.js';
import { ROOT, SuffixAutomaton } from './suffix-automaton.js';

/** Shorter matches say nothing: about a word of three letters with a space on each side. */
const SHORTEST_MATCH = 5;
/** Characters of scripts without spaces carry a word in two. */
const SPACELESS_WEIGHT = 2.5;
/** Matches longer than this are told apart no more. */
const LONGEST_CLASS = 15;
const CLASSES = LONGEST_CLASS + 1;
/** How much a candidate's length counts against it, as in Okapi BM25. */
const LENGTH_WEIGHT = 0.75;

const ASCII = 128;
/** The symbol of every character that the target does not have. */
const UNKNOWN = 0;
/** Of accents that follow their letter. */
const PASSED_OVER = 1;

// A run of symbols as one number: the low bits of each, exact for alphabets of up to 63.
const GRAM_BITS = 6;
const GRAM_SLOT_BITS = 12;
const TELLING = 1;
const WORTHLESS = 2;
/** One less than a power of two, and no less than the longest class of matches. */
const RECENT_MASK = 15;

// Candidates are read by windows of code units: an array is read twice as fast as a string.
const WINDOW = 4_096;
const WINDOW_UNITS = new Uint16Array(WINDOW);
const WINDOW_BYTES = Buffer.from(WINDOW_UNITS.buffer);

function gramMask(symbols: number): number {
  return 2 ** (GRAM_BITS * symbols) - 1;
}

function gramSlot(gram: number): number {
  return Math.imul(gram, 0x9e3779b1) >>> (32 - GRAM_SLOT_BITS);
}

/**
 * The target is read once, into a suffix automaton; each candidate is read once along it, and what is asked is how
 * much of the target the candidate explains: a compressor primed with it would code those stretches as matches. A
 * stretch counts by how few of the candidates explain it as well (the bits that it saves over one primed with any
 * of them), telling words only, and over the candidate's length.
 */
export class FastAlignment implements Alignment {
  readonly #automaton: SuffixAutomaton;
  /** By code unit: its symbol; by folded code unit alone beyond ASCII. */
  readonly #symbolOf: Uint16Array;
  /** By position: what explaining it is worth; all positions of an example come to 1. */
  readonly #worth: Float64Array;
  /** By position: how far back from it a match must reach to count. */
  readonly #shortest: Int32Array;
  readonly #leastLength: number;
  /** By state: 1 where one symbol follows it wherever it occurs, and so with all its suffixes that count as matches. */
  readonly #goesOn: Uint8Array;
  // Of the candidate being read: the states of its matches, the longest match by state and by its end in the target,
  // and which of the ends have none yet.
  readonly #touched: number[] = [];
  readonly #reached: Int32Array;
  readonly #longest: Int32Array;
  readonly #nextFree: Int32Array;
  readonly #covered: Uint8Array;
  #state = ROOT;
  #length = 0;
  /** The last symbols read. */
  readonly #recent = new Uint16Array(RECENT_MASK + 1);
  /** By slot: whether runs of `leastLength` symbols with such a hash occur in the target, and tell anything. */
  readonly #grams = new Uint8Array(2 ** GRAM_SLOT_BITS);
  /** By position and class of length: how many candidates explain it by a match of that class. */
  readonly #counts: Uint32Array;
  /** Candidates' explained stretches: start, end and class of each. */
  readonly #stretches: number[][] = [];
  readonly #sizes: number[] = [];
  readonly #examples: number;

  /** @param targets examples of what is looked for; a candidate's score is the mean over them */
  constructor(targets: readonly string[]) {
    // No candidate has a null character: no match runs from one example into the next.
    const text = targets.map((target) => `\0${foldText(target)}`).join('');
    const worth = new Float64Array(text.length);
    let first = 0;
    for (const example of text.slice(1).split('\0')) {
      addWorth(example, worth, first + 1);
      first += 1 + example.length;
    }
    this.#examples = targets.length;
    this.#worth = worth;
    const { symbols, symbolOf, alphabet } = numbered(text);
    this.#symbolOf = symbolOf;
    this.#automaton = new SuffixAutomaton(symbols, alphabet);
    this.#shortest = shortestMatches(text);
    this.#leastLength = this.#shortest.reduce((least, length) => Math.min(least, length), SHORTEST_MATCH);
    this.#goesOn = this.#uniquelyFollowed(symbols);
    this.#addGrams(symbols);
    this.#reached = new Int32Array(this.#automaton.lengths.length);
    this.#longest = new Int32Array(text.length + 1);
    this.#nextFree = new Int32Array(text.length + 1);
    for (let at = 0; at <= text.length; at++) this.#nextFree[at] = at;
    this.#covered = new Uint8Array(text.length);
    this.#counts = new Uint32Array(text.length * CLASSES);
  }

  add(candidate: string): void {
    this.#sizes.push(this.#walk(candidate));
    const stretches = this.#touched.length > 0 ? this.#explained() : [];
    this.#stretches.push(stretches);
    for (let i = 0; i < stretches.length; i += 3) {
      const length = stretches[i + 2]!;
      for (let at = stretches[i]!; at < stretches[i + 1]!; at++) this.#counts[at * CLASSES + length]!++;
    }
  }

  scores(): Float64Array {
    const candidates = this.#stretches.length;
    const average = this.#sizes.reduce((sum, size) => sum + size, 0) / (candidates || 1) || 1;
    const explaining = this.#explaining();
    // What a candidate is credited with, 0 to 1, by how many explain it as well as it does.
    const rarities = new Float64Array(candidates + 1);
    const rarity = (count: number) => Math.log2(1 + (candidates - count + 0.5) / (count + 0.5));
    const most = rarity(0);
    return Float64Array.from(this.#stretches, (stretches, candidate) => {
      let saved = 0;
      for (let i = 0; i < stretches.length; i += 3) {
        for (let at = stretches[i]!; at < stretches[i + 1]!; at++) {
          const count = explaining[at * CLASSES + stretches[i + 2]!]!;
          if (rarities[count] === 0) rarities[count] = rarity(count) / most;
          saved += this.#worth[at]! * rarities[count]!;
        }
      }
      return (
        saved / this.#examples / (1 - LENGTH_WEIGHT + (LENGTH_WEIGHT * this.#sizes[candidate]!) / average)
      );
    });
  }

  /** Reads a candidate along the target. Returns its length, folded. */
  #walk(candidate: string): number {
    const symbolOf = this.#symbolOf;
    const grams = this.#grams;
    const recent = this.#recent;
    const leastLength = this.#leastLength;
    const mask = gramMask(leastLength);
    const separator = symbolOf[SEPARATOR]!;
    // A separator stands before the first word and after the last.
    recent[0] = separator;
    let gram = separator;
    let size = 1;
    let separated = true;
    this.#state = ROOT;
    this.#length = 0;
    let isMatch = false;
    // How many runs before this one stand in the target as well, but tell nothing.
    let worthless = 0;
    for (let start = 0; start < candidate.length; start += WINDOW) {
      const count =
        WINDOW_BYTES.write(
          candidate.length <= WINDOW ? candidate : candidate.slice(start, start + WINDOW),
          0,
          'utf16le',
        ) / 2;
      for (let at = 0; at < count; at++) {
        const code = WINDOW_UNITS[at]!;
        const symbol = code < ASCII ? symbolOf[code]! : this.#symbolBeyond(code);
        if (symbol === separator) {
          if (separated) continue;
          separated = true;
        } else {
          if (symbol === PASSED_OVER) continue;
          separated = false;
        }
        gram = ((gram << GRAM_BITS) + symbol) & mask;
        recent[size & RECENT_MASK] = symbol;
        size++;
        // Most characters get no further: no match that counts goes on or ends at them.
        if (isMatch) {
          isMatch = this.#follow(size, 1);
          worthless = 0;
          continue;
        }
        const found = grams[gramSlot(gram)]!;
        if (found === TELLING) isMatch = this.#follow(size, Math.min(leastLength + worthless, LONGEST_CLASS));
        worthless = found === WORTHLESS ? worthless + 1 : 0;
      }
    }
    if (!separated) {
      recent[size & RECENT_MASK] = separator;
      size++;
      if (isMatch) isMatch = this.#follow(size, 1);
      else if (grams[gramSlot(((gram << GRAM_BITS) + separator) & mask)] === TELLING) {
        isMatch = this.#follow(size, Math.min(leastLength + worthless, LONGEST_CLASS));
      }
    }
    if (isMatch) this.#reach(this.#state, this.#length);
    return size;
  }

  /** Goes on with a match by the last symbol read, or begins one with the last `count`. Returns whether there is one. */
  #follow(size: number, count: number): boolean {
    const automaton = this.#automaton;
    const { links, lengths } = automaton;
    const leastLength = this.#leastLength;
    const before = this.#state;
    const lengthBefore = this.#length;
    const isMatch = lengthBefore >= leastLength;
    let state = isMatch ? before : ROOT;
    let length = isMatch ? lengthBefore : 0;
    for (let from = Math.max(0, size - count); from < size; from++) {
      const symbol = this.#recent[from & RECENT_MASK]!;
      let next = automaton.next(state, symbol);
      while (next === ROOT && state !== ROOT) {
        state = links[state]!;
        length = lengths[state]!;
        next = automaton.next(state, symbol);
      }
      state = next;
      if (next !== ROOT) length++;
    }
    this.#state = state;
    this.#length = length;
    // A match that goes on wherever it occurs is seen whole at its end.
    if (isMatch && !(length > lengthBefore && this.#goesOn[before] === 1)) this.#reach(before, lengthBefore);
    return length >= leastLength;
  }

  /** Notes a match, and its suffixes for where else they occur. */
  #reach(state: number, length: number): void {
    const { links, lengths } = this.#automaton;
    while (length >= this.#leastLength && this.#reached[state]! < length) {
      if (this.#reached[state] === 0) this.#touched.push(state);
      this.#reached[state] = length;
      state = links[state]!;
      length = lengths[state]!;
    }
  }

  #symbolBeyond(code: number): number {
    const folded = foldCode(code);
    if (folded === 0) return PASSED_OVER;
    return folded < this.#symbolOf.length ? this.#symbolOf[folded]! : UNKNOWN;
  }

  /** Stretches of the target that the candidate explains, each with the length of the longest match that covers it. */
  #explained(): number[] {
    const { lengths, ends, firstEnd, occurrences } = this.#automaton;
    const reached = this.#reached;
    const longest = this.#longest;
    const matched: number[] = [];
    // Longer strings first: where one ends, no shorter one has more to say.
    if (this.#touched.length > 1) this.#touched.sort((a, b) => lengths[b]! - lengths[a]!);
    for (const state of this.#touched) {
      const from = firstEnd[state]!;
      for (let at = this.#free(from); at < from + occurrences[state]!; at = this.#free(at + 1)) {
        this.#nextFree[at] = at + 1;
        longest[ends[at]!] = reached[state]!;
        matched.push(at);
      }
      reached[state] = 0;
    }
    this.#touched.length = 0;

    const covered = this.#covered;
    let first = covered.length;
    let last = 0;
    for (const at of matched) {
      const end = ends[at]!;
      const length = longest[end]!;
      if (length < this.#shortest[end]! || longest[end + 1] === length + 1) continue;
      const size = Math.min(length, LONGEST_CLASS);
      for (let position = end - length + 1; position <= end; position++)
        if (covered[position]! < size) covered[position] = size;
      first = Math.min(first, end - length + 1);
      last = Math.max(last, end + 1);
    }
    for (const at of matched) {
      longest[ends[at]!] = 0;
      this.#nextFree[at] = at;
    }
    const stretches: number[] = [];
    for (let at = first; at < last; at++) {
      const size = covered[at]!;
      covered[at] = 0;
      if (size === 0 || this.#worth[at] === 0) continue;
      const previous = stretches.length - 3;
      if (stretches[previous + 1] === at && stretches[previous + 2] === size)
        stretches[previous + 1] = at + 1;
      else stretches.push(at, at + 1, size);
    }
    return stretches;
  }

  #uniquelyFollowed(symbols: Uint16Array): Uint8Array {
    const { order, links, lengths, ends, firstEnd, occurrences } = this.#automaton;
    const followed = new Uint8Array(lengths.length);
    for (const state of order) {
      const after = ends[firstEnd[state]!]! + 1;
      if (state === ROOT || after >= symbols.length) continue;
      const link = links[state]!;
      if (lengths[link]! >= this.#leastLength && followed[link] === 0) continue;
      const next = this.#automaton.next(state, symbols[after]!);
      if (occurrences[next] === occurrences[state]) followed[state] = 1;
    }
    return followed;
  }

  /** Where no telling word is touched a match earns nothing, and is not begun. */
  #addGrams(symbols: Uint16Array): void {
    const mask = gramMask(this.#leastLength);
    let gram = 0;
    let telling = -Infinity;
    for (let at = 0; at < symbols.length; at++) {
      gram = ((gram << GRAM_BITS) + symbols[at]!) & mask;
      if (this.#worth[at]! > 0) telling = at;
      const slot = gramSlot(gram);
      if (at - telling < this.#leastLength) this.#grams[slot] = TELLING;
      else if (this.#grams[slot] === 0) this.#grams[slot] = WORTHLESS;
    }
  }

  /** The first of the ends from `at` on that has no match yet (a union-find with path halving). */
  #free(at: number): number {
    const next = this.#nextFree;
    while (next[at] !== at) at = next[at] = next[next[at]!]!;
    return at;
  }

  /** By position and class: how many candidates explain it by a match of that class or a longer one. */
  #explaining(): Uint32Array {
    const explaining = this.#counts.slice();
    for (let at = 0; at < explaining.length; at += CLASSES) {
      for (let size = LONGEST_CLASS - 1; size > 0; size--)
        explaining[at + size]! += explaining[at + size + 1]!;
    }
    return explaining;
  }
}

/** Shares out one example's worth over its telling words; what a query is asked with tells nothing. */
function addWorth(example: string, worth: Float64Array, offset: number): void {
  const { terms, at } = indexTerms(example);
  const telling = tellingTerms(terms);
  let total = 0;
  for (const [index, start] of at.entries()) {
    if (!telling.has(terms[index]!)) continue;
    const separator = example.indexOf(' ', start);
    const end = Math.min(separator, at[index + 1] ?? separator);
    worth.fill(1, offset + start, offset + end);
    total += end - start;
  }
  for (let position = offset; position < offset + example.length; position++) worth[position]! /= total || 1;
}

/** Symbols for the characters of a target, in order of appearance. */
function numbered(text: string): { symbols: Uint16Array; symbolOf: Uint16Array; alphabet: number } {
  let highest = ASCII;
  for (let at = 0; at < text.length; at++) highest = Math.max(highest, text.charCodeAt(at));
  const symbolOf = new Uint16Array(highest + 1);
  const symbols = new Uint16Array(text.length);
  let count = PASSED_OVER;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (symbolOf[code] === UNKNOWN) symbolOf[code] = ++count;
    symbols[at] = symbolOf[code]!;
  }
  for (let code = 0; code < ASCII; code++) {
    const folded = foldCode(code);
    if (folded !== code) symbolOf[code] = symbolOf[folded]!;
  }
  return { symbols, symbolOf, alphabet: count + 1 };
}

function shortestMatches(text: string): Int32Array {
  const shortest = new Int32Array(text.length);
  for (let end = 0; end < text.length; end++) {
    let weight = 0;
    let length = 0;
    while (weight < SHORTEST_MATCH && length <= end) {
      weight += isSpaceless(text.charCodeAt(end - length)) ? SPACELESS_WEIGHT : 1;
      length++;
    }
    shortest[end] = weight < SHORTEST_MATCH ? SHORTEST_MATCH : length;
  }
  return shortest;
}

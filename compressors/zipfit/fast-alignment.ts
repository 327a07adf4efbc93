import { indexTerms, tellingTerms } from '../words.js';
import type { Alignment } from './alignment.js';
import { FoldedText, SEPARATOR, SEPARATORS, WINDOW } from './folded-text.js';

/** Symbols of a run: a whole word of any length, four letters at the beginning or end of one, or seven within it. */
const RUN = 7;

// Of four runs that begin one after another, each has the fourth's first block: where the target does not have that
// block it has none of the four (as in Wu and Manber's search for several words, 1994).
const BLOCK = 4;
const STRIDE = RUN - BLOCK + 1;
/** Bits more than it takes to number the blocks: so that few others fall on theirs. */
const BLOCK_ROOM = 4;

/** Okapi BM25's parameters for more of the same and for length (Robertson and Zaragoza 2009, section 3). */
const K1 = 1.2;
const B = 0.75;

/** What is being read: a candidate, or an example of the target. One for all, since reading never pauses. */
const READ = new FoldedText();

/**
 * How much of the target each candidate explains: which stretches of it a compressor that has read the candidate would
 * code as matches, as LZ77 does. With a shortest match those are the union of the runs of so many symbols that both
 * have, so the runs of the target's telling words are put into a table once, and each candidate is read once against
 * it. A stretch counts by the bits that it saves over a candidate taken at random, so by how few candidates explain
 * it; more where the candidate has it more often, and less in a long candidate, both as in BM25.
 */
export class FastAlignment implements Alignment {
  /** The distinct words of the target, each between separators. */
  readonly #text: Uint16Array;
  /** By position: share of the target, which comes to 1. */
  readonly #worth: Float64Array;
  /** By hash: 1 where the target has a block of that hash. */
  readonly #blocks: Uint8Array;
  readonly #blockShift: number;
  /** By hash of a run: 1 + the position where the first such run begins; 0 for none. */
  readonly #runs: Int32Array;
  readonly #runShift: number;
  /** By a run's first position: 1 + that of the next run with its hash. */
  readonly #nextRun: Int32Array;
  /** By position: 1 + the next one where the same run begins. */
  readonly #nextSame: Int32Array;
  // Of the candidate being read: the first positions of its runs, how often it has each, and the same by position.
  readonly #found: number[] = [];
  readonly #times: Int32Array;
  readonly #covered: Int32Array;
  /** By position: how many candidates explain it. */
  readonly #explaining: Int32Array;
  /** What each candidate explains: start, end and how often; where each candidate's end in it; and its length. */
  readonly #stretches: number[] = [];
  readonly #stretchesEnd: number[] = [];
  readonly #sizes: number[] = [];

  /** @param targets examples of what is looked for; a candidate's score is the mean over them */
  constructor(targets: readonly string[]) {
    const words = new Map<string, number[]>();
    for (const target of targets) addWords(target, 1 / targets.length, words);
    let length = 0;
    for (const word of words.keys()) length += word.length;

    this.#text = new Uint16Array(length);
    this.#worth = new Float64Array(length);
    const bits = Math.max(4, Math.ceil(Math.log2(length + 1)));
    this.#blocks = new Uint8Array(2 ** (bits + BLOCK_ROOM));
    this.#blockShift = 32 - bits - BLOCK_ROOM;
    this.#runs = new Int32Array(2 ** (bits + 1));
    this.#runShift = 31 - bits;
    this.#nextRun = new Int32Array(length);
    this.#nextSame = new Int32Array(length);
    this.#times = new Int32Array(length);
    this.#covered = new Int32Array(length);
    this.#explaining = new Int32Array(length);
    let start = 0;
    for (const [word, worth] of words) {
      for (let at = 0; at < word.length; at++) this.#text[start + at] = word.charCodeAt(at);
      this.#worth.set(worth, start);
      for (let at = 0; at + RUN <= word.length; at++) this.#addRun(start + at);
      start += word.length;
    }
  }

  add(candidate: string): void {
    READ.clear();
    let size = 0;
    for (let start = 0; start < candidate.length; start += WINDOW) {
      if (start > 0 && READ.length >= RUN) {
        this.#read();
        size += READ.length - RUN + 1;
        READ.keepLast(RUN - 1);
      }
      READ.append(candidate.length <= WINDOW ? candidate : candidate.slice(start, start + WINDOW));
    }
    READ.end();
    this.#read();
    this.#sizes.push(size + READ.length);
    if (this.#found.length > 0) this.#explain();
    this.#stretchesEnd.push(this.#stretches.length);
  }

  scores(): Float64Array {
    const candidates = this.#sizes.length;
    const average = this.#sizes.reduce((sum, size) => sum + size, 0) / candidates;
    const worth = this.#worth.map((share, at) => {
      const count = this.#explaining[at]!;
      return share * Math.log2(1 + (candidates - count + 0.5) / (count + 0.5));
    });
    const scores = new Float64Array(candidates);
    let i = 0;
    for (let candidate = 0; candidate < candidates; candidate++) {
      const norm = K1 * (1 - B + (B * this.#sizes[candidate]!) / average);
      for (const end = this.#stretchesEnd[candidate]!; i < end; i += 3) {
        const times = this.#stretches[i + 2]!;
        let explained = 0;
        for (let at = this.#stretches[i]!; at < this.#stretches[i + 1]!; at++) explained += worth[at]!;
        scores[candidate]! += (explained * times * (K1 + 1)) / (times + norm);
      }
    }
    return scores;
  }

  #addRun(start: number): void {
    const text = this.#text;
    for (let at = start; at <= start + RUN - BLOCK; at++)
      this.#blocks[blockHash(text, at) >>> this.#blockShift] = 1;
    const same = this.#run(text, start);
    if (same >= 0) {
      this.#nextSame[start] = this.#nextSame[same]!;
      this.#nextSame[same] = start + 1;
      return;
    }
    const hash = runHash(text, start) >>> this.#runShift;
    this.#nextRun[start] = this.#runs[hash]!;
    this.#runs[hash] = start + 1;
  }

  /** First position in the target of the run that begins here, or -1. */
  #run(symbols: Uint16Array, start: number): number {
    let run = this.#runs[runHash(symbols, start) >>> this.#runShift]! - 1;
    while (run >= 0 && !isSameRun(this.#text, run, symbols, start)) run = this.#nextRun[run]! - 1;
    return run;
  }

  /** Counts the target's runs in what has been read. */
  #read(): void {
    const { symbols, length } = READ;
    const blocks = this.#blocks;
    const shift = this.#blockShift;
    for (let block = STRIDE - 1; block <= length - BLOCK; block += STRIDE) {
      if (blocks[blockHash(symbols, block) >>> shift] === 0) continue;
      // A run that has this block has others before or after it.
      const first = block - STRIDE + 1;
      let start = block;
      while (start > first && blocks[blockHash(symbols, start - 1) >>> shift] !== 0) start--;
      const last = Math.min(block + STRIDE - 1, length - BLOCK);
      let end = block;
      while (end < last && blocks[blockHash(symbols, end + 1) >>> shift] !== 0) end++;
      for (; start <= end - STRIDE + 1; start++) {
        const run = this.#run(symbols, start);
        if (run >= 0 && this.#times[run]!++ === 0) this.#found.push(run);
      }
    }
  }

  /** From the runs found to the stretches of the target that they cover. */
  #explain(): void {
    const covered = this.#covered;
    let first = covered.length;
    let last = 0;
    for (const run of this.#found) {
      const times = this.#times[run]!;
      this.#times[run] = 0;
      for (let start = run; start >= 0; start = this.#nextSame[start]! - 1) {
        for (let at = start; at < start + RUN; at++) if (covered[at]! < times) covered[at] = times;
        if (start < first) first = start;
        if (start + RUN > last) last = start + RUN;
      }
    }
    this.#found.length = 0;
    for (let start = first; start < last;) {
      const times = covered[start]!;
      let end = start;
      for (; end < last && covered[end] === times; end++) {
        covered[end] = 0;
        if (times > 0) this.#explaining[end]!++;
      }
      if (times > 0) this.#stretches.push(start, end, times);
      start = end;
    }
  }
}

/**
 * Adds the words of an example that tell something, which those that a query is asked with do not.
 * @param share what the example is worth; its telling words have it by the square roots of their lengths
 * @param words each with the separators before and after it, and what each of its symbols is worth
 */
function addWords(example: string, share: number, words: Map<string, number[]>): void {
  const { terms, at } = indexTerms(example);
  const telling = tellingTerms(terms);
  const begins: number[] = [];
  READ.clear();
  for (const [index, start] of at.entries()) {
    begins.push(READ.length);
    READ.append(example.slice(start, at[index + 1]));
  }
  READ.end();

  const { symbols, length } = READ;
  const worth = new Float64Array(length);
  let total = 0;
  for (const [index, begin] of begins.entries()) {
    let end = begins[index + 1] ?? length;
    while (end > begin && symbols[end - 1] === SEPARATOR) end--;
    if (end === begin || !telling.has(terms[index]!)) continue;
    worth.fill(1 / Math.sqrt(end - begin), begin, end);
    total += Math.sqrt(end - begin);
  }

  const bytes = Buffer.from(symbols.buffer);
  for (let start = SEPARATORS, end: number; start < length; start = end + SEPARATORS) {
    end = symbols.indexOf(SEPARATOR, start);
    let isTelling = false;
    for (let at = start; at < end && !isTelling; at++) isTelling = worth[at]! > 0;
    if (!isTelling) continue;
    const from = start - SEPARATORS;
    const word = bytes.toString('utf16le', 2 * from, 2 * (end + SEPARATORS));
    const sum = words.get(word) ?? new Array<number>(word.length).fill(0);
    for (let at = start; at < end; at++) sum[at - from]! += (share * worth[at]!) / total;
    words.set(word, sum);
  }
}

function blockHash(symbols: Uint16Array, at: number): number {
  const block = (symbols[at]! << 15) ^ (symbols[at + 1]! << 10) ^ (symbols[at + 2]! << 5) ^ symbols[at + 3]!;
  return Math.imul(block, 0x9e3779b1);
}

/** Of its first block and its last, which leave nothing of it out. */
function runHash(symbols: Uint16Array, at: number): number {
  return Math.imul(blockHash(symbols, at) ^ (blockHash(symbols, at + RUN - BLOCK) >>> 15), 0x85ebca6b);
}

function isSameRun(one: Uint16Array, start: number, other: Uint16Array, otherStart: number): boolean {
  for (let i = 0; i < RUN; i++) if (one[start + i] !== other[otherStart + i]) return false;
  return true;
}

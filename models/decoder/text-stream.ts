import type { Tokenizer } from '../tokenizer.js';

/** Tokens that a character's bytes can be spread over. */
const LONGEST = 8;

/** Text of tokens as they come, held back where it ends inside a character or may become a stop string. */
export class TextStream {
  readonly #tokenizer: Tokenizer;
  readonly #stop: readonly string[];
  /** Tokens whose text is not settled, behind those that were before them: a word's space depends on these. */
  #ids: number[] = [];
  #settled = '';
  #held = '';
  text = '';
  /** Whether a stop string has come. */
  stopped = false;

  constructor(tokenizer: Tokenizer, stop: readonly string[]) {
    this.#tokenizer = tokenizer;
    this.#stop = stop;
  }

  /** @returns what can be handed on */
  push(token: number): string {
    this.#ids.push(token);
    const decoded = this.#tokenizer.decode(this.#ids);
    const isCut = decoded.endsWith('\uFFFD') && this.#ids.length < LONGEST + 1;
    if (isCut) return '';
    const piece = decoded.slice(this.#settled.length);
    this.#ids = [token];
    this.#settled = this.#tokenizer.decode(this.#ids);
    return this.#release(piece);
  }

  /** @returns what was held back to the end */
  end(): string {
    if (this.stopped) return '';
    const rest = this.#held + this.#tokenizer.decode(this.#ids).slice(this.#settled.length);
    this.#held = '';
    this.text += rest;
    return rest;
  }

  #release(piece: string): string {
    const text = this.#held + piece;
    const ends = this.#stop.map((stop) => text.indexOf(stop)).filter((at) => at >= 0);
    this.stopped = ends.length > 0;
    const end = this.stopped ? Math.min(...ends) : text.length - longestBeginning(text, this.#stop);
    this.#held = this.stopped ? '' : text.slice(end);
    this.text += text.slice(0, end);
    return text.slice(0, end);
  }
}

/** How much of the text's end is the beginning of one of the strings. */
function longestBeginning(text: string, strings: readonly string[]): number {
  let longest = 0;
  for (const string of strings)
    for (let length = Math.min(string.length - 1, text.length); length > longest; length--)
      if (text.endsWith(string.slice(0, length))) longest = length;
  return longest;
}

import { ConfigurationError } from '../compressors/errors.js';

/** Counts tokens as a model's tokenizer does, or estimates them from above. */
export interface TokenCounter {
  /** The encoding, or `estimate`. */
  readonly name: string;
  readonly exact: boolean;
  count(text: string): number;
}

/** OpenAI's encodings by the models that use them, the longest prefix first. */
const ENCODINGS: readonly (readonly [RegExp, Encoding])[] = [
  [/^(?:o200k_harmony|gpt-oss)/, 'o200k_harmony'],
  [/^(?:o200k_base|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-[5-9]|chatgpt-4o|chatgpt-5|o[1-9])(?:$|[-_.@:])/, 'o200k_base'],
  [/^(?:cl100k_base|gpt-4|gpt-3\.5|gpt-35|text-embedding-3|text-embedding-ada-002)(?:$|[-_.@:])/, 'cl100k_base'],
];

type Encoding = keyof typeof LOADERS;

// Each holds its vocabulary in memory, some 50 MB: loaded when asked for, once.
const LOADERS = {
  o200k_base: () => import('gpt-tokenizer/encoding/o200k_base'),
  o200k_harmony: () => import('gpt-tokenizer/encoding/o200k_harmony'),
  cl100k_base: () => import('gpt-tokenizer/encoding/cl100k_base'),
};

/**
 * The counter for a model: exact for OpenAI's models and encodings, an estimate from above for any other and for none.
 * @param model a model's name, with or without its provider (`openai/gpt-4o`), or an encoding's (`o200k_base`)
 * @throws ConfigurationError for an empty name
 */
export async function loadTokenCounter(model?: string): Promise<TokenCounter> {
  if (model === undefined) return estimate;
  if (model.trim() === '') throw new ConfigurationError('model', model, 'give the name of a model, or none');
  const name = model.trim().toLowerCase().replace(/^(?:openai|azure)[/:]/, '').replace(/^ft:/, '');
  const encoding = ENCODINGS.find(([pattern]) => pattern.test(name))?.[1];
  if (!encoding) return estimate;
  const { countTokens } = await LOADERS[encoding]();
  // What looks like a special token is text: a document does not get to speak as the protocol.
  const asText = { disallowedSpecial: new Set<string>() };
  return {
    name: encoding,
    exact: true,
    count: (text) => parts(text).reduce((tokens, part) => tokens + countTokens(part, asText), 0),
  };
}

/** A run of one kind of character longer than this is no language; the tokenizer's time grows with its square. */
const LONGEST_RUN = 256;
const LONG_RUNS = new RegExp(
  `[\\p{L}\\p{M}]{${LONGEST_RUN + 1},}|\\s{${LONGEST_RUN + 1},}|[^\\s\\p{L}\\p{M}\\p{N}]{${LONGEST_RUN + 1},}`,
  'gu',
);

/** The text, cut inside such runs alone: their parts together count a few tokens more than the whole, never less. */
function parts(text: string): string[] {
  if (text.length <= LONGEST_RUN) return [text];
  const cut: string[] = [];
  let start = 0;
  for (const { 0: run, index } of text.matchAll(LONG_RUNS)) {
    for (let at = index + LONGEST_RUN; at < index + run.length; at += LONGEST_RUN) {
      cut.push(text.slice(start, at));
      start = at;
    }
  }
  cut.push(text.slice(start));
  return cut;
}

/**
 * An upper estimate for a tokenizer that is not known: above o200k_base and cl100k_base on more than 99% of passages
 * of natural language, code and markup (bench/token-counter.ts prints the shares), by 30 to 40% on English for
 * o200k_base. One pass; the parts of a text, cut outside white space, never count less than the whole.
 */
const estimate: TokenCounter = {
  name: 'estimate',
  exact: false,
  count(text) {
    let tokens = 0;
    let letters = 0;
    let digits = 0;
    let spaces = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      const kind = code < 128 ? ASCII[code]! : OTHER;
      if (kind === LETTER) {
        // Tokens of a word: one, and another for every two and a half letters past the fourth.
        letters++;
        if (letters === 1) tokens += 1;
        else if (letters > 4) tokens += 0.4;
        if (letters > 1 && code < 97) tokens += 0.2;
        digits = spaces = 0;
        continue;
      }
      letters = 0;
      if (kind === DIGIT) {
        if (digits++ % 3 === 0) tokens += 1.9;
        spaces = 0;
        continue;
      }
      digits = 0;
      if (kind === SPACE) {
        // A single space belongs to the word after it; runs of white space are tokens of their own.
        if (++spaces === 2) tokens += 1.5;
        if (code === 10) tokens += 0.15;
        continue;
      }
      spaces = 0;
      tokens += kind === OTHER ? WEIGHTS[code]! : 0.5;
    }
    return Math.ceil(tokens);
  },
};

const LETTER = 1;
const DIGIT = 2;
const SPACE = 3;
const MARK = 4;
const OTHER = 5;

const ASCII = new Uint8Array(128).fill(MARK);
ASCII.fill(SPACE, 9, 14);
ASCII[32] = SPACE;
ASCII.fill(DIGIT, 48, 58);
ASCII.fill(LETTER, 65, 91);
ASCII.fill(LETTER, 97, 123);

/** Tokens a code unit outside ASCII, by blocks: the first code unit of each and its weight. */
const BLOCKS: readonly (readonly [first: number, weight: number])[] = [
  [0x80, 1.75], // Latin with diacritics
  [0x370, 1.2], // Greek
  [0x400, 0.75], // Cyrillic
  [0x530, 1.3], // Armenian
  [0x590, 1], // Hebrew, Arabic
  [0x700, 1.5],
  [0x900, 1.35], // Indic scripts
  [0xe00, 1.15], // Thai, Lao
  [0xf00, 2.4],
  [0x1100, 1.7], // Hangul jamo
  [0x1200, 2.4],
  [0x1e00, 1.75], // Vietnamese
  [0x1f00, 1.5],
  [0x2000, 1.5], // General punctuation
  [0x2070, 2.4],
  [0x3000, 1.2], // CJK punctuation
  [0x3040, 1], // Kana
  [0x3100, 2.4],
  [0x3400, 1.75], // Han
  [0xa000, 2.4],
  [0xac00, 1.7], // Hangul
  [0xd800, 1.7], // Surrogates: emoji, rare Han
  [0xe000, 2.4],
  [0xff00, 1.5], // Full-width forms
];

const WEIGHTS = new Float64Array(0x10000);
for (const [index, [first, weight]] of BLOCKS.entries()) WEIGHTS.fill(weight, first, BLOCKS[index + 1]?.[0] ?? 0x10000);

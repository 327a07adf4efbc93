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
  [
    /^(?:o200k_base|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-[5-9]|chatgpt-4o|chatgpt-5|o[1-9])(?:$|[-_.@:])/,
    'o200k_base',
  ],
  [
    /^(?:cl100k_base|gpt-4|gpt-3\.5|gpt-35|text-embedding-3|text-embedding-ada-002)(?:$|[-_.@:])/,
    'cl100k_base',
  ],
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
  const name = model
    .trim()
    .toLowerCase()
    .replace(/^(?:openai|azure)[/:]/, '')
    .replace(/^ft:/, '');
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

/** Costs are whole numbers of this share of a token, so that sums are exact. */
const UNITS_A_TOKEN = 20;

/**
 * An upper estimate for a tokenizer that is not known: bench/token-counter.ts prints on how many passages of natural
 * language, code and markup it stays above o200k_base and cl100k_base, and by how much. One pass over a table of
 * states; the parts of a text, cut outside white space, never count less than the whole.
 */
const estimate: TokenCounter = {
  name: 'estimate',
  exact: false,
  count(text) {
    let cost = 0;
    let state = 0;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      if (code < 128) {
        const step = STEPS[state + ASCII[code]!]!;
        cost += step & 0xff;
        state = step >>> 8;
      } else {
        cost += WEIGHTS[code]!;
        state = 0;
      }
    }
    return Math.ceil(cost / UNITS_A_TOKEN);
  },
};

// Kinds of ASCII characters.
const MARK = 0;
const LOWER = 1;
const UPPER = 2;
const DIGIT = 3;
const SPACE = 4;
const LINE = 5;
const KINDS = 8;

const ASCII = new Uint8Array(128).fill(MARK);
ASCII.fill(SPACE, 9, 14);
ASCII[10] = LINE;
ASCII[32] = SPACE;
ASCII.fill(DIGIT, 48, 58);
ASCII.fill(UPPER, 65, 91);
ASCII.fill(LOWER, 97, 123);

/** By what has been read of a run (so many letters, digits or spaces) and the next character: its cost, and the next state. */
const STEPS = new Uint16Array(16 * KINDS);
{
  const LETTERS = [0, 1, 2, 3, 4] as const;
  const DIGITS = [0, 5, 6, 7] as const;
  const SPACES = [0, 8, 9] as const;
  const step = (state: number, kind: number, tokens: number, next: number) => {
    STEPS[state * KINDS + kind] = ((next * KINDS) << 8) | Math.round(tokens * UNITS_A_TOKEN);
  };
  for (let state = 0; state <= 9; state++) {
    const letters = Math.max(0, LETTERS.indexOf(state as 0));
    const digits = Math.max(0, DIGITS.indexOf(state as 0));
    const spaces = Math.max(0, SPACES.indexOf(state as 0));
    // Tokens of a word: one, and another for every two and a half letters past the fourth; more in capitals.
    const letter = letters === 0 ? 1 : letters === 4 ? 0.4 : 0;
    const nextLetter = LETTERS[Math.min(letters + 1, 4)]!;
    step(state, LOWER, letter, nextLetter);
    step(state, UPPER, letter + (letters > 0 ? 0.2 : 0), nextLetter);
    step(state, DIGIT, digits % 3 === 0 ? 1.9 : 0, DIGITS[(digits % 3) + 1]!);
    // A single space belongs to the word after it; runs of white space are tokens of their own.
    const space = spaces === 1 ? 1.5 : 0;
    step(state, SPACE, space, SPACES[Math.min(spaces + 1, 2)]!);
    step(state, LINE, space + 0.15, SPACES[Math.min(spaces + 1, 2)]!);
    step(state, MARK, 0.5, 0);
  }
}

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

const WEIGHTS = new Uint8Array(0x10000);
for (const [index, [first, weight]] of BLOCKS.entries())
  WEIGHTS.fill(weight * UNITS_A_TOKEN, first, BLOCKS[index + 1]?.[0] ?? 0x10000);

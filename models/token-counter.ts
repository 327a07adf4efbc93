import { ConfigurationError } from '../settings/configuration-error.js';
import { openCheckpoint } from './decoder/checkpoint.js';
import { ModelRegistry } from './registry.js';
import { Tokenizer } from './tokenizer.js';

/** Counts tokens as a model's tokenizer does, or estimates them from above. */
export interface TokenCounter {
  /** The encoding, or `estimate`. */
  readonly name: string;
  readonly exact: boolean;
  count(text: string): number;
}

/** OpenAI's encodings by the models that use them. */
const ENCODINGS: readonly (readonly [RegExp, Encoding])[] = [
  [/^(?:o200k_harmony|gpt-oss)/, 'o200k_harmony'],
  [
    /^(?:o200k_base|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-[5-9]|chatgpt-4o|chatgpt-5|codex-mini|computer-use|o[1-9])(?:$|[-_.@:])/,
    'o200k_base',
  ],
  [
    /^(?:cl100k_base|gpt-4|gpt-3\.5|gpt-35|text-embedding-3|text-embedding-ada-002|davinci-002|babbage-002)(?:$|[-_.@:])/,
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

/** The embedded decoder. */
const EMBEDDED = 'smollm2';

let embedded: Promise<TokenCounter> | undefined;

/**
 * The counter for a model: exact for OpenAI's models and encodings and for the embedded `smollm2`, an estimate from
 * above for any other and for none.
 * @param model a model's name, with or without its providers (`openai/gpt-4o`), or an encoding's (`o200k_base`)
 * @throws ConfigurationError for an empty name; ModelError where the embedded model is damaged
 */
export async function loadTokenCounter(model?: string): Promise<TokenCounter> {
  if (model === undefined) return estimate;
  if (model.trim() === '') throw new ConfigurationError('model', model, 'give the name of a model, or none');
  const name = model
    .trim()
    .toLowerCase()
    .replace(/^.*\//, '')
    .replace(/^(?:(?:openai|azure|ft):)+/, '');
  if (name === EMBEDDED) {
    const loading = (embedded ??= loadEmbedded());
    loading.catch(() => {
      embedded = undefined;
    });
    return loading;
  }
  const encoding = ENCODINGS.find(([pattern]) => pattern.test(name))?.[1];
  if (!encoding) return estimate;
  const { countTokens } = await LOADERS[encoding]();
  // What looks like a special token is text: a document does not get to speak as the protocol.
  const asText = { disallowedSpecial: new Set<string>() };
  return {
    name: encoding,
    exact: true,
    count: (text) => {
      const pieces = parts(text);
      const cuts = TOKENS_A_CUT * (pieces.length - 1);
      return pieces.reduce((tokens, piece) => tokens + countTokens(piece, asText), cuts);
    },
  };
}

async function loadEmbedded(): Promise<TokenCounter> {
  const { folder } = await new ModelRegistry().resolve(EMBEDDED);
  const checkpoint = await openCheckpoint(folder);
  await checkpoint.close();
  const { json, config } = checkpoint.tokenizer;
  const own = new Tokenizer(json, config);
  return { name: EMBEDDED, exact: true, count: (text) => own.encode(text).length };
}

/** A run of one kind of character longer than this is no language; the tokenizer's time grows with its square. */
const LONGEST_RUN = 256;
const LONG_RUNS = new RegExp(
  `[\\p{L}\\p{M}]{${LONGEST_RUN + 1},}|\\s{${LONGEST_RUN + 1},}|[^\\s\\p{L}\\p{N}]{${LONGEST_RUN + 1},}`,
  'gu',
);

/** A cut can save a token or two: with these the parts together count no less than the whole. */
const TOKENS_A_CUT = 2;

/** The text, cut inside such runs alone. */
function parts(text: string): string[] {
  if (text.length <= LONGEST_RUN) return [text];
  const cut: string[] = [];
  let start = 0;
  for (const { 0: run, index } of text.matchAll(LONG_RUNS)) {
    for (let at = index + LONGEST_RUN; at < index + run.length; at += LONGEST_RUN) {
      const isLowSurrogate = (text.charCodeAt(at) & 0xfc00) === 0xdc00;
      const end = isLowSurrogate ? at - 1 : at;
      cut.push(text.slice(start, end));
      start = end;
    }
  }
  cut.push(text.slice(start));
  return cut;
}

/** Costs are whole numbers of this share of a token, so that sums are exact. */
const UNITS_A_TOKEN = 20;

/**
 * An upper estimate for a tokenizer that is not known: bench/token-counter.ts prints on how many passages of natural
 * language, code and markup it stays above o200k_base and cl100k_base, and by how much. Languages of few speakers
 * online in Latin or Cyrillic letters (Swahili, Welsh, Mongolian) can cost up to a quarter more than it says. One pass
 * over a table of states; the parts of a text, cut at single spaces, never count less than the whole.
 */
const estimate: TokenCounter = {
  name: 'estimate',
  exact: false,
  count(text) {
    let cost = 0;
    let state = 0;
    for (let start = 0; start < text.length; start += WINDOW) {
      const length =
        WINDOW_BYTES.write(text.length <= WINDOW ? text : text.slice(start, start + WINDOW), 0, 'utf16le') /
        2;
      for (let i = 0; i < length; i++) {
        const code = WINDOW_UNITS[i]!;
        if (code < 128) {
          const step = STEPS[state + ASCII[code]!]!;
          cost += step & 0xff;
          state = step >>> 8;
        } else {
          cost += WEIGHTS[code]!;
          state = 0;
        }
      }
    }
    if (state === LONG_WORD_IN_VOWEL * KINDS) cost += ENDING * UNITS_A_TOKEN;
    return Math.ceil(cost / UNITS_A_TOKEN);
  },
};

// Read by windows of code units: an array is read several times as fast as a string that was put together or cut.
const WINDOW = 8_192;
const WINDOW_UNITS = new Uint16Array(WINDOW);
const WINDOW_BYTES = Buffer.from(WINDOW_UNITS.buffer);

// Kinds of ASCII characters.
const MARK = 0;
const LOWER = 1;
/** What few words of English end in, and many of languages that tokenizers know less of. */
const VOWEL = 2;
const UPPER = 3;
const DIGIT = 4;
const SPACE = 5;
const TAB = 6;
const LINE = 7;
const CONTROL = 8;
const KINDS = 16;

const ASCII = new Uint8Array(128).fill(MARK);
ASCII.fill(CONTROL, 0, 32);
ASCII[127] = CONTROL;
ASCII.fill(TAB, 9, 14);
ASCII[10] = LINE;
ASCII[32] = SPACE;
ASCII.fill(DIGIT, 48, 58);
ASCII.fill(UPPER, 65, 91);
ASCII.fill(LOWER, 97, 123);
for (const vowel of 'aiou') ASCII[vowel.charCodeAt(0)] = VOWEL;

// What has been read of a run: so many letters (of four or more, whether the last is a vowel), digits, spaces or marks.
const LETTERS = [0, 1, 2, 3, 4];
const LONG_WORD_IN_VOWEL = 5;
const DIGITS = [0, 6, 7, 8];
const SPACES = [0, 9, 10];
const MARKS = 11;
const STATES = 12;

/** Tokens more for a word of four letters or more that ends in a vowel. */
const ENDING = 0.8;

/** By state and the next character's kind: its cost, and the next state. */
const STEPS = new Uint16Array(STATES * KINDS);
for (let state = 0; state < STATES; state++) {
  const letters = state === LONG_WORD_IN_VOWEL ? 4 : Math.max(0, LETTERS.indexOf(state));
  const digits = Math.max(0, DIGITS.indexOf(state));
  const spaces = Math.max(0, SPACES.indexOf(state));
  const step = (kind: number, tokens: number, next: number) => {
    STEPS[state * KINDS + kind] = ((next * KINDS) << 8) | Math.round(tokens * UNITS_A_TOKEN);
  };
  // Tokens of a word: one, and another for every two and a half letters past the fourth; more in capitals.
  const letter = letters === 0 ? 1 : letters === 4 ? 0.4 : 0;
  const next = LETTERS[Math.min(letters + 1, 4)]!;
  step(LOWER, letter, next);
  step(VOWEL, letter, next === 4 ? LONG_WORD_IN_VOWEL : next);
  step(UPPER, letter + (letters > 0 ? 0.5 : 0), next);
  const ending = state === LONG_WORD_IN_VOWEL ? ENDING : 0;
  step(DIGIT, ending + (digits % 3 === 0 ? 1.9 : 0), DIGITS[(digits % 3) + 1]!);
  // A single space belongs to the word after it; runs of white space are tokens of their own.
  const nextSpace = SPACES[Math.min(spaces + 1, 2)]!;
  step(SPACE, ending + [0, 1.5, 0.05][spaces]!, nextSpace);
  step(TAB, ending + [0, 1.5, 0.1][spaces]!, nextSpace);
  step(LINE, ending + 0.15 + (spaces === 1 ? 1.5 : 0.05), nextSpace);
  step(MARK, ending + (state === MARKS ? 0.5 : 0.6), MARKS);
  step(CONTROL, ending + 1, 0);
}

/** Tokens a code unit outside ASCII, by blocks: the first code unit of each and its weight. */
const BLOCKS: readonly (readonly [first: number, weight: number])[] = [
  [0x80, 1.75], // Latin with diacritics
  [0x370, 1.2], // Greek
  [0x400, 0.8], // Cyrillic
  [0x460, 2.4], // Cyrillic of other languages than Slavic
  [0x530, 2.2], // Armenian
  [0x590, 1.35], // Hebrew
  [0x600, 1], // Arabic
  [0x700, 2.2],
  [0x900, 1.4], // Devanagari
  [0x980, 1.6], // Bengali
  [0xa00, 2.2], // Gurmukhi, Gujarati, Oriya
  [0xb80, 1.6], // Tamil
  [0xc00, 2.2], // Telugu, Kannada
  [0xd00, 1.9], // Malayalam
  [0xd80, 2.4], // Sinhala
  [0xe00, 1.15], // Thai
  [0xe80, 2.3], // Lao
  [0xf00, 2.4], // Tibetan, Burmese, Georgian
  [0x1100, 3.2], // Hangul jamo, Ethiopic and others
  [0x1780, 2.4], // Khmer
  [0x1800, 3],
  [0x1e00, 1.75], // Vietnamese
  [0x1f00, 2.7], // Greek with breathings
  [0x2000, 1.5], // General punctuation
  [0x2070, 2.4],
  [0x3000, 1.2], // CJK punctuation
  [0x3040, 1], // Kana
  [0x3100, 3],
  [0x4e00, 1.75], // Han
  [0xa000, 3],
  [0xac00, 1.7], // Hangul
  [0xd800, 2.1], // Surrogates: emoji, rare Han
  [0xe000, 2.4],
  [0xff00, 1.85], // Full-width forms
];

const WEIGHTS = new Uint8Array(0x10000);
for (const [index, [first, weight]] of BLOCKS.entries())
  WEIGHTS.fill(weight * UNITS_A_TOKEN, first, BLOCKS[index + 1]?.[0] ?? 0x10000);

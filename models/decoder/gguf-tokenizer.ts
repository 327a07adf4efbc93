import { ModelError } from '../model-error.js';
import type { Checkpoint } from './checkpoint.js';

/** llama.cpp's token types (llama.h, enum llama_token_type). */
const CONTROL = 3;
const USER_DEFINED = 4;

const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
const split = (pattern: string) => ({
  type: 'Sequence',
  pretokenizers: [
    { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false },
    { ...byteLevel, use_regex: false },
  ],
});
const LLAMA3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** How text is cut before byte pairs are merged, by llama.cpp's names (src/llama-vocab.cpp, `tokenizer_pre`). */
const PRE_TOKENIZERS: Readonly<Record<string, object>> = {
  'gpt-2': { ...byteLevel, use_regex: true },
  smollm: {
    type: 'Sequence',
    pretokenizers: [
      { type: 'Digits', individual_digits: true },
      { ...byteLevel, use_regex: true },
    ],
  },
  'llama-bpe': split(LLAMA3),
  llama3: split(LLAMA3),
  qwen2: split(LLAMA3.replace('\\p{N}{1,3}', '\\p{N}')),
};

type Tokens = Pick<Checkpoint, 'tokenizer' | 'begin' | 'ends'>;

/**
 * The tokenizer that a GGUF describes, as a `tokenizer.json`.
 * @throws ModelError `unsupported` for what is no byte-level BPE, or cut in a way that is not known
 */
export function ggufTokenizer(path: string, metadata: Readonly<Record<string, unknown>>): Tokens {
  const of = (key: string) => metadata[`tokenizer.ggml.${key}`];
  const tokens = of('tokens') as readonly string[] | undefined;
  const merges = of('merges') as readonly string[] | undefined;
  const types = of('token_type') as readonly number[] | undefined;
  const pre = (of('pre') ?? 'gpt-2') as string;
  const preTokenizer = PRE_TOKENIZERS[pre];
  if (of('model') !== 'gpt2' || !tokens || !merges || !preTokenizer) {
    throw new ModelError(
      'unsupported',
      path,
      `${path} has a tokenizer ${String(of('model'))} with ${pre}, which is not read from a GGUF here; those that are: ` +
        `gpt2 with ${Object.keys(PRE_TOKENIZERS).join(', ')}; give the model as safetensors with its tokenizer.json`,
    );
  }
  const special = (id: number) => types?.[id] === CONTROL;
  const added = tokens.flatMap((content, id) =>
    special(id) || types?.[id] === USER_DEFINED ? [{ id, content, special: special(id) }] : [],
  );
  const begin = of('bos_token_id');
  const ends = [of('eos_token_id'), of('eot_token_id'), of('eom_token_id')];
  return {
    tokenizer: {
      json: {
        version: '1.0',
        added_tokens: added.map((token) => ({
          ...token,
          single_word: false,
          lstrip: false,
          rstrip: false,
          normalized: false,
        })),
        normalizer: null,
        pre_tokenizer: preTokenizer,
        post_processor: null,
        decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
        model: {
          type: 'BPE',
          dropout: null,
          unk_token: null,
          continuing_subword_prefix: null,
          end_of_word_suffix: null,
          fuse_unk: false,
          byte_fallback: false,
          ignore_merges: pre.startsWith('llama'),
          vocab: Object.fromEntries(tokens.map((content, id) => [content, id])),
          merges,
        },
      },
      config: {
        ...(typeof begin === 'number' && { bos_token: tokens[begin] }),
        ...(typeof ends[0] === 'number' && { eos_token: tokens[ends[0]] }),
      },
    },
    begin: of('add_bos_token') === true && typeof begin === 'number' ? begin : undefined,
    ends: ends.filter((id) => typeof id === 'number'),
  };
}

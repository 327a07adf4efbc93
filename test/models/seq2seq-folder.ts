import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fixtures } from './tiny-model.js';

/** Tokens that the fixture's graphs know. */
const VOCABULARY = 512;

/**
 * Lays out a model of text to text as a hub has its like: it writes what it was given, word by word.
 * @param words that its tokenizer knows
 */
export function layOutSeq2seq(folder: string, name: string, words: readonly string[]): void {
  const target = join(folder, 'models', name);
  mkdirSync(join(target, 'onnx'), { recursive: true });
  cpSync(join(fixtures, 'seq2seq'), join(target, 'onnx'), { recursive: true });
  const tokens = ['<pad>', '</s>', '<unk>', ...new Set(words)].slice(0, VOCABULARY);
  const special = (id: number) => ({
    id,
    content: tokens[id],
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  const files = {
    'config.json': {
      model_type: 't5',
      architectures: ['T5ForConditionalGeneration'],
      is_encoder_decoder: true,
      d_model: 1,
      d_kv: 1,
      num_heads: 1,
      num_layers: 1,
      num_decoder_layers: 1,
      vocab_size: VOCABULARY,
      decoder_start_token_id: 0,
      pad_token_id: 0,
      eos_token_id: 1,
    },
    'generation_config.json': { decoder_start_token_id: 0, pad_token_id: 0, eos_token_id: 1 },
    'tokenizer_config.json': {
      tokenizer_class: 'PreTrainedTokenizerFast',
      pad_token: '<pad>',
      eos_token: '</s>',
      unk_token: '<unk>',
      model_max_length: 512,
    },
    'tokenizer.json': {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: [0, 1, 2].map(special),
      normalizer: null,
      pre_tokenizer: { type: 'WhitespaceSplit' },
      post_processor: {
        type: 'TemplateProcessing',
        single: [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '</s>', type_id: 0 } }],
        pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
        special_tokens: { '</s>': { id: '</s>', ids: [1], tokens: ['</s>'] } },
      },
      decoder: null,
      model: {
        type: 'WordLevel',
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        unk_token: '<unk>',
      },
    },
  };
  for (const [file, content] of Object.entries(files))
    writeFileSync(join(target, file), JSON.stringify(content));
}

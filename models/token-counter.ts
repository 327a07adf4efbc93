import { ConfigurationError } from '../compressors/errors.js';
/** Counts tokens as a model's tokenizer does, or estimates them from above. */
export interface TokenCounter {
  readonly name: string;
  readonly exact: boolean;
  count(text: string): number;
}
export async function loadTokenCounter(model?: string): Promise<TokenCounter> {
  if (model === '') throw new ConfigurationError('model', model, 'x');
  if (model === 'gpt-4o' || model==='o200k_base') {
    const m = await import('gpt-tokenizer/encoding/o200k_base');
    return { name: 'o200k_base', exact: true, count: (t) => m.countTokens(t, { disallowedSpecial: new Set() }) };
  }
  if (model === 'gpt-4') {
    const m = await import('gpt-tokenizer/encoding/cl100k_base');
    return { name: 'cl100k_base', exact: true, count: (t) => m.countTokens(t, { disallowedSpecial: new Set() }) };
  }
  return { name: 'estimate', exact: false, count: (t) => Math.ceil(t.length / 3) };
}

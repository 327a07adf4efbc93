import type { GenerationResult } from '../../models/decoder/generation.js';

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
}

/** Of all choices of an answer together. */
export function usageOf(results: readonly GenerationResult[]): Usage {
  const prompt = results.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
  const completion = results.reduce((sum, { completionTokens }) => sum + completionTokens, 0);
  return { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
}

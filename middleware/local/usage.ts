import type { GenerationResult } from '../../models/decoder/generation.js';

export interface Usage {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  /**
   * Of the prompts' tokens, where some were known before: under a name of ours, since OpenAI's `cached_tokens` are
   * an exact prefix.
   */
  readonly ragpress?: {
    readonly reused_tokens: number;
    readonly repaired_tokens: number;
    readonly computed_tokens: number;
  };
}

/** Of all choices of an answer together. */
export function usageOf(results: readonly GenerationResult[]): Usage {
  const sum = (of: (result: GenerationResult) => number) =>
    results.reduce((total, result) => total + of(result), 0);
  const prompt = sum(({ promptTokens }) => promptTokens);
  const completion = sum(({ completionTokens }) => completionTokens);
  const usage = { prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion };
  if (results.every(({ reuse }) => reuse === undefined)) return usage;
  const reused = sum(({ reuse }) => reuse?.reused ?? 0);
  const repaired = sum(({ reuse }) => reuse?.repaired ?? 0);
  return {
    ...usage,
    ragpress: {
      reused_tokens: reused,
      repaired_tokens: repaired,
      computed_tokens: prompt - reused - repaired,
    },
  };
}

import { expect } from 'vitest';
import {
  createPipeline,
  type CompressionRequest,
  type CompressionResult,
  type PipelineOptions,
} from 'ragpress';
import { verbatimFaults } from '../../verbatim.js';

/** One request through HtmlRAG alone, or other stages; fails where what is kept is not the page's own text. */
export async function compressedPage(
  request: CompressionRequest,
  options: PipelineOptions = {},
): Promise<CompressionResult> {
  const pipeline = await createPipeline({ stages: ['htmlrag'], ...options });
  try {
    const result = await pipeline.compress(request);
    expect(verbatimFaults(result, request.documents)).toEqual([]);
    if (result.tokens.budget !== undefined)
      expect(result.tokens.after).toBeLessThanOrEqual(result.tokens.budget);
    expect(result.stages.filter(({ error }) => error !== undefined)).toEqual([]);
    return result;
  } finally {
    await pipeline.close();
  }
}

import { z } from 'zod';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { validate } from '../../settings/validate.js';
import type { Alignment } from './alignment.js';
import { AVAILABLE_CODECS, compressedLength, type CodecName, type CompressedLength } from './codecs.js';
import { ExactAlignment } from './exact-alignment.js';
import { FastAlignment } from './fast-alignment.js';

export interface AlignmentOptions {
  /**
   * `fast` (default): the target is prepared once and each candidate read once. `exact`: the authors' arithmetic, two
   * runs of a codec for every pair.
   */
  readonly mode?: 'fast' | 'exact';
  /** For `exact`: a codec's name, or a function from bytes to their length once compressed. Default `deflate-raw`. */
  readonly codec?: CodecName | CompressedLength;
}

export interface RankOptions extends AlignmentOptions {
  /** How many to return. Default all. */
  readonly limit?: number;
}

export interface RankedCandidate {
  /** Index among the candidates. */
  readonly index: number;
  /** Higher is better. Exact scores are 1 − NCD; fast ones are comparable within one ranking only. */
  readonly score: number;
}

/** The fastest of the codecs whose evidence recall is within 0.01 of the best (`npm run bench -- zipfit`). */
export const DEFAULT_CODEC: CodecName = 'deflate-raw';

const codecNames = ['gzip', 'deflate-raw', 'brotli', 'zstd'] as const satisfies readonly CodecName[];

export const alignmentSchema = z.strictObject({
  mode: z.enum(['fast', 'exact']).default('fast'),
  codec: z
    .union(
      [z.enum(codecNames), z.custom<CompressedLength>((value) => typeof value === 'function')],
      `give one of ${codecNames.join(', ')}, or a function`,
    )
    .optional(),
});

const rankSchema = alignmentSchema.extend({ limit: z.number().int().min(1).optional() });

/**
 * Ranks candidates by how well they align with a target by compression alone (ZIP-FIT, Obbad et al. 2024,
 * arXiv 2410.18194).
 * @param targets what is looked for: a query, or examples of it, over which the score is a mean
 * @returns the best first, ties in order
 * @throws ConfigurationError where there is no target, or for a codec that this Node does not have
 */
export function rankByCompression(
  targets: readonly string[],
  candidates: readonly string[],
  options: RankOptions = {},
): RankedCandidate[] {
  const { limit, ...settings } = validate(rankSchema, options);
  const alignment = createAlignment(targets, settings);
  for (const candidate of candidates) alignment.add(candidate);
  return Array.from(alignment.scores(), (score, index) => ({ index, score }))
    .sort((a, b) => b.score - a.score || a.index - b.index)
    .slice(0, limit);
}

/**
 * @param root what goes before the name of a setting in an error
 * @throws ConfigurationError
 */
export function createAlignment(
  targets: readonly string[],
  { mode, codec }: z.output<typeof alignmentSchema>,
  root = '',
): Alignment {
  if (targets.length === 0) throw new ConfigurationError('targets', targets, 'give at least one');
  if (mode === 'fast') {
    if (codec !== undefined)
      throw new ConfigurationError(
        `${root}codec`,
        codec,
        "it goes with mode: 'exact'; the fast mode uses none",
      );
    return new FastAlignment(targets);
  }
  return new ExactAlignment(targets, codecOf(codec ?? DEFAULT_CODEC, root));
}

function codecOf(codec: CodecName | CompressedLength, root: string): CompressedLength {
  if (typeof codec === 'function') return codec;
  const known = compressedLength(codec);
  if (!known)
    throw new ConfigurationError(
      `${root}codec`,
      codec,
      `this Node does not have it; give one of ${AVAILABLE_CODECS.join(', ')}`,
    );
  return known;
}

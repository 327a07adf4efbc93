import type { LayerRange } from '../../models/decoder/engine.js';
import type { DecoderShape } from '../../models/decoder/shape.js';

/** What a page is told of a decoder, as JSON; its weights come beside it. */
export interface PageModel {
  /** Name and version, or the last part of its folder's path. */
  readonly name: string;
  /** Another one where any of its files is another. */
  readonly version: string;
  readonly shape: DecoderShape;
  /** In place of `shape.rope.divisors`, which are no JSON. */
  readonly ropeDivisors: readonly number[] | undefined;
  readonly tokenizer: { readonly json: object; readonly config: object };
  readonly chatTemplate: string | undefined;
  readonly ends: readonly number[];
  /** Its layers' graphs, a file each; beside them `head` and `embedding`. */
  readonly parts: readonly LayerRange[];
}

/**
 * A file of weights: an ONNX graph of some layers or of the head, or the embedding of the vocabulary, levels and then
 * scales as `BlockWeights` has them, or float32 numbers where the precision is that.
 */
export type PageFile = `part.${number}` | 'head' | 'embedding';

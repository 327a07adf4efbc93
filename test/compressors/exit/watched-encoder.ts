import type { EncoderInput, EvidenceEncoder } from '../../../models/encoder/evidence-encoder.js';
import type { Window } from '../../../compressors/exit/windows.js';

/** An encoder as it is, with what it is asked to read in `seen`. */
export function watchedEncoder(
  encoder: EvidenceEncoder,
  before: (count: number) => Promise<void> = () => Promise.resolve(),
): { readonly encoder: EvidenceEncoder; readonly seen: Window[] } {
  const seen: Window[] = [];
  const watched: Pick<EvidenceEncoder, 'model' | 'settings' | 'chunkIds' | 'isKnown' | 'read'> = {
    model: encoder.model,
    settings: encoder.settings,
    chunkIds: (chunk) => encoder.chunkIds(chunk),
    isKnown: () => false,
    async read(input: EncoderInput, signal) {
      await before(seen.length);
      signal?.throwIfAborted();
      seen.push(input as Window);
      return encoder.read(input, signal);
    },
  };
  return { encoder: watched as EvidenceEncoder, seen };
}

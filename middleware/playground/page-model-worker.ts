import { move } from 'piscina';
import { openCheckpoint, type Checkpoint } from '../../models/decoder/checkpoint.js';
import type { Precision } from '../../models/decoder/decoder-engine.js';
import { gpuModel } from '../../models/decoder/open-engine.js';
import { inBlocks } from '../../models/decoder/quantise.js';
import type { PageFile, PageModel } from './page-model.js';

/** What a page asks for of a checkpoint. */
export interface PageModelTask {
  readonly folder: string;
  readonly precision: Precision;
  readonly wanted: PageFile | 'description';
}

/** Without what the server alone knows of it. */
export type CheckpointDescription = Omit<PageModel, 'name' | 'version'>;

/**
 * Runs in a worker thread (playground.ts): a graph of all layers takes seconds to put together.
 * @returns undefined for a part that the model has not
 * @throws ModelError
 */
export default async function makePageModel({
  folder,
  precision,
  wanted,
}: PageModelTask): Promise<CheckpointDescription | Uint8Array | undefined> {
  const checkpoint = await openCheckpoint(folder);
  try {
    if (wanted === 'embedding') return move(embeddingOf(checkpoint, precision)) as Uint8Array;
    const model = gpuModel(checkpoint, { precision, masses: true });
    if (wanted === 'head') return move(await model.head()) as Uint8Array;
    if (wanted !== 'description') {
      const part = model.parts[Number(wanted.slice('part.'.length))];
      return part && (move(await part.graph()) as Uint8Array);
    }
    const { shape, tokenizer, chatTemplate, ends } = checkpoint;
    const { divisors } = shape.rope;
    return {
      shape,
      ropeDivisors: divisors && [...divisors],
      tokenizer,
      chatTemplate,
      ends,
      parts: model.parts.map(({ from, to }) => ({ from, to })),
    };
  } finally {
    await checkpoint.close();
  }
}

function embeddingOf({ embedding }: Checkpoint, precision: Precision): Uint8Array {
  if (precision === 'float32') return new Uint8Array(embedding.read().buffer);
  const { levels, scales } = inBlocks(embedding);
  const bytes = new Uint8Array(levels.byteLength + scales.byteLength);
  bytes.set(levels);
  bytes.set(new Uint8Array(scales.buffer), levels.byteLength);
  return bytes;
}

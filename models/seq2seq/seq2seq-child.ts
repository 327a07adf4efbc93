import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  Failure,
  loadTransformers,
  messageOf,
  ON_CPU,
  type TransformersFault,
  type TransformersLibrary,
  type TransformersPlace,
} from '../encoder/transformers-library.js';

export interface Seq2seqSource extends TransformersPlace {
  readonly model: string;
  readonly quantized: boolean;
}

export type Seq2seqTask =
  | { readonly type: 'open'; readonly source: Seq2seqSource }
  | { readonly type: 'run'; readonly text: string; readonly maxTokens: number }
  | { readonly type: 'close' };

/** Ends the run under way after its next token. Nothing is sent for it. */
export interface Seq2seqInterruption {
  readonly type: 'interrupt';
}

/** What a process sends for each task, in the order of the tasks. */
export type Seq2seqResult =
  | { readonly type: 'opened' }
  | { readonly type: 'generated'; readonly text: string; readonly isCut: boolean }
  | { readonly type: 'closed' }
  | ({ readonly type: 'failed' } & TransformersFault);

interface Generator {
  (
    text: string,
    options: Readonly<Record<string, unknown>>,
  ): Promise<readonly { readonly generated_text: string }[]>;
  readonly tokenizer: { encode(text: string): ArrayLike<number> };
  dispose(): Promise<unknown>;
}

interface Interruption {
  interrupt(): void;
}

/** What Transformers.js 2 to 4 have in common, of all that this uses. */
interface Transformers extends TransformersLibrary {
  pipeline(task: string, model: string, options: Readonly<Record<string, unknown>>): Promise<Generator>;
  /** From version 3 on. */
  readonly InterruptableStoppingCriteria?: new () => Interruption;
}

let opened: { readonly generator: Generator; readonly library: Transformers } | undefined;
let running: Interruption | undefined;

async function perform(task: Seq2seqTask): Promise<Seq2seqResult> {
  try {
    if (task.type === 'open') {
      opened = await open(task.source);
      return { type: 'opened' };
    }
    if (task.type === 'run')
      return { type: 'generated', ...(await generate(opened!, task.text, task.maxTokens)) };
    await opened?.generator.dispose();
    opened = undefined;
    return { type: 'closed' };
  } catch (error) {
    const why = error instanceof Failure ? error.why : 'inference';
    return { type: 'failed', why, message: messageOf(error) };
  }
}

async function open({
  model: name,
  quantized,
  ...place
}: Seq2seqSource): Promise<NonNullable<typeof opened>> {
  const library = await loadTransformers<Transformers>(place);
  try {
    const generator = await library.pipeline('text2text-generation', name, {
      quantized, // For version 2; what follows is for later ones.
      dtype: quantized ? 'q8' : 'fp32',
      ...ON_CPU,
    });
    return { generator, library };
  } catch (error) {
    const suffix = quantized ? '_quantized' : '';
    const files = [
      'config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      `onnx/encoder_model${suffix}.onnx`,
      `onnx/decoder_model_merged${suffix}.onnx`,
    ];
    const isThere = files.every((file) => existsSync(join(place.folder, name, file)));
    throw new Failure(isThere ? 'damaged' : 'unavailable', messageOf(error));
  }
}

/** The likeliest token each time: the same text gives the same. */
async function generate(
  { generator, library }: NonNullable<typeof opened>,
  text: string,
  maxTokens: number,
): Promise<{ text: string; isCut: boolean }> {
  running = library.InterruptableStoppingCriteria && new library.InterruptableStoppingCriteria();
  try {
    const [generated] = await generator(text, {
      max_new_tokens: maxTokens,
      do_sample: false,
      num_beams: 1,
      ...(running && { stopping_criteria: running }),
    });
    const written = generated?.generated_text ?? '';
    // It does not say why it ended. Special tokens are counted here, and are generated.
    return { text: written, isCut: generator.tokenizer.encode(written).length >= maxTokens };
  } finally {
    running = undefined;
  }
}

// The process of one `TransformersSeq2seq`.
let last: Promise<unknown> = Promise.resolve();
process.on('message', (task: Seq2seqTask | Seq2seqInterruption) => {
  if (task.type === 'interrupt') running?.interrupt();
  else last = last.then(async () => process.send?.(await perform(task)));
});
process.on('disconnect', () => process.exit());

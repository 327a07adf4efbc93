import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  Failure,
  loadTransformers,
  messageOf,
  ON_CPU,
  type Pretrained,
  type TransformersFailure,
  type TransformersLibrary,
  type TransformersPlace,
} from './transformers-library.js';

export interface TransformersSource extends TransformersPlace {
  readonly model: string;
  readonly pooling: 'mean' | 'cls';
  readonly quantized: boolean;
  readonly maxTokens: number | undefined;
}

export type TransformersTask =
  | { readonly type: 'open'; readonly source: TransformersSource }
  | { readonly type: 'run'; readonly text: string }
  | { readonly type: 'close' };

/** What a process sends for each task, in the order of the tasks. `vector` lacks where the tokenizer makes no token of the text. */
export type TransformersResult =
  | { readonly type: 'opened'; readonly dimensions: number; readonly maxTokens: number }
  | { readonly type: 'embedded'; readonly vector?: Float32Array }
  | { readonly type: 'closed' }
  | { readonly type: 'failed'; readonly why: TransformersFailure; readonly message: string };

interface Tensor {
  readonly type: string;
  readonly data: unknown;
  readonly dims: readonly number[];
}

type Inputs = Readonly<Record<string, Tensor>>;

interface PretrainedTokenizer {
  (text: string): Inputs;
  readonly model_max_length?: number;
  readonly config?: { readonly model_max_length?: number };
}

interface PretrainedModel {
  (inputs: Inputs): Promise<Readonly<Record<string, Tensor | undefined>>>;
  readonly config: { readonly max_position_embeddings?: number };
  dispose(): Promise<unknown>;
}

/** What Transformers.js 2 to 4 have in common, of all that this uses. */
interface Transformers extends TransformersLibrary {
  readonly AutoTokenizer: Pretrained<PretrainedTokenizer>;
  readonly AutoModel: Pretrained<PretrainedModel>;
  readonly Tensor: new (type: string, data: BigInt64Array, dims: readonly number[]) => Tensor;
}

/** Where neither the tokenizer nor the model says how many. */
const MAX_TOKENS = 512;
interface Opened {
  readonly tokenizer: PretrainedTokenizer;
  readonly model: PretrainedModel;
  readonly pooling: 'mean' | 'cls';
  readonly maxTokens: number;
  /** How many special tokens are put at the end of any text. */
  readonly ending: number;
  readonly Tensor: Transformers['Tensor'];
}

let opened: Opened | undefined;

async function perform(task: TransformersTask): Promise<TransformersResult> {
  try {
    if (task.type === 'open') {
      opened = await open(task.source);
      const { vector } = await embed(opened, 'a');
      return { type: 'opened', dimensions: vector?.length ?? 0, maxTokens: opened.maxTokens };
    }
    if (task.type === 'run') return { type: 'embedded', ...(await embed(opened!, task.text)) };
    await opened?.model.dispose();
    opened = undefined;
    return { type: 'closed' };
  } catch (error) {
    const why = error instanceof Failure ? error.why : 'inference';
    return { type: 'failed', why, message: messageOf(error) };
  }
}

async function open({
  model: name,
  revision,
  pooling,
  quantized,
  maxTokens,
  folder,
  localOnly,
  hub,
}: TransformersSource): Promise<Opened> {
  const { AutoTokenizer, AutoModel, Tensor } = await loadTransformers<Transformers>({
    revision,
    folder,
    localOnly,
    hub,
  });
  try {
    const tokenizer = await AutoTokenizer.from_pretrained(name, {});
    const model = await AutoModel.from_pretrained(name, {
      quantized, // For version 2; what follows is for later ones.
      dtype: quantized ? 'q8' : 'fp32',
      ...ON_CPU,
    });
    const limits = [
      maxTokens,
      tokenizer.model_max_length ?? tokenizer.config?.model_max_length,
      model.config.max_position_embeddings,
    ].filter((limit) => Number.isSafeInteger(limit));
    return {
      tokenizer,
      model,
      pooling,
      maxTokens: limits.length > 0 ? Math.min(...limits.map(Number)) : MAX_TOKENS,
      ending: commonEnding(idsOf(tokenizer('')), idsOf(tokenizer('a'))),
      Tensor,
    };
  } catch (error) {
    const files = [
      'config.json',
      'tokenizer.json',
      'tokenizer_config.json',
      `onnx/model${quantized ? '_quantized' : ''}.onnx`,
    ];
    const isThere = files.every((file) => existsSync(join(folder, name, file)));
    throw new Failure(isThere ? 'damaged' : 'unavailable', messageOf(error));
  }
}

function idsOf({ input_ids }: Inputs): BigInt64Array {
  if (!(input_ids?.data instanceof BigInt64Array))
    throw new Error('its tokenizer gives no numbers of tokens');
  return input_ids.data;
}

function commonEnding(a: BigInt64Array, b: BigInt64Array): number {
  let count = 0;
  while (count < Math.min(a.length, b.length) && a.at(-1 - count) === b.at(-1 - count)) count++;
  return count;
}

/** The library's own truncation would take away the special tokens at the end. */
function truncate(inputs: Inputs, { maxTokens, ending, Tensor }: Opened): Inputs {
  if (idsOf(inputs).length <= maxTokens) return inputs;
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { type, data }]) => {
      const values = data as BigInt64Array;
      const cut = values.slice(0, maxTokens);
      cut.set(values.subarray(values.length - ending), maxTokens - ending);
      return [name, new Tensor(type, cut, [1, maxTokens])];
    }),
  );
}

async function embed(opened: Opened, text: string): Promise<{ vector?: Float32Array }> {
  const { tokenizer, model, pooling } = opened;
  const inputs = truncate(tokenizer(text), opened);
  if (idsOf(inputs).length === 0) return {};
  const outputs = await model(inputs);
  // A graph that pools by itself has no token states.
  const states =
    outputs.last_hidden_state ?? outputs.token_embeddings ?? outputs.sentence_embedding ?? outputs.logits;
  const width = states?.dims.at(-1) ?? 0;
  if (!states || !(states.data instanceof Float32Array) || width === 0 || states.data.length === 0) {
    throw new Error(
      `it gives ${Object.keys(outputs).join(', ')}, and none of these holds float32 states of tokens`,
    );
  }
  const { data } = states;
  const rows = pooling === 'cls' ? 1 : data.length / width;
  const sums = new Float64Array(width);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < width; column++) sums[column]! += data[row * width + column]!;
  const length = Math.hypot(...sums);
  if (!Number.isFinite(length) || length === 0) throw new Error(`its states have the length ${length}`);
  return { vector: Float32Array.from(sums, (sum) => sum / length) };
}

// The process of one `TransformersEmbedder` (transformers-process.ts).
let last: Promise<unknown> = Promise.resolve();
process.on('message', (task: TransformersTask) => {
  last = last.then(async () => process.send?.(await perform(task)));
});
process.on('disconnect', () => process.exit());

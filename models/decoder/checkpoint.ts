import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ModelError } from '../model-error.js';
import type { Matrix } from './matrix.js';
import { openSmoothing, SMOOTHING } from './smoothing.js';
import type { DecoderShape } from './shape.js';

/** Matrices of a layer, [outputs, inputs]. */
export type MatrixPart = 'q' | 'k' | 'v' | 'output' | 'gate' | 'up' | 'down';
export type VectorPart = 'attentionNorm' | 'feedForwardNorm' | 'qBias' | 'kBias' | 'vBias';
export type LayerPart = MatrixPart | VectorPart;

/** Products whose inputs can be scaled for nothing: by the norm before them, and for `down` by the rows of `up`. */
export type SmoothedProduct = 'qkv' | 'gateUp' | 'down';

/** What a folder holds of a model: its shape, its tokenizer and its weights. */
export interface Checkpoint {
  /** Of what is not named otherwise: its file. */
  readonly path: string;
  readonly shape: DecoderShape;
  /** `tokenizer.json`, and `tokenizer_config.json` as far as it is needed. */
  readonly tokenizer: { readonly json: object; readonly config: object };
  /** In Jinja, as Transformers has it. */
  readonly chatTemplate: string | undefined;
  /** Begins every input, where the model wants that. */
  readonly begin: number | undefined;
  /** Tokens that end what is generated. */
  readonly ends: readonly number[];
  readonly embedding: Matrix;
  /** From the last layer to the vocabulary; undefined where it is the embedding. */
  readonly head: Matrix | undefined;
  readonly finalNorm: Float32Array;
  /** @throws ModelError `damaged` where it is not there or has another size */
  matrix(layer: number, part: MatrixPart): Matrix;
  vector(layer: number, part: VectorPart): Float32Array;
  /**
   * By what each input of a product may be divided and its weights multiplied, so that activations round to 8 bits
   * with less loss (Xiao et al. 2023, SmoothQuant); undefined where the folder has none.
   */
  smoothing(layer: number, product: SmoothedProduct): Float32Array | undefined;
  close(): Promise<void>;
}

/** Architectures that the graph computes, by the names that `config.json` and a GGUF have for them. */
export const ARCHITECTURES: Readonly<Record<string, string>> = {
  LlamaForCausalLM: 'llama',
  MistralForCausalLM: 'llama',
  Qwen2ForCausalLM: 'qwen2',
  llama: 'llama',
  qwen2: 'qwen2',
};

/** Outputs and inputs. */
export function matrixSize(shape: DecoderShape, part: MatrixPart): [number, number] {
  const { width, inner, heads, kvHeads, headSize } = shape;
  switch (part) {
    case 'q':
      return [heads * headSize, width];
    case 'k':
    case 'v':
      return [kvHeads * headSize, width];
    case 'output':
      return [width, heads * headSize];
    case 'gate':
    case 'up':
      return [inner, width];
    case 'down':
      return [width, inner];
  }
}

export function vectorSize({ width, heads, kvHeads, headSize }: DecoderShape, part: VectorPart): number {
  if (part === 'qBias') return heads * headSize;
  return part === 'kBias' || part === 'vBias' ? kvHeads * headSize : width;
}

export function unsupportedArchitecture(path: string, name: unknown): ModelError {
  return new ModelError(
    'unsupported',
    path,
    `${path} is of the architecture ${String(name)}, which is not run here; those that are: Llama, Mistral, Qwen2 ` +
      '(also SmolLM2 and others that say they are one of these)',
  );
}

/** How llama.cpp names the parts of a model (llama-gguf-split). */
const PART = /-\d{5}-of-\d{5}\.gguf$/;

/**
 * Opens the checkpoint of a folder: its `.gguf` file or the parts of one, or `config.json` with `.safetensors` and `tokenizer.json`.
 * @throws ModelError `missing`, `damaged`, `unsupported`
 */
export async function openCheckpoint(folder: string): Promise<Checkpoint> {
  let names: string[];
  try {
    names = await readdir(folder);
  } catch (error) {
    throw new ModelError('missing', folder, `${folder} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const smoothing = names.includes(SMOOTHING) ? await openSmoothing(join(folder, SMOOTHING)) : undefined;
  const ggufs = names.filter((name) => name.endsWith('.gguf')).sort();
  const [first, ...rest] = ggufs.map((name) => join(folder, name));
  if (rest.length > 0 && !ggufs.every((name) => PART.test(name)))
    throw new ModelError(
      'unsupported',
      folder,
      `${folder} holds ${ggufs.length} GGUF files that are not parts of one; keep one model a folder`,
    );
  // What reads the other kind, and the packages it takes, is not loaded.
  if (first !== undefined) {
    const { openGguf } = await import('./gguf.js');
    return openGguf([first, ...rest], smoothing);
  }
  const weights = names.filter((name) => name.endsWith('.safetensors') && name !== SMOOTHING).sort();
  if (weights.length > 0 && names.includes('config.json')) {
    const { openSafetensors } = await import('./safetensors.js');
    return openSafetensors(folder, weights, smoothing);
  }
  throw new ModelError(
    'missing',
    folder,
    `${folder} holds no checkpoint: give a folder with a .gguf file, or with config.json, tokenizer.json and .safetensors`,
  );
}

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ModelError } from '../model-error.js';
import {
  ARCHITECTURES,
  matrixSize,
  unsupportedArchitecture,
  vectorSize,
  type Checkpoint,
  type LayerPart,
} from './checkpoint.js';
import type { DecoderShape, RopeScaling } from './shape.js';
import { openTensors } from './safetensors-file.js';
import type { Smoothing } from './smoothing.js';
import { Weights } from './weights.js';

const NAMES: Readonly<Record<LayerPart, string>> = {
  attentionNorm: 'input_layernorm.weight',
  q: 'self_attn.q_proj.weight',
  k: 'self_attn.k_proj.weight',
  v: 'self_attn.v_proj.weight',
  output: 'self_attn.o_proj.weight',
  qBias: 'self_attn.q_proj.bias',
  kBias: 'self_attn.k_proj.bias',
  vBias: 'self_attn.v_proj.bias',
  feedForwardNorm: 'post_attention_layernorm.weight',
  gate: 'mlp.gate_proj.weight',
  up: 'mlp.up_proj.weight',
  down: 'mlp.down_proj.weight',
};

const ropeSchema = z
  .looseObject({
    rope_theta: z.number().positive().optional(),
    rope_type: z.string().optional(),
    type: z.string().optional(),
    factor: z.number().positive().optional(),
    original_max_position_embeddings: z.int().positive().optional(),
    low_freq_factor: z.number().optional(),
    high_freq_factor: z.number().optional(),
    beta_fast: z.number().optional(),
    beta_slow: z.number().optional(),
    attention_factor: z.number().optional(),
  })
  .nullish();

/** `config.json` of Transformers, as far as the graph depends on it. */
const configSchema = z.looseObject({
  architectures: z.array(z.string()).min(1),
  num_hidden_layers: z.int().positive(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive().optional(),
  head_dim: z.int().positive().nullish(),
  vocab_size: z.int().positive(),
  max_position_embeddings: z.int().positive(),
  rms_norm_eps: z.number().positive(),
  rope_theta: z.number().positive().optional(),
  rope_scaling: ropeSchema,
  /** Both in one, since Transformers 5. */
  rope_parameters: ropeSchema,
  sliding_window: z.int().positive().nullish(),
  use_sliding_window: z.boolean().optional(),
  attention_bias: z.boolean().optional(),
  mlp_bias: z.boolean().optional(),
  hidden_act: z.string().default('silu'),
  tie_word_embeddings: z.boolean().optional(),
  eos_token_id: z.union([z.int(), z.array(z.int())]).nullish(),
});

type Config = z.output<typeof configSchema>;

/**
 * A model as Transformers saves it: `config.json`, `tokenizer.json`, weights in one or more files.
 * @throws ModelError `damaged`, `unsupported`
 */
export async function openSafetensors(
  folder: string,
  names: readonly string[],
  smoothing: Smoothing | undefined,
): Promise<Checkpoint> {
  const config = await readConfig(join(folder, 'config.json'));
  const architecture = ARCHITECTURES[config.architectures[0]!];
  if (architecture === undefined) throw unsupportedArchitecture(folder, config.architectures[0]);
  if (config.hidden_act !== 'silu' || config.mlp_bias === true)
    throw new ModelError(
      'unsupported',
      folder,
      `${folder} has another feed-forward part than Llama's SiLU without bias`,
    );
  const weights = await Weights.open(names.map((name) => openTensors(join(folder, name))));
  try {
    const shape = shapeOf(folder, config, architecture);
    const { width, vocabulary } = shape;
    const name = (layer: number, part: LayerPart) => `model.layers.${layer}.${NAMES[part]}`;
    const json = async (file: string) => JSON.parse(await readFile(join(folder, file), 'utf8')) as object;
    const tokenizer = await json('tokenizer.json');
    const tokenizerConfig = (await json('tokenizer_config.json').catch(() => ({}))) as Record<
      string,
      unknown
    >;
    const { eos_token_id: ends } = (await json('generation_config.json').catch(
      () => config,
    )) as Partial<Config>;
    const template = tokenizerConfig.chat_template;
    const hasHead = weights.has('lm_head.weight') && config.tie_word_embeddings !== true;
    return {
      path: folder,
      shape,
      tokenizer: { json: tokenizer, config: tokenizerConfig },
      chatTemplate:
        typeof template === 'string'
          ? template
          : await readFile(join(folder, 'chat_template.jinja'), 'utf8').catch(() => undefined),
      begin: beginOf(tokenizer, tokenizerConfig),
      ends: ends === undefined || ends === null ? [] : [ends].flat(),
      embedding: weights.matrix('model.embed_tokens.weight', vocabulary, width),
      head: hasHead ? weights.matrix('lm_head.weight', vocabulary, width) : undefined,
      finalNorm: weights.vector('model.norm.weight', width),
      matrix: (layer, part) => weights.matrix(name(layer, part), ...matrixSize(shape, part)),
      vector: (layer, part) => weights.vector(name(layer, part), vectorSize(shape, part)),
      smoothing: (layer, product) => smoothing?.(layer, product, product === 'down' ? shape.inner : width),
      close: () => weights.close(),
    };
  } catch (error) {
    await weights.close();
    if (error instanceof ModelError) throw error;
    throw new ModelError('damaged', folder, `${folder} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

async function readConfig(path: string): Promise<Config> {
  try {
    return configSchema.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    const reason =
      error instanceof z.ZodError
        ? `${error.issues[0]!.path.join('.')}: ${error.issues[0]!.message}`
        : (error as Error).message;
    throw new ModelError('damaged', path, `${path} cannot be used: ${reason}`, { cause: error });
  }
}

function shapeOf(folder: string, config: Config, architecture: string): DecoderShape {
  const { hidden_size: width, num_attention_heads: heads } = config;
  const contextLength = config.max_position_embeddings;
  const window = config.use_sliding_window === false ? undefined : config.sliding_window;
  return {
    layers: config.num_hidden_layers,
    width,
    inner: config.intermediate_size,
    heads,
    kvHeads: config.num_key_value_heads ?? heads,
    headSize: config.head_dim ?? width / heads,
    vocabulary: config.vocab_size,
    contextLength: Math.min(contextLength, window ?? contextLength),
    epsilon: config.rms_norm_eps,
    rope: {
      theta: config.rope_parameters?.rope_theta ?? config.rope_theta ?? 10_000,
      scaling: scalingOf(folder, config),
    },
    attentionBias: architecture === 'qwen2' || config.attention_bias === true,
  };
}

function scalingOf(folder: string, config: Config): RopeScaling {
  const scaling = config.rope_parameters ?? config.rope_scaling;
  const type = scaling?.rope_type ?? scaling?.type ?? 'default';
  const { factor = 1, original_max_position_embeddings: originalContext = config.max_position_embeddings } =
    scaling ?? {};
  switch (type) {
    case 'default':
      return { type: 'none' };
    case 'linear':
      return { type, factor };
    case 'llama3':
      return {
        type,
        factor,
        originalContext,
        lowFrequencyFactor: scaling?.low_freq_factor ?? 1,
        highFrequencyFactor: scaling?.high_freq_factor ?? 4,
      };
    case 'yarn':
      return {
        type,
        factor,
        originalContext,
        betaFast: scaling?.beta_fast ?? 32,
        betaSlow: scaling?.beta_slow ?? 1,
        attentionFactor: scaling?.attention_factor ?? 0.1 * Math.log(factor) + 1,
      };
    default:
      throw new ModelError(
        'unsupported',
        folder,
        `${folder} stretches positions by ${type}; those that are run: linear, yarn, llama3`,
      );
  }
}

/** The token that the tokenizer's template puts before every input. */
function beginOf(tokenizer: object, config: Readonly<Record<string, unknown>>): number | undefined {
  const { bos_token: token, add_bos_token: wanted } = config;
  const content =
    typeof token === 'string' ? token : (token as { content?: string } | null | undefined)?.content;
  const { added_tokens: added = [], post_processor: processor } = tokenizer as {
    added_tokens?: readonly { id: number; content: string }[];
    post_processor?: object | null;
  };
  const inTemplate =
    content !== undefined && JSON.stringify(processor ?? null).includes(JSON.stringify(content));
  if (wanted !== true && !(wanted === undefined && inTemplate)) return undefined;
  return added.find((entry) => entry.content === content)?.id;
}

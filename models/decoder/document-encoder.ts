import { z } from 'zod';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { validate } from '../../settings/validate.js';
import type { Embedder } from '../encoder/embedder.js';
import type { EmbeddingModel } from '../encoder/embedding-model.js';
import { ModelError } from '../model-error.js';
import { ModelRegistry } from '../registry.js';
import { Projector } from './projector.js';

/** A language model that takes embeddings in place of tokens; a `Decoder` is one. */
export interface EmbeddingReader {
  readonly model: string;
  /** Numbers of a token's embedding. */
  readonly width: number;
  /** Mean length of a token's embedding. */
  embeddingNorm(): Promise<number>;
}

export interface DocumentEncoderOptions {
  /** What is to read the embeddings. */
  readonly reader: EmbeddingReader;
  /** A model of the kind `projector`. Default `xrag-projector`, which leads from `minilm` to `smollm2`. */
  readonly model?: string;
  /** A folder with a projector's safetensors in place of a model by its name. */
  readonly folder?: string;
  /** Default one with its own defaults. */
  readonly registry?: ModelRegistry;
  /** What the projector was trained on. Default `minilm`. */
  readonly embedder?: EmbeddingModel;
}

const optionsSchema = z
  .strictObject({
    reader: z.custom<EmbeddingReader>(
      (value) => typeof (value as Partial<EmbeddingReader> | null)?.embeddingNorm === 'function',
      'give what takes embeddings, such as a Decoder: { model, width, embeddingNorm }',
    ),
    model: z.string().min(1).optional(),
    folder: z.string().min(1, 'give a path').optional(),
    registry: z.instanceof(ModelRegistry, { error: 'give a ModelRegistry' }).optional(),
    embedder: z
      .custom<EmbeddingModel>(
        (value) => typeof (value as Partial<EmbeddingModel> | null)?.embed === 'function',
        'give { dimensions, embed }',
      )
      .optional(),
  })
  .refine(({ model, folder }) => model === undefined || folder === undefined, {
    path: ['folder'],
    error: 'give a model or a folder, not both',
  });

export interface EncodableDocument {
  readonly title?: string | undefined;
  readonly text: string;
}

/** What a projector is tried on when it is loaded. */
const TRIALS: readonly EncodableDocument[] = [
  {
    title: 'Lighthouse',
    text: 'A lighthouse is a tower with a lamp that guides ships at night. Most are now run without a keeper.',
  },
  {
    title: 'Bicycle ferry',
    text: 'The ferry carries bicycles across the river from April to October, every half hour.',
  },
  {
    title: 'Annual report',
    text: 'Sales rose by four percent, and costs fell as the company closed two of its plants.',
  },
];

/**
 * Of a token's length, what a projected embedding may have. One that was not trained is shorter; training makes it longer
 * by an order of magnitude, since layers norm what they read.
 */
const [SHORTEST, LONGEST] = [1 / 4, 64];

/**
 * Documents as one embedding each (Cheng et al. 2024, xRAG): what they are about, and not the names, numbers and dates in
 * them. Of a document what the embedder reads counts: 256 tokens by `minilm`.
 */
export class DocumentEncoder {
  readonly #embedder: EmbeddingModel;
  readonly #projector: Projector;
  readonly #own: Embedder | undefined;

  private constructor(embedder: EmbeddingModel, projector: Projector, own: Embedder | undefined) {
    this.#embedder = embedder;
    this.#projector = projector;
    this.#own = own;
  }

  /**
   * Loads a projector, and tries it.
   * @throws ConfigurationError also for a projector that is as wide as another embedder or reader; ModelError also
   * `damaged` for one whose embeddings are far longer or shorter than the reader's own
   */
  static async load(options: DocumentEncoderOptions): Promise<DocumentEncoder> {
    const { reader, model, folder, registry, embedder } = validate(optionsSchema, options, 'documentEncoder');
    const projector = await Projector.load({ model, folder, registry });
    if (projector.width !== reader.width)
      throw new ConfigurationError(
        'projector',
        projector.model,
        `it makes embeddings of ${projector.width} numbers where ${reader.model} reads ${reader.width}; give one trained for that model`,
      );
    const own = embedder ? undefined : await ownEmbedder(registry);
    const used = embedder ?? own!;
    try {
      if (projector.inputs !== used.dimensions)
        throw new ConfigurationError(
          'projector',
          projector.model,
          `it takes embeddings of ${projector.inputs} numbers where ${used.model ?? 'the embedder'} gives ${used.dimensions}; give the embedder that it was trained with`,
        );
      const encoder = new DocumentEncoder(used, projector, own);
      await encoder.#try(reader);
      return encoder;
    } catch (error) {
      await own?.close();
      throw error;
    }
  }

  /** @returns an embedding a document, as wide as the reader */
  async encode(
    documents: readonly EncodableDocument[],
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Float32Array[]> {
    const texts = documents.map(({ title, text }) =>
      title === undefined || title === '' ? text : `${title}\n${text}`,
    );
    const embeddings = await this.#embedder.embed(texts, options);
    return embeddings.map((embedding) => this.#projector.project(embedding));
  }

  /** Lets the embedder go, where it is its own. */
  async close(): Promise<void> {
    await this.#own?.close();
  }

  async #try(reader: EmbeddingReader): Promise<void> {
    const rows = await this.encode(TRIALS);
    const length = rows.reduce((sum, row) => sum + Math.hypot(...row), 0) / rows.length;
    const usual = await reader.embeddingNorm();
    if (length >= SHORTEST * usual && length <= LONGEST * usual) return;
    const { model } = this.#projector;
    throw new ModelError(
      'damaged',
      model,
      `${model} makes embeddings of length ${length.toPrecision(3)} where those of ${reader.model} have ${usual.toPrecision(3)}: ` +
        'it is broken, or was trained for another model',
    );
  }
}

/** Who loads a decoder alone does not wait for what runs encoders. */
async function ownEmbedder(registry: ModelRegistry | undefined): Promise<Embedder> {
  const { Embedder } = await import('../encoder/embedder.js');
  return Embedder.load(registry ? { registry } : {});
}

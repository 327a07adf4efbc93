import { ConfigurationError, createPipeline, Pipeline, type PipelineOptions } from '../compressors/index.js';
import { checkPipelineOptions } from '../compressors/pipeline.js';
import { loadTokenCounter } from '../models/token-counter.js';

/** Which pipeline a request wants, as far as the options leave it open. */
export interface PipelineChoice {
  /** The model that reads the context, for its tokenizer. */
  readonly model?: string | undefined;
  readonly preset?: string | undefined;
}

/**
 * The pipelines of one way in, each made when first asked for: one for each preset and tokenizer that requests name.
 * A pipeline that the caller made is used as it is, and stays open.
 */
export class Pipelines {
  readonly #given: Pipeline | undefined;
  readonly #options: PipelineOptions;
  readonly #made = new Map<string, Promise<Pipeline>>();

  /**
   * @param reads what reads the contexts; where that is text alone, a pipeline that makes embeddings is refused
   * @throws ConfigurationError for options that cannot be used
   */
  constructor(given: Pipeline | PipelineOptions = {}, reads: 'text' | 'embeddings' = 'text') {
    this.#given = given instanceof Pipeline ? given : undefined;
    this.#options = given instanceof Pipeline ? {} : given;
    const { stages } = checkPipelineOptions(this.#options);
    const embedding = [...stages, ...(this.#given ? [this.#given] : [])].find(({ embeds }) => embeds);
    if (reads === 'text' && embedding)
      throw new ConfigurationError(
        'pipeline',
        embedding.name,
        'it makes embeddings, and what reads this context takes text; make the stage without a reader, or leave it out',
      );
  }

  /** @throws ConfigurationError for a preset that does not exist */
  async choose({ model, preset }: PipelineChoice = {}): Promise<Pipeline> {
    if (this.#given) {
      if (preset === undefined) return this.#given;
      throw new ConfigurationError(
        'preset',
        preset,
        'leave it out: there is one pipeline here, made beforehand',
      );
    }
    const { stages, ...options } = this.#options;
    const counted = options.model ?? model;
    const counter = await loadTokenCounter(counted);
    const chosen: PipelineOptions = {
      ...options,
      ...(counted !== undefined && { model: counted }),
      ...(preset !== undefined ? { preset } : stages && { stages }),
    };
    checkPipelineOptions(chosen);
    const key = `${chosen.preset ?? ''} ${counter.name}`;
    let pipeline = this.#made.get(key);
    if (!pipeline) {
      pipeline = createPipeline(chosen);
      this.#made.set(key, pipeline);
    }
    return pipeline;
  }

  async close(): Promise<void> {
    const pipelines = await Promise.all(this.#made.values());
    this.#made.clear();
    await Promise.all(pipelines.map((pipeline) => pipeline.close()));
  }
}

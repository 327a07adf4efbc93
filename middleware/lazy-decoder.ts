import type { Decoder, DecoderOptions } from '../models/decoder/decoder.js';

/** As much of a decoder as answering takes. */
export type TextGenerator = Pick<Decoder, 'model' | 'generate' | 'countTokens'>;

/**
 * The decoder of one way in, loaded when first asked for. One that the caller loaded is used as it is, and stays open.
 */
export class LazyDecoder<Options extends DecoderOptions = DecoderOptions> {
  readonly #given: TextGenerator | undefined;
  readonly #options: Options;
  readonly #load: (options: Options) => Promise<Decoder>;
  #loaded: Promise<Decoder> | undefined;

  constructor(given: TextGenerator | Options, load: (options: Options) => Promise<Decoder>) {
    this.#given = isGenerator(given) ? given : undefined;
    this.#options = isGenerator(given) ? ({} as Options) : given;
    this.#load = load;
  }

  /** Tells decoders of different weights apart, before they are loaded too. */
  get name(): string {
    return this.#given?.model ?? this.#options.folder ?? this.#options.model ?? '';
  }

  /** @throws ConfigurationError, ModelError; what failed is tried again the next time */
  async load(): Promise<TextGenerator> {
    if (this.#given) return this.#given;
    const loaded = (this.#loaded ??= this.#load(this.#options));
    try {
      return await loaded;
    } catch (error) {
      if (this.#loaded === loaded) this.#loaded = undefined;
      throw error;
    }
  }

  /** Lets its thread go; what is under way fails. */
  async close(): Promise<void> {
    const loaded = this.#loaded;
    this.#loaded = undefined;
    const decoder = await loaded?.catch(() => undefined);
    await decoder?.close();
  }
}

/** Whether it is loaded, and not options for one. */
export function isGenerator(given: TextGenerator | DecoderOptions): given is TextGenerator {
  return 'generate' in given && typeof given.generate === 'function';
}

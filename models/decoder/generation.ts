/** What the model is to go on from. */
export type DecoderInput =
  /** A conversation, put together by the model's own chat template; embeddings may stand in it. */
  | { readonly messages: readonly ChatMessage[]; readonly embeddings?: PlacedEmbeddings }
  /** Text as it stands; what looks like a special token in it is text. */
  | { readonly prompt: string }
  | { readonly tokens: readonly number[] }
  /** Numbers in place of tokens, `width` a row, as xRAG has them (Cheng et al. 2024). */
  | { readonly embeds: Float32Array };

/** Numbers in place of a token each. */
export interface PlacedEmbeddings {
  /** Stands in the messages once for each of `rows`, and nowhere else: `embeddingMarker` finds one that no text has. */
  readonly marker: string;
  /** In the order of their markers, each as wide as the decoder. */
  readonly rows: readonly Float32Array[];
}

export interface ChatMessage {
  readonly role: 'system' | 'user' | 'assistant';
  readonly content: string;
}

/** A text that stands for no answer, and how likely it must be to be said. */
export interface Abstention {
  readonly text: string;
  /** Of the whole text, right after the prompt: above 0, and 1 at most. */
  readonly probability: number;
}

export interface GenerateOptions {
  /** Tokens to generate at most. Default 256; where the context is nearer full, up to its end. */
  readonly maxTokens?: number;
  /** 0, the default, takes the likeliest token each time. */
  readonly temperature?: number;
  /** Samples among so many of the likeliest tokens. Default all. */
  readonly topK?: number;
  /** Samples among the likeliest tokens that together have this probability (Holtzman et al. 2020). Default 1. */
  readonly topP?: number;
  /** The same seed and input give the same text. Default 0. */
  readonly seed?: number;
  /** Text that ends the generation; it is not part of what is generated. */
  readonly stop?: readonly string[];
  /** Taken from a token's logit for each time it was generated. Default 0. */
  readonly frequencyPenalty?: number;
  /** Taken from a token's logit where it was generated before. Default 0. */
  readonly presencePenalty?: number;
  /**
   * Is all that is said where it is so likely, whatever is likelier: of a reader `NO_ANSWER`, where a false answer costs more
   * than none. Default none.
   */
  readonly abstention?: Abstention;
  /** Ends it between two steps; a step takes a token, or 192 tokens of the prompt. */
  readonly signal?: AbortSignal;
}

/** What became of a prompt's tokens. */
export interface Reuse {
  /** Their keys and values were known: from the sequence that ended last, or from caches of chunks (`ragpress/kvreuse`). */
  readonly reused: number;
  /** They came from caches and were computed anew. */
  readonly repaired: number;
  readonly computed: number;
}

export interface GenerationResult {
  readonly text: string;
  /** `stop`: the model ended, or a stop string came; `length`: maxTokens or the end of the context. */
  readonly finishReason: 'stop' | 'length';
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** From when the request was taken up, waiting for others left out. */
  readonly milliseconds: { readonly firstToken: number; readonly total: number };
  /** Where the prompt begins as the sequence that ended last does, or was read from caches of its chunks. */
  readonly reuse?: Reuse;
}

/** Text as it is generated, in pieces that never cut a character; and all of it at the end. */
export interface Generation extends AsyncIterable<string> {
  readonly result: Promise<GenerationResult>;
  /** As the result has it, and known before the prompt is read; fails as that does. */
  readonly promptTokens: Promise<number>;
}

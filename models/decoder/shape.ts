/** Sizes of a decoder of the Llama family, as its own files give them. */
export interface DecoderShape {
  readonly layers: number;
  /** Numbers of a token between the layers. */
  readonly width: number;
  /** Numbers of a token inside the feed-forward part. */
  readonly inner: number;
  readonly heads: number;
  /** Heads of keys and values; each serves `heads / kvHeads` heads of queries (Ainslie et al. 2023, GQA). */
  readonly kvHeads: number;
  readonly headSize: number;
  readonly vocabulary: number;
  /** Tokens that the model was trained to read at most. */
  readonly contextLength: number;
  /** Of RMSNorm (Zhang and Sennrich 2019). */
  readonly epsilon: number;
  readonly rope: RopeSettings;
  /** Whether queries, keys and values have biases (Qwen2). */
  readonly attentionBias: boolean;
}

/** Rotary positions (Su et al. 2021, RoFormer) and how their frequencies are stretched for long contexts. */
export interface RopeSettings {
  readonly theta: number;
  readonly scaling: RopeScaling;
  /** By what each frequency is divided, where the files say so outright (`rope_freqs.weight` of a GGUF). */
  readonly divisors?: Float32Array;
}

export type RopeScaling =
  | { readonly type: 'none' }
  /** Chen et al. 2023, position interpolation. */
  | { readonly type: 'linear'; readonly factor: number }
  /** Peng et al. 2023. */
  | {
      readonly type: 'yarn';
      readonly factor: number;
      readonly originalContext: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** What sines and cosines are multiplied with; by the paper `0.1 ln(factor) + 1`. */
      readonly attentionFactor: number;
    }
  /** As Llama 3.1 and later. */
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContext: number;
    };

/** Sizes of what a decoder keeps of a token. */
export interface KvDims {
  readonly layers: number;
  readonly kvHeads: number;
  readonly headSize: number;
}

/** Keys, as they are before their rotation, and values of consecutive tokens: [layers, kvHeads, tokens, headSize] each. */
export interface ChunkKv {
  readonly dims: KvDims;
  readonly tokens: number;
  readonly keys: Float32Array;
  readonly values: Float32Array;
}

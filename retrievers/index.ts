export { Bm25Retriever, type Bm25Options } from './bm25.js';
export { DenseRetriever, type DenseOptions } from './dense.js';
export { decodeText, type DecodedText } from './decode.js';
export { Embedder, type EmbedderOptions } from '../models/encoder/embedder.js';
export {
  TransformersEmbedder,
  type TransformersEmbedderOptions,
} from '../models/encoder/transformers-embedder.js';
export type { EmbeddingModel } from '../models/encoder/embedding-model.js';
export { readFolder, type FolderContents, type FolderOptions } from './folder.js';
export {
  HybridRetriever,
  type HybridOptions,
  type HybridResult,
  type RetrieverFailure,
  type WeightedRetriever,
} from './hybrid.js';
export type { Retriever, RetrieveOptions } from './retriever.js';

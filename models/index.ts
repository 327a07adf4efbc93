export {
  Decoder,
  type ChatMessage,
  type DecoderInput,
  type DecoderOptions,
  type GenerateOptions,
  type Generation,
  type GenerationResult,
  type PlacedEmbeddings,
} from './decoder/decoder.js';
export {
  DocumentEncoder,
  type DocumentEncoderOptions,
  type EmbeddingReader,
  type EncodableDocument,
} from './decoder/document-encoder.js';
export { embeddingMarker } from './decoder/embedding-marker.js';
export { promptEmbeds, type EmbedsType } from './decoder/prompt-embeds.js';
export { NO_ANSWER, readerMessages } from './decoder/reader-prompt.js';
export { ModelError, type ModelErrorCode } from './model-error.js';
export { ModelRegistry, type ModelRegistryOptions } from './registry.js';

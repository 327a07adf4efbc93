export {
  Decoder,
  type ChatMessage,
  type DecoderInput,
  type DecoderOptions,
  type GenerateOptions,
  type Generation,
  type GenerationResult,
} from './decoder/decoder.js';
export { NO_ANSWER, readerMessages } from './decoder/reader-prompt.js';
export { ModelError, type ModelErrorCode } from './model-error.js';
export { ModelRegistry, type ModelRegistryOptions } from './registry.js';

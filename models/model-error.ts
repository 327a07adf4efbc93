/**
 * - `missing`: no such model in any of the places looked at
 * - `damaged`: a file lacks, or differs in size or hash from what the manifest says
 * - `hub`: the hub cannot be reached, refuses, or sends something else than it announced
 * - `storage`: the cache folder cannot be written, or is full
 * - `unsupported`: a model of a kind that is not run here
 * - `context`: the input is longer than what the model reads at once
 * - `inference`: ONNX Runtime refused the model or the input, or what came out is no number
 * - `endpoint`: an API that runs the model cannot be reached, refuses, or answers with something else
 */
export type ModelErrorCode =
  'missing' | 'damaged' | 'hub' | 'storage' | 'unsupported' | 'context' | 'inference' | 'endpoint';

/** A model that cannot be had or run. The message says what to do about it. */
export class ModelError extends Error {
  override readonly name = 'ModelError';

  constructor(
    readonly code: ModelErrorCode,
    /** Name of the model, or path of its file. */
    readonly model: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

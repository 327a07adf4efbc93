import { join } from 'node:path';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { ModelError, type ModelErrorCode } from '../model-error.js';
import type { TransformersFault, TransformersPlace } from './transformers-library.js';

const INSTALL = 'npm install @xenova/transformers';
const INSTALL_MAINTAINED = `${INSTALL}@npm:@huggingface/transformers`;

/**
 * What to do where Transformers.js, or a model that it was to run, fails.
 * @param field that named the model
 * @param role what the model was to be: `an embedder`
 */
export function transformersError(
  field: string,
  role: string,
  { why, message }: TransformersFault,
  { model, revision, folder, localOnly, hub }: TransformersPlace & { readonly model: string },
): Error {
  const unusable = (reason: string) => new ConfigurationError(field, model, reason);
  const failed = (code: ModelErrorCode, reason: string) =>
    new ModelError(code, model, `${model}: ${reason} (${message})`);
  switch (why) {
    case 'absent':
      return unusable(
        `it is run by the package @xenova/transformers, which is not installed: ${INSTALL}, or under the same name the ` +
          `library as it goes on: ${INSTALL_MAINTAINED}`,
      );
    case 'broken':
      return unusable(
        `it is run by the package @xenova/transformers, which cannot be loaded (${message.replaceAll(/\s+/g, ' ').slice(0, 200)}): ` +
          `install it again, or its later version, which downloads nothing else: ${INSTALL_MAINTAINED}`,
      );
    case 'unavailable':
      return localOnly
        ? failed('missing', `it is not whole in ${folder}; without localOnly it is fetched`)
        : failed(
            'hub',
            `${hub}${model} at ${revision} cannot be had, or has no tokenizer.json or ONNX graph; see that it is spelt ` +
              'as on the hub and tagged transformers.js',
          );
    case 'damaged':
      return failed(
        'damaged',
        `what is in ${join(folder, model)} cannot be loaded; remove that folder to have it fetched again`,
      );
    case 'inference':
      return failed('inference', `it cannot be run as ${role}`);
  }
}

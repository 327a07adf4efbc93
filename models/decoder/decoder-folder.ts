import { ConfigurationError } from '../../settings/configuration-error.js';
import { ModelRegistry } from '../registry.js';

/** Which decoder is meant: by name, or by folder. */
export interface DecoderPlace {
  readonly model?: string | undefined;
  readonly folder?: string | undefined;
  readonly registry?: ModelRegistry | undefined;
}

/**
 * The folder of a decoder's checkpoint, and what it is called: name and version, or the folder's path.
 * @throws ConfigurationError for a model of another kind; ModelError as `ModelRegistry.resolve`
 */
export async function decoderFolder({
  model = 'smollm2',
  folder,
  registry = new ModelRegistry(),
}: DecoderPlace): Promise<{ readonly name: string; readonly folder: string }> {
  if (folder !== undefined) return { name: folder, folder };
  const found = await registry.resolve(model);
  const { kind, name, version } = found.manifest;
  if (kind !== 'decoder') {
    throw new ConfigurationError(
      'decoder.model',
      model,
      `it is of the kind ${kind}; give one of the kind decoder, or the folder of a checkpoint`,
    );
  }
  return { name: `${name}@${version}`, folder: found.folder };
}

import { ConfigurationError } from '../../settings/configuration-error.js';
import { ModelRegistry } from '../registry.js';

/** Which decoder is meant: by name, or by folder. */
export interface DecoderPlace {
  readonly model?: string | undefined;
  readonly folder?: string | undefined;
  readonly registry?: ModelRegistry | undefined;
}

export interface FoundDecoder {
  /** Name and version; a folder's path. */
  readonly name: string;
  readonly folder: string;
  /** Ends when the files have been compared with their manifest. @throws ModelError `damaged` */
  readonly sound: Promise<void>;
}

/** @throws ConfigurationError for a model of another kind; ModelError as `ModelRegistry.find` */
export async function decoderFolder({
  model = 'smollm2',
  folder,
  registry = new ModelRegistry(),
}: DecoderPlace): Promise<FoundDecoder> {
  if (folder !== undefined) return { name: folder, folder, sound: Promise.resolve() };
  const found = await registry.find(model);
  const { kind, name, version } = found.manifest;
  if (kind !== 'decoder') {
    throw new ConfigurationError(
      'decoder.model',
      model,
      `it is of the kind ${kind}; give one of the kind decoder, or the folder of a checkpoint`,
    );
  }
  return { name: `${name}@${version}`, folder: found.folder, sound: found.sound };
}

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { projected, type LinearLayer } from '../../kernels/xrag-projector.js';
import { ConfigurationError } from '../../settings/configuration-error.js';
import { ModelError } from '../model-error.js';
import { ModelRegistry } from '../registry.js';
import { openTensors } from './safetensors-file.js';
import type { WeightFile } from './weight-file.js';

const FILE = 'projector.safetensors';

/** The names that the authors' checkpoint has for them (github.com/Hannibal046/xRAG, `mlp2x_gelu`). */
const [FIRST, SECOND] = ['projector.projector.0', 'projector.projector.2'];

/** From a retriever's embedding to a decoder's: two layers with a GELU between them (Cheng et al. 2024, xRAG). */
export class Projector {
  /** Name and version; a folder's path. */
  readonly model: string;
  /** Numbers of an embedding that goes in. */
  readonly inputs: number;
  /** Numbers of one that comes out. */
  readonly width: number;
  readonly #first: LinearLayer;
  readonly #second: LinearLayer;

  private constructor(model: string, inputs: number, first: LinearLayer, second: LinearLayer) {
    this.model = model;
    this.inputs = inputs;
    this.width = second.bias.length;
    this.#first = first;
    this.#second = second;
  }

  /**
   * Of a model of the kind `projector`, or of a folder with one `.safetensors`.
   * @throws ConfigurationError for a model of another kind; ModelError `missing`, `damaged` or `unsupported`
   */
  static async load({
    model = 'xrag-projector',
    folder,
    registry = new ModelRegistry(),
  }: {
    readonly model?: string | undefined;
    readonly folder?: string | undefined;
    readonly registry?: ModelRegistry | undefined;
  } = {}): Promise<Projector> {
    if (folder !== undefined) return Projector.#read(folder, await fileIn(folder));
    const { manifest, folder: found } = await registry.resolve(model);
    if (manifest.kind !== 'projector')
      throw new ConfigurationError(
        'projector.model',
        model,
        `it is of the kind ${manifest.kind}; give one of the kind projector`,
      );
    return Projector.#read(`${manifest.name}@${manifest.version}`, join(found, FILE));
  }

  static async #read(name: string, path: string): Promise<Projector> {
    const file = await openTensors(path);
    try {
      const [hidden = 0, inputs = 0] = file.dims(`${FIRST}.weight`);
      const [width = 0] = file.dims(`${SECOND}.weight`);
      const first = layer(file, FIRST, hidden, inputs);
      return new Projector(name, inputs, first, layer(file, SECOND, width, hidden));
    } finally {
      await file.close();
    }
  }

  /**
   * @param embedding of length 1, `inputs` numbers
   * @returns `width` numbers
   */
  project(embedding: Float32Array): Float32Array {
    return projected({
      rows: embedding,
      inputs: this.inputs,
      inner: this.#first.bias.length,
      outputs: this.width,
      first: this.#first,
      second: this.#second,
    });
  }
}

async function fileIn(folder: string): Promise<string> {
  const names = await readdir(folder).catch((error: unknown) => {
    throw new ModelError('missing', folder, `${folder} cannot be read: ${(error as Error).message}`, {
      cause: error,
    });
  });
  const found = names.filter((name) => name.endsWith('.safetensors'));
  if (found.length !== 1)
    throw new ModelError(
      'missing',
      folder,
      `${folder} has ${found.length} files of safetensors where one with a projector was expected; ` +
        'training/convert_xrag.py makes one of a checkpoint',
    );
  return join(folder, found[0]!);
}

function layer(file: WeightFile, name: string, outputs: number, inputs: number): LinearLayer {
  return {
    weights: file.matrix(`${name}.weight`, outputs, inputs).read(),
    bias: file.vector(`${name}.bias`, outputs),
  };
}

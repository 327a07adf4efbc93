import { open, type FileHandle } from 'node:fs/promises';
import { readSync } from 'node:fs';
import { ModelError } from '../model-error.js';
import { GGML_TYPES, Q8_0 } from './ggml-types.js';
import type { Matrix } from './matrix.js';

/** Where a tensor's numbers stand in a file. */
export interface TensorPlace {
  /** Outermost first. */
  readonly dims: readonly number[];
  /** ggml's number of the type. */
  readonly type: number;
  /** In bytes, from the beginning of the file. */
  readonly offset: number;
}

/** A file of tensors, read a tensor at a time. */
export class WeightFile {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #places: ReadonlyMap<string, TensorPlace>;

  private constructor(path: string, file: FileHandle, places: ReadonlyMap<string, TensorPlace>) {
    this.#path = path;
    this.#file = file;
    this.#places = places;
  }

  /** @throws ModelError `damaged` for a tensor past the end of the file, `unsupported` for a type that is not read */
  static async open(path: string, places: ReadonlyMap<string, TensorPlace>): Promise<WeightFile> {
    const file = await open(path, 'r');
    const { size } = await file.stat();
    for (const [name, place] of places) {
      const type = GGML_TYPES[place.type];
      const fault =
        type === undefined
          ? new ModelError(
              'unsupported',
              path,
              `${path}: ${name} has the type ${place.type} of ggml; those that are read: ` +
                Object.values(GGML_TYPES)
                  .map((known) => known.name)
                  .join(', '),
            )
          : place.offset + bytesOf(place) > size
            ? new ModelError(
                'damaged',
                path,
                `${path} was cut short: ${name} stands past its end; fetch it again`,
              )
            : undefined;
      if (fault) {
        await file.close();
        throw fault;
      }
    }
    return new WeightFile(path, file, places);
  }

  get names(): string[] {
    return [...this.#places.keys()];
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  /** Outermost first. @throws ModelError `damaged` where there is none of that name */
  dims(name: string): readonly number[] {
    const place = this.#places.get(name);
    if (!place) throw new ModelError('damaged', this.#path, `${this.#path} has no ${name}`);
    return place.dims;
  }

  /** @throws ModelError `damaged` where there is none of that name and these sizes */
  matrix(name: string, outputs: number, inputs: number): Matrix {
    const place = this.#place(name, [outputs, inputs]);
    return {
      outputs,
      inputs,
      read: () => this.#read(name, place),
      ...(place.type === Q8_0 && { readQ8: (into) => this.#bytes(name, place, into) }),
    };
  }

  vector(name: string, length: number): Float32Array {
    return this.#read(name, this.#place(name, [length]));
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  #place(name: string, dims: readonly number[]): TensorPlace {
    const there = this.dims(name);
    if (there.length === dims.length && there.every((size, i) => size === dims[i]))
      return this.#places.get(name)!;
    throw new ModelError(
      'damaged',
      this.#path,
      `${this.#path}: ${name} is [${there.join(', ')}] where the model's settings say [${dims.join(', ')}]`,
    );
  }

  #read(name: string, place: TensorPlace): Float32Array {
    const { numbers, bytes, read } = GGML_TYPES[place.type]!;
    const raw = this.#bytes(name, place);
    const out = new Float32Array(countOf(place));
    for (let from = 0, to = 0; to < out.length; from += bytes, to += numbers) read(raw, from, out, to);
    return out;
  }

  #bytes(name: string, place: TensorPlace, raw: Uint8Array = new Uint8Array(bytesOf(place))): Uint8Array {
    for (let at = 0; at < raw.length;) {
      const got = readSync(this.#file.fd, raw, at, raw.length - at, place.offset + at);
      if (got === 0) throw new ModelError('damaged', this.#path, `${this.#path} was cut short in ${name}`);
      at += got;
    }
    return raw;
  }
}

function countOf({ dims }: TensorPlace): number {
  return dims.reduce((product, size) => product * size, 1);
}

function bytesOf(place: TensorPlace): number {
  const { numbers, bytes } = GGML_TYPES[place.type]!;
  return (countOf(place) / numbers) * bytes;
}

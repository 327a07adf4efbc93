import { open } from 'node:fs/promises';
import { ModelError } from '../model-error.js';
import { WeightFile, type TensorPlace } from './weight-file.js';

/** ggml's numbers of the same types. */
const TYPES: Readonly<Record<string, number>> = { F32: 0, F16: 1, BF16: 30 };

/**
 * https://github.com/huggingface/safetensors, "Format": the length of a JSON header, the header, the numbers.
 * @throws ModelError `damaged`, `unsupported`
 */
export async function openTensors(path: string): Promise<WeightFile> {
  const places = new Map<string, TensorPlace>();
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const length = Number((await file.read(Buffer.alloc(8), 0, 8, 0)).buffer.readBigUInt64LE());
    if (length > size - 8) throw new Error('its header is longer than the file');
    const header = (await file.read(Buffer.alloc(length), 0, length, 8)).buffer.toString('utf8');
    const entries = JSON.parse(header) as Record<
      string,
      { dtype: string; shape: number[]; data_offsets: number[] }
    >;
    for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(entries)) {
      if (name === '__metadata__') continue;
      places.set(name, { dims: shape, type: TYPES[dtype] ?? NaN, offset: 8 + length + offsets[0]! });
    }
  } catch (error) {
    throw new ModelError('damaged', path, `${path} is no file of safetensors: ${(error as Error).message}`, {
      cause: error,
    });
  } finally {
    await file.close();
  }
  return WeightFile.open(path, places);
}

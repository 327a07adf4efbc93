import { Q8_BYTES, q8Blocks } from './ggml-types.js';
import type { Matrix } from './matrix.js';

/** Weights as they are, transposed: [inputs, outputs]. */
export interface FloatWeights {
  readonly inputs: number;
  readonly outputs: number;
  readonly numbers: Float32Array;
}

/** Weights with 8 bits and a scale a block of 32 inputs: [outputs, inputs]. A level of 128 is 0. */
export interface BlockWeights {
  readonly inputs: number;
  readonly outputs: number;
  readonly levels: Uint8Array;
  readonly scales: Float32Array;
}

export const BLOCK = 32;

/** Inputs that are transposed at once: so many lines of memory are written by turns. */
const TILE = 64;

/** @param parts matrices [outputs, inputs] with the same inputs, one below the other */
export function transposed(parts: readonly Matrix[]): FloatWeights {
  const inputs = parts[0]!.inputs;
  const outputs = parts.reduce((sum, part) => sum + part.outputs, 0);
  const numbers = new Float32Array(inputs * outputs);
  let first = 0;
  for (const part of parts) {
    const from = part.read();
    for (let tile = 0; tile < inputs; tile += TILE) {
      const end = Math.min(inputs, tile + TILE);
      for (let output = 0; output < part.outputs; output++)
        for (let input = tile; input < end; input++)
          numbers[input * outputs + first + output] = from[output * inputs + input]!;
    }
    first += part.outputs;
  }
  return { inputs, outputs, numbers };
}

/** @param parts as for `transposed` */
export function inBlocksOf(parts: readonly Matrix[]): BlockWeights {
  const blocks = parts.map(inBlocks);
  const { inputs } = blocks[0]!;
  const outputs = blocks.reduce((sum, part) => sum + part.outputs, 0);
  const levels = new Uint8Array(inputs * outputs);
  const scales = new Float32Array(levels.length / BLOCK);
  let first = 0;
  for (const part of blocks) {
    levels.set(part.levels, first);
    scales.set(part.scales, first / BLOCK);
    first += part.levels.length;
  }
  return { inputs, outputs, levels, scales };
}

export function inBlocks(matrix: Matrix): BlockWeights {
  const { inputs, outputs } = matrix;
  const levels = new Uint8Array(inputs * outputs);
  const scales = new Float32Array(levels.length / BLOCK);
  if (matrix.readQ8) {
    const bytes = new Uint8Array(scales.length * Q8_BYTES);
    matrix.readQ8(bytes);
    q8Blocks(bytes, levels, scales);
    return { inputs, outputs, levels, scales };
  }
  const numbers = matrix.read();
  for (let block = 0; block < scales.length; block++) {
    const from = block * BLOCK;
    const largest = largestOf(numbers, from, from + BLOCK);
    scales[block] = largest / 127;
    const by = largest === 0 ? 0 : 127 / largest;
    for (let at = from; at < from + BLOCK; at++) levels[at] = (numbers[at]! * by + 128.5) | 0;
  }
  return { inputs, outputs, levels, scales };
}

function largestOf(numbers: Float32Array, from: number, to: number): number {
  let largest = 0;
  for (let at = from; at < to; at++) {
    const size = Math.abs(numbers[at]!);
    if (size > largest) largest = size;
  }
  return largest;
}

/** Rows of a matrix in blocks, as numbers. */
export function rowsOf({ inputs, levels, scales }: BlockWeights, rows: ArrayLike<number>): Float32Array {
  const out = new Float32Array(rows.length * inputs);
  for (let i = 0; i < rows.length; i++) {
    const from = rows[i]! * inputs;
    for (let at = 0; at < inputs; at++)
      out[i * inputs + at] = (levels[from + at]! - 128) * scales[((from + at) / BLOCK) | 0]!;
  }
  return out;
}

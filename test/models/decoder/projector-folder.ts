import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface ProjectorShape {
  readonly inputs: number;
  readonly hidden: number;
  readonly width: number;
  /** About the length of what comes out. */
  readonly norm: number;
}

/** A folder with a projector of random numbers, the same each time. */
export function projectorFolder({ inputs, hidden, width, norm }: ProjectorShape): string {
  const folder = mkdtempSync(join(tmpdir(), 'ragpress-projector-'));
  const next = random(7);
  const numbers = (count: number, size: number) => Float32Array.from({ length: count }, () => size * next());
  // Inputs have length 1, so a hidden unit is about as large as a weight; half of them come through.
  const size = norm / Math.sqrt(width) / Math.sqrt(hidden * 0.35);
  writeTensors(join(folder, 'projector.safetensors'), {
    'projector.projector.0.weight': { shape: [hidden, inputs], data: numbers(hidden * inputs, 1) },
    'projector.projector.0.bias': { shape: [hidden], data: numbers(hidden, 0.1) },
    'projector.projector.2.weight': { shape: [width, hidden], data: numbers(width * hidden, size) },
    'projector.projector.2.bias': { shape: [width], data: numbers(width, 0.01 * norm) },
  });
  return folder;
}

export function writeTensors(
  path: string,
  tensors: Readonly<Record<string, { readonly shape: readonly number[]; readonly data: Float32Array }>>,
): void {
  let offset = 0;
  const entries = Object.entries(tensors).map(([name, { shape, data }]) => {
    const begin = offset;
    offset += data.byteLength;
    return [name, { dtype: 'F32', shape, data_offsets: [begin, offset] }] as const;
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const data = Object.values(tensors).map(({ data }) => Buffer.from(data.buffer));
  writeFileSync(path, Buffer.concat([length, header, ...data]));
}

/** Normally distributed (Box and Muller 1958), by a linear congruential generator (Numerical Recipes). */
function random(seed: number): () => number {
  let state = seed;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}

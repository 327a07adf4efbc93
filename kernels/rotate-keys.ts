import type { Commands } from './commands.js';
import type { GpuArray } from './gpu.js';
import { checkLength } from './kernel-error.js';
import type { Routine } from './routine.js';
import { groupsFor, INVOCATION, PLACE, WIDTH } from './wgsl.js';

/** Sizes of keys [heads, rows, headSize]; a layer's heads, or those of many layers one after the other. */
export interface KeySizes {
  readonly heads: number;
  readonly rows: number;
  /** Even. */
  readonly headSize: number;
}

export interface RotateKeysInput extends KeySizes {
  readonly keys: Float32Array;
  /**
   * Cosines and sines of a row's angles, [rows, headSize / 2], in float32 from angles in double: an angle in float16 is
   * off by 1e-3 of itself, and WGSL promises nothing of the cosine of one beyond π.
   */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/**
 * Rotary positions (Su et al. 2021), of which numbers i and i + headSize / 2 are a pair: x' = x cos - y sin,
 * y' = y cos + x sin. From keys that are not rotated to their place; with the angles of a distance, from one place to
 * another; with sines negated, back.
 */
export const rotateKeys: Routine<RotateKeysInput, Float32Array> = {
  name: 'rotate-keys',
  cpu(input) {
    check(input);
    const { keys, cos, sin, heads, rows, headSize } = input;
    const pairs = headSize / 2;
    const out = new Float32Array(keys.length);
    for (let head = 0, at = 0; head < heads; head++)
      for (let row = 0; row < rows; row++, at += headSize)
        for (let pair = 0; pair < pairs; pair++) {
          const [x, y] = [keys[at + pair]!, keys[at + pairs + pair]!];
          const [c, s] = [cos[row * pairs + pair]!, sin[row * pairs + pair]!];
          out[at + pair] = x * c - y * s;
          out[at + pairs + pair] = y * c + x * s;
        }
    return out;
  },
  async gpu(gpu, input) {
    check(input);
    if (input.keys.length === 0) return new Float32Array(0);
    const commands = gpu.begin();
    const keys = commands.upload(input.keys);
    encodeRotateKeys(
      commands,
      { keys, cos: commands.upload(input.cos), sin: commands.upload(input.sin) },
      input,
    );
    const [out] = await commands.read(keys);
    return new Float32Array(out!);
  },
};

/** In place. */
export function encodeRotateKeys(
  commands: Commands,
  { keys, cos, sin }: { readonly keys: GpuArray; readonly cos: GpuArray; readonly sin: GpuArray },
  { heads, rows, headSize }: KeySizes,
): void {
  const pairs = headSize / 2;
  const groups = groupsFor(heads * rows * pairs);
  commands.dispatch(PROGRAM, [keys, cos, sin], groups, { u32: [heads * rows * pairs, rows, pairs] });
}

const PROGRAM = {
  name: 'rotate-keys',
  wgsl: `
struct Sizes { all: u32, rows: u32, pairs: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read_write> keys: array<f32>;
@group(0) @binding(2) var<storage, read> cosines: array<f32>;
@group(0) @binding(3) var<storage, read> sines: array<f32>;

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  if (at >= sizes.all) { return; }
  let pair = at % sizes.pairs;
  let row = at / sizes.pairs;
  let first = 2u * row * sizes.pairs + pair;
  let turn = (row % sizes.rows) * sizes.pairs + pair;
  let x = keys[first];
  let y = keys[first + sizes.pairs];
  keys[first] = x * cosines[turn] - y * sines[turn];
  keys[first + sizes.pairs] = y * cosines[turn] + x * sines[turn];
}`,
};

function check({ keys, cos, sin, heads, rows, headSize }: RotateKeysInput): void {
  checkLength('keys', keys, { heads, rows, headSize });
  checkLength('cos', cos, { rows, pairs: headSize / 2 });
  checkLength('sin', sin, { rows, pairs: headSize / 2 });
}

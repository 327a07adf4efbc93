import type { Gpu } from './gpu.js';

/** Invocations of a group. */
export const WIDTH = 64;

/** Parameters of every `main`. */
export const INVOCATION = `
  @builtin(workgroup_id) group_id: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32`;

/** Number of the group, and of the invocation, counted over both dimensions of a dispatch. */
export const PLACE = `
  let group = group_id.y * groups.x + group_id.x;
  let at = group * ${WIDTH}u + lane;`;

/** Groups for a number of invocations. */
export function groupsFor(invocations: number): number {
  return Math.ceil(invocations / WIDTH);
}

const COMBINE = {
  sum: { identity: '0.0', of: (a: string, b: string) => `${a} + ${b}`, subgroup: 'subgroupAdd' },
  most: { identity: '-3.4e38', of: (a: string, b: string) => `max(${a}, ${b})`, subgroup: 'subgroupMax' },
} as const;

/**
 * Functions `group_sum` and `group_most` of a number of each invocation of a group, which every one of them gets: by
 * subgroups where the adapter has them, else by halves. They are for uniform control flow: all of a group call them.
 */
export function reductions(
  { subgroups }: Pick<Gpu, 'subgroups'>,
  names: readonly (keyof typeof COMBINE)[],
): {
  readonly enable: string;
  readonly functions: string;
  /** Of `main`, after INVOCATION. */
  readonly parameters: string;
  /** Arguments beside the number. */
  readonly from: string;
} {
  const shared = `var<workgroup> parts: array<f32, ${WIDTH}>;`;
  if (subgroups) {
    // Subgroups of a group with one dimension are its invocations in order, as all of Dawn's backends have them.
    const functions = names.map((name) => {
      const { identity, of, subgroup } = COMBINE[name];
      return `
fn group_${name}(x: f32, lane: u32, size: u32) -> f32 {
  let part = ${subgroup}(x);
  workgroupBarrier();
  if (lane % size == 0u) { parts[lane / size] = part; }
  workgroupBarrier();
  var all = ${identity};
  for (var i = 0u; i * size < ${WIDTH}u; i++) { all = ${of('all', 'parts[i]')}; }
  return all;
}`;
    });
    return {
      enable: 'enable subgroups;',
      functions: shared + functions.join(''),
      parameters: ',\n  @builtin(subgroup_size) subgroup: u32',
      from: 'lane, subgroup',
    };
  }
  const functions = names.map((name) => {
    const { of } = COMBINE[name];
    return `
fn group_${name}(x: f32, lane: u32) -> f32 {
  workgroupBarrier();
  parts[lane] = x;
  workgroupBarrier();
  for (var half = ${WIDTH / 2}u; half > 0u; half /= 2u) {
    if (lane < half) { parts[lane] = ${of('parts[lane]', 'parts[lane + half]')}; }
    workgroupBarrier();
  }
  return parts[0];
}`;
  });
  return { enable: '', functions: shared + functions.join(''), parameters: '', from: 'lane' };
}

/** Arrays of keys, values or weights: as they are, or two float16 a word. */
export type Storage = 'float32' | 'float16';

/**
 * How such an array is declared, and read two numbers at a time, the first of an even number. The adapter's own float16
 * where it has it; else they are unpacked, as fast but for instructions.
 */
export function pairsOf(
  { f16 }: Pick<Gpu, 'f16'>,
  storage: Storage,
): { readonly enable: string; readonly type: string; readonly pair: (array: string, at: string) => string } {
  if (storage === 'float32')
    return { enable: '', type: 'array<vec2f>', pair: (array, at) => `${array}[${at}]` };
  return f16
    ? { enable: 'enable f16;', type: 'array<vec2<f16>>', pair: (array, at) => `vec2f(${array}[${at}])` }
    : { enable: '', type: 'array<u32>', pair: (array, at) => `unpack2x16float(${array}[${at}])` };
}

/** Whether a number is none or infinite: by its bits, as compilers may take for granted that there are no such. */
export const IS_STRANGE = `
fn is_strange(x: f32) -> bool { return (bitcast<u32>(x) & 0x7f800000u) == 0x7f800000u; }`;

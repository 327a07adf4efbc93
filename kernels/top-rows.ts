import type { Commands } from './commands.js';
import type { GpuArray } from './gpu.js';
import { KernelError } from './kernel-error.js';
import type { Routine } from './routine.js';
import { groupsFor, INVOCATION, IS_STRANGE, PLACE, WIDTH } from './wgsl.js';

export interface TopRowsInput {
  /** A number a row, 0 or more. One that is NaN or infinite is above all others: such a row is the first to repair. */
  readonly deviations: Float32Array;
  /** How many are wanted; all, where there are not as many. */
  readonly count: number;
}

/** The rows that deviate most, the largest first, of equals the earlier. Every row counts those before it: rows² steps. */
export const topRows: Routine<TopRowsInput, Uint32Array> = {
  name: 'top-rows',
  cpu(input) {
    check(input);
    const { deviations, count } = input;
    const sizes = deviations.map((size) => (Number.isFinite(size) ? size : Infinity));
    const rows = Uint32Array.from(sizes, (_, row) => row);
    return rows.sort((a, b) => (sizes[a] === sizes[b] ? a - b : sizes[b]! - sizes[a]!)).slice(0, count);
  },
  async gpu(gpu, input) {
    check(input);
    const { deviations } = input;
    const count = Math.min(input.count, deviations.length);
    if (count === 0) return new Uint32Array(0);
    const commands = gpu.begin();
    const out = commands.array(4 * count);
    encodeTopRows(
      commands,
      { deviations: commands.upload(deviations), out },
      { rows: deviations.length, count },
    );
    const [result] = await commands.read(out);
    return new Uint32Array(result!);
  },
};

export function encodeTopRows(
  commands: Commands,
  { deviations, out }: { readonly deviations: GpuArray; readonly out: GpuArray },
  { rows, count }: { readonly rows: number; readonly count: number },
): void {
  commands.dispatch(PROGRAM, [deviations, out], groupsFor(rows), { u32: [rows, count] });
}

const PROGRAM = {
  name: 'top-rows',
  wgsl: `
struct Sizes { rows: u32, count: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> deviations: array<f32>;
@group(0) @binding(2) var<storage, read_write> top: array<u32>;
${IS_STRANGE}
fn size_of(row: u32) -> f32 {
  let size = deviations[row];
  return select(size, 3.4028234e38, is_strange(size));
}

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  if (at >= sizes.rows) { return; }
  let own = size_of(at);
  var before = 0u;
  for (var row = 0u; row < sizes.rows; row++) {
    let other = size_of(row);
    before += select(0u, 1u, other > own || (other == own && row < at));
  }
  if (before < sizes.count) { top[before] = at; }
}`,
};

function check({ count }: TopRowsInput): void {
  if (!Number.isSafeInteger(count) || count < 0)
    throw new KernelError('sizes', `count is ${count}; it is a whole number from 0`);
}

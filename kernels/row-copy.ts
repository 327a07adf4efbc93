import type { Commands } from './commands.js';
import type { GpuArray, Program } from './gpu.js';
import { groupsFor, INVOCATION, PLACE, WIDTH } from './wgsl.js';

export interface RowCopySizes {
  readonly heads: number;
  readonly rows: number;
  readonly headSize: number;
  /** Slots that a head has. */
  readonly capacity: number;
}

/** Rows [heads, rows, headSize], slots [heads, capacity, headSize], and the slot of each row. */
export interface RowCopyArrays {
  readonly rowsOf: GpuArray;
  readonly slotsOf: GpuArray;
  readonly slots: GpuArray;
}

/**
 * A copy between rows and their slots, an invocation a number.
 * @param way of a number's place among rows and its place among slots, which is read and which written
 */
export function rowCopy(
  name: string,
  way: (places: { readonly row: string; readonly slot: string }) => {
    readonly from: string;
    readonly to: string;
  },
): Program {
  const { from, to } = way({
    row: 'sizes.first_head * sizes.rows * sizes.head_size + at',
    slot: '(head * sizes.capacity + slots[row]) * sizes.head_size + number',
  });
  return {
    name,
    wgsl: `
struct Sizes { all: u32, rows: u32, head_size: u32, capacity: u32, first_head: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> source: array<f32>;
@group(0) @binding(2) var<storage, read_write> copied: array<f32>;
@group(0) @binding(3) var<storage, read> slots: array<u32>;

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  if (at >= sizes.all) { return; }
  let number = at % sizes.head_size;
  let row = (at / sizes.head_size) % sizes.rows;
  let head = at / sizes.head_size / sizes.rows;
  copied[${to}] = source[${from}];
}`,
  };
}

/** @param arrays what is read, what is written, and slots */
export function encodeRowCopy(
  commands: Commands,
  program: Program,
  arrays: readonly [GpuArray, GpuArray, GpuArray],
  { heads, rows, headSize, capacity }: RowCopySizes,
  firstHead: number,
): void {
  const all = heads * rows * headSize;
  commands.dispatch(program, arrays, groupsFor(all), { u32: [all, rows, headSize, capacity, firstHead] });
}

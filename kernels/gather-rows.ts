import type { Commands } from './commands.js';
import type { GpuArray } from './gpu.js';
import { checkIndices, checkLength } from './kernel-error.js';
import type { Routine } from './routine.js';
import type { RowCopySizes } from './scatter-rows.js';
import { groupsFor, INVOCATION, PLACE, WIDTH } from './wgsl.js';

export interface GatherRowsInput extends RowCopySizes {
  /** [heads, capacity, headSize] */
  readonly slotsOf: Float32Array;
  /** A slot a row; a slot may be asked for more than once. */
  readonly slots: Uint32Array;
}

/** Keys or values of a request's slots as rows [heads, rows, headSize]: `rowsOf[head, row] = slotsOf[head, slots[row]]`. */
export const gatherRows: Routine<GatherRowsInput, Float32Array> = {
  name: 'gather-rows',
  cpu(input) {
    check(input);
    const { slotsOf, slots, heads, rows, headSize, capacity } = input;
    const out = new Float32Array(heads * rows * headSize);
    for (let head = 0; head < heads; head++)
      for (let row = 0; row < rows; row++) {
        const from = (head * capacity + slots[row]!) * headSize;
        out.set(slotsOf.subarray(from, from + headSize), (head * rows + row) * headSize);
      }
    return out;
  },
  async gpu(gpu, input) {
    check(input);
    const { heads, rows, headSize } = input;
    const bytes = 4 * heads * rows * headSize;
    if (bytes === 0) return new Float32Array(0);
    const commands = gpu.begin();
    const rowsOf = commands.array(bytes);
    const slots = commands.upload(input.slots);
    encodeGatherRows(commands, { slotsOf: commands.upload(input.slotsOf), rowsOf, slots }, input);
    const [out] = await commands.read(rowsOf);
    return new Float32Array(out!);
  },
};

/** @param firstHead of `rowsOf` that the first head's rows become, where it takes those of many layers. Default 0 */
export function encodeGatherRows(
  commands: Commands,
  {
    rowsOf,
    slotsOf,
    slots,
  }: { readonly rowsOf: GpuArray; readonly slotsOf: GpuArray; readonly slots: GpuArray },
  { heads, rows, headSize, capacity }: RowCopySizes,
  firstHead = 0,
): void {
  const all = heads * rows * headSize;
  commands.dispatch(PROGRAM, [slotsOf, rowsOf, slots], groupsFor(all), {
    u32: [all, rows, headSize, capacity, firstHead],
  });
}

const PROGRAM = {
  name: 'gather-rows',
  wgsl: `
struct Sizes { all: u32, rows: u32, head_size: u32, capacity: u32, first_head: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> slots_of: array<f32>;
@group(0) @binding(2) var<storage, read_write> rows_of: array<f32>;
@group(0) @binding(3) var<storage, read> slots: array<u32>;

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  if (at >= sizes.all) { return; }
  let number = at % sizes.head_size;
  let row = (at / sizes.head_size) % sizes.rows;
  let head = at / sizes.head_size / sizes.rows;
  let source = (head * sizes.capacity + slots[row]) * sizes.head_size + number;
  rows_of[sizes.first_head * sizes.rows * sizes.head_size + at] = slots_of[source];
}`,
};

function check({ slotsOf, slots, heads, rows, headSize, capacity }: GatherRowsInput): void {
  checkLength('slotsOf', slotsOf, { heads, capacity, headSize });
  checkLength('slots', slots, { rows });
  checkIndices('slots', slots, capacity);
}

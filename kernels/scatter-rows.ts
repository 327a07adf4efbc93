import type { Commands } from './commands.js';
import type { GpuArray } from './gpu.js';
import { checkIndices, checkLength } from './kernel-error.js';
import type { Routine } from './routine.js';
import { groupsFor, INVOCATION, PLACE, WIDTH } from './wgsl.js';

export interface RowCopySizes {
  readonly heads: number;
  readonly rows: number;
  readonly headSize: number;
  /** Slots that a head has. */
  readonly capacity: number;
}

export interface ScatterRowsInput extends RowCopySizes {
  /** [heads, rows, headSize] */
  readonly rowsOf: Float32Array;
  /** [heads, capacity, headSize] */
  readonly slotsOf: Float32Array;
  /** A slot a row; no two rows have the same. */
  readonly slots: Uint32Array;
}

/** Keys or values of rows into a request's slots: `slotsOf[head, slots[row]] = rowsOf[head, row]`; others stay. */
export const scatterRows: Routine<ScatterRowsInput, Float32Array> = {
  name: 'scatter-rows',
  cpu(input) {
    check(input);
    const { rowsOf, slots, heads, rows, headSize, capacity } = input;
    const out = input.slotsOf.slice();
    for (let head = 0; head < heads; head++)
      for (let row = 0; row < rows; row++) {
        const from = (head * rows + row) * headSize;
        out.set(rowsOf.subarray(from, from + headSize), (head * capacity + slots[row]!) * headSize);
      }
    return out;
  },
  async gpu(gpu, input) {
    check(input);
    if (input.slotsOf.length === 0) return new Float32Array(0);
    const commands = gpu.begin();
    const slotsOf = commands.upload(input.slotsOf);
    const slots = commands.upload(input.slots);
    encodeScatterRows(commands, { rowsOf: commands.upload(input.rowsOf), slotsOf, slots }, input);
    const [out] = await commands.read(slotsOf);
    return new Float32Array(out!);
  },
};

/** @param firstHead of `rowsOf` that is put into the first head's slots, where it has those of many layers. Default 0 */
export function encodeScatterRows(
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
  commands.dispatch(PROGRAM, [rowsOf, slotsOf, slots], groupsFor(all), {
    u32: [all, rows, headSize, capacity, firstHead],
  });
}

const PROGRAM = {
  name: 'scatter-rows',
  wgsl: `
struct Sizes { all: u32, rows: u32, head_size: u32, capacity: u32, first_head: u32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> rows_of: array<f32>;
@group(0) @binding(2) var<storage, read_write> slots_of: array<f32>;
@group(0) @binding(3) var<storage, read> slots: array<u32>;

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}) {
  ${PLACE}
  if (at >= sizes.all) { return; }
  let number = at % sizes.head_size;
  let row = (at / sizes.head_size) % sizes.rows;
  let head = at / sizes.head_size / sizes.rows;
  let to = (head * sizes.capacity + slots[row]) * sizes.head_size + number;
  slots_of[to] = rows_of[sizes.first_head * sizes.rows * sizes.head_size + at];
}`,
};

function check({ rowsOf, slotsOf, slots, heads, rows, headSize, capacity }: ScatterRowsInput): void {
  checkLength('rowsOf', rowsOf, { heads, rows, headSize });
  checkLength('slotsOf', slotsOf, { heads, capacity, headSize });
  checkLength('slots', slots, { rows });
  checkIndices('slots', slots, capacity);
}

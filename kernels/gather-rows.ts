import type { Commands } from './commands.js';
import { checkIndices, checkLength } from './kernel-error.js';
import type { Routine } from './routine.js';
import { encodeRowCopy, rowCopy, type RowCopyArrays, type RowCopySizes } from './row-copy.js';

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
  { rowsOf, slotsOf, slots }: RowCopyArrays,
  sizes: RowCopySizes,
  firstHead = 0,
): void {
  encodeRowCopy(commands, PROGRAM, [slotsOf, rowsOf, slots], sizes, firstHead);
}

const PROGRAM = rowCopy('gather-rows', ({ row, slot }) => ({ from: slot, to: row }));

function check({ slotsOf, slots, heads, rows, headSize, capacity }: GatherRowsInput): void {
  checkLength('slotsOf', slotsOf, { heads, capacity, headSize });
  checkLength('slots', slots, { rows });
  checkIndices('slots', slots, capacity);
}

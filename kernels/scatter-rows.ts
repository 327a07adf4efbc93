import type { Commands } from './commands.js';
import { checkIndices, checkLength } from './kernel-error.js';
import type { Routine } from './routine.js';
import { encodeRowCopy, rowCopy, type RowCopyArrays, type RowCopySizes } from './row-copy.js';

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
  { rowsOf, slotsOf, slots }: RowCopyArrays,
  sizes: RowCopySizes,
  firstHead = 0,
): void {
  encodeRowCopy(commands, PROGRAM, [rowsOf, slotsOf, slots], sizes, firstHead);
}

const PROGRAM = rowCopy('scatter-rows', ({ row, slot }) => ({ from: row, to: slot }));

function check({ rowsOf, slotsOf, slots, heads, rows, headSize, capacity }: ScatterRowsInput): void {
  checkLength('rowsOf', rowsOf, { heads, rows, headSize });
  checkLength('slotsOf', slotsOf, { heads, capacity, headSize });
  checkLength('slots', slots, { rows });
  checkIndices('slots', slots, capacity);
}

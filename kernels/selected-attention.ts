import type { Commands } from './commands.js';
import type { Gpu, GpuArray, Program } from './gpu.js';
import { HALVES } from './half.js';
import { checkLength, KernelError } from './kernel-error.js';
import type { Routine } from './routine.js';
import { INVOCATION, pairsOf, PLACE, reductions, WIDTH, type Storage } from './wgsl.js';

export interface AttentionSizes {
  /** Rows whose attention is computed. */
  readonly rows: number;
  readonly heads: number;
  /** Each serves `heads / kvHeads` heads (Ainslie et al. 2023, GQA). */
  readonly kvHeads: number;
  /** Even, at most 256. */
  readonly headSize: number;
  readonly slots: number;
}

/** Position of a slot that nothing sees. */
export const NO_POSITION = 0xffffffff;

export interface SelectedAttentionInput extends AttentionSizes {
  /** [heads, rows, headSize], rotated. */
  readonly queries: Float32Array;
  /**
   * [kvHeads, slots, headSize], keys rotated, those of the rows among them: what caches had and what was computed anew,
   * in any order. Numbers, or float16 by their bits; both alike.
   */
  readonly keys: Float32Array | Uint16Array;
  readonly values: Float32Array | Uint16Array;
  /** Of each row. A row sees the slots at its position and before it. */
  readonly rowPositions: Uint32Array;
  /** Of each slot, or NO_POSITION. */
  readonly slotPositions: Uint32Array;
}

/**
 * Attention of some rows over all that lives: softmax(q · k / √headSize + m) v, where m is 0 for a slot that the row sees
 * and -∞ for others. Scores are never stored: slots pass by in tiles, and what was summed is scaled where a larger score
 * turns up (Milakov and Gimelshein 2018; Dao et al. 2022, FlashAttention). A row that sees nothing gets 0. What a hidden
 * slot holds never matters, be it no number; a number that is none in a slot that is seen makes the row NaN.
 *
 * Result: [heads, rows, headSize].
 */
export const selectedAttention: Routine<SelectedAttentionInput, Float32Array> = {
  name: 'selected-attention',
  cpu(input) {
    check(input);
    const { rows, heads, kvHeads, headSize, slots, queries, rowPositions, slotPositions } = input;
    const [keys, values] = [numbersOf(input.keys), numbersOf(input.values)];
    const out = new Float32Array(queries.length);
    for (let head = 0, at = 0; head < heads; head++)
      for (let row = 0; row < rows; row++, at += headSize) {
        const first = Math.floor((head * kvHeads) / heads) * slots;
        const seen = seenBy(rowPositions[row]!, slotPositions);
        const shares = softmax(
          seen.map((slot) => {
            let sum = 0;
            for (let i = 0; i < headSize; i++) sum += queries[at + i]! * keys[(first + slot) * headSize + i]!;
            return sum / Math.sqrt(headSize);
          }),
        );
        for (let i = 0; i < headSize; i++)
          out[at + i] = seen.reduce(
            (sum, slot, j) => sum + shares[j]! * values[(first + slot) * headSize + i]!,
            0,
          );
      }
    return out;
  },
  async gpu(gpu, input) {
    check(input);
    if (input.queries.length === 0) return new Float32Array(0);
    const commands = gpu.begin();
    const [queries, keys, values] = [input.queries, input.keys, input.values].map((data) =>
      commands.upload(data),
    );
    const out = commands.array(4 * input.queries.length);
    const positions = {
      row: commands.upload(input.rowPositions),
      slot: commands.upload(input.slotPositions),
    };
    encodeSelectedAttention(
      gpu,
      commands,
      { queries: queries!, keys: keys!, values: values!, out, positions },
      { ...input, storage: input.keys instanceof Uint16Array ? 'float16' : 'float32' },
    );
    const [result] = await commands.read(out);
    return new Float32Array(result!);
  },
};

export interface AttentionArrays {
  readonly queries: GpuArray;
  readonly keys: GpuArray;
  readonly positions: { readonly row: GpuArray; readonly slot: GpuArray };
  readonly out: GpuArray;
}

/** A group a head of a row. */
export function encodeSelectedAttention(
  gpu: Gpu,
  commands: Commands,
  { queries, keys, values, positions, out }: AttentionArrays & { readonly values: GpuArray },
  { rows, heads, kvHeads, headSize, slots, storage }: AttentionSizes & { readonly storage: Storage },
): void {
  commands.dispatch(
    program(gpu, headSize, storage),
    [queries, keys, values, positions.row, positions.slot, out],
    heads * rows,
    { u32: [rows, heads, kvHeads, slots], f32: [1 / Math.sqrt(headSize)] },
  );
}

function program(gpu: Gpu, headSize: number, storage: Storage): Program {
  const { enable, functions, parameters, from } = reductions(gpu, ['sum', 'most']);
  const { enable: half, type, pair } = pairsOf(gpu, storage);
  const pairs = headSize / 2;
  const own = Math.ceil(pairs / WIDTH);
  return {
    name: 'selected-attention',
    wgsl: `${enable}${half}
struct Sizes { rows: u32, heads: u32, kv_heads: u32, slots: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> queries: array<vec2f>;
@group(0) @binding(2) var<storage, read> keys: ${type};
@group(0) @binding(3) var<storage, read> values: ${type};
@group(0) @binding(4) var<storage, read> row_positions: array<u32>;
@group(0) @binding(5) var<storage, read> slot_positions: array<u32>;
@group(0) @binding(6) var<storage, read_write> mixed: array<vec2f>;
${functions}
var<workgroup> query: array<vec2f, ${pairs}>;
var<workgroup> shares: array<f32, ${WIDTH}>;

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}${parameters}) {
  ${PLACE}
  if (group >= sizes.heads * sizes.rows) { return; }
  let first = (group / sizes.rows) * sizes.kv_heads / sizes.heads * sizes.slots;
  let position = row_positions[group % sizes.rows];
  for (var i = lane; i < ${pairs}u; i += ${WIDTH}u) { query[i] = queries[group * ${pairs}u + i]; }
  workgroupBarrier();
  var largest = -3.4e38;
  var total = 0.0;
  var sums: array<vec2f, ${own}>;
  for (var tile = 0u; tile < sizes.slots; tile += ${WIDTH}u) {
    let slot = tile + lane;
    var seen = false;
    if (slot < sizes.slots) {
      let there = slot_positions[slot];
      seen = there <= position && there != ${NO_POSITION}u;
    }
    var score = -3.4e38;
    if (seen) {
      var dots = vec2f();
      for (var i = 0u; i < ${pairs}u; i++) { dots += query[i] * ${pair('keys', `(first + slot) * ${pairs}u + i`)}; }
      score = (dots.x + dots.y) * sizes.scale;
    }
    let now = max(largest, group_most(score, ${from}));
    let share = select(0.0, exp(score - now), seen);
    let before = exp(largest - now);
    total = total * before + group_sum(share, ${from});
    largest = now;
    shares[lane] = share;
    workgroupBarrier();
    for (var j = 0u; j < ${own}u; j++) {
      let i = j * ${WIDTH}u + lane;
      if (i >= ${pairs}u) { break; }
      var sum = sums[j] * before;
      for (var other = 0u; other < min(${WIDTH}u, sizes.slots - tile); other++) {
        let there = slot_positions[tile + other];
        // What is hidden may be no number, which a share of 0 would not hide.
        if (there <= position && there != ${NO_POSITION}u) {
          sum += shares[other] * ${pair('values', `(first + tile + other) * ${pairs}u + i`)};
        }
      }
      sums[j] = sum;
    }
    workgroupBarrier();
  }
  for (var j = 0u; j < ${own}u; j++) {
    let i = j * ${WIDTH}u + lane;
    if (i < ${pairs}u) { mixed[group * ${pairs}u + i] = select(sums[j] / total, vec2f(), total == 0.0); }
  }
}`,
  };
}

/** Slots that a row at a position sees. */
export function seenBy(position: number, slotPositions: Uint32Array): number[] {
  const seen: number[] = [];
  slotPositions.forEach((there, slot) => {
    if (there <= position && there !== NO_POSITION) seen.push(slot);
  });
  return seen;
}

export function softmax(scores: readonly number[]): number[] {
  const largest = Math.max(...scores);
  const parts = scores.map((score) => Math.exp(score - largest));
  const sum = parts.reduce((all, part) => all + part, 0);
  return parts.map((part) => part / sum);
}

export function numbersOf(array: Float32Array | Uint16Array): Float32Array {
  return array instanceof Float32Array ? array : Float32Array.from(array, (half) => HALVES[half]!);
}

const LARGEST_HEAD = 256;

/** @throws KernelError `sizes` */
export function checkAttention(
  { rows, heads, kvHeads, headSize, slots }: AttentionSizes,
  {
    queries,
    keys,
    rowPositions,
    slotPositions,
  }: Omit<SelectedAttentionInput, keyof AttentionSizes | 'values'>,
): void {
  checkLength('queries', queries, { heads, rows, headSize });
  checkLength('keys', keys, { kvHeads, slots, headSize });
  checkLength('rowPositions', rowPositions, { rows });
  checkLength('slotPositions', slotPositions, { slots });
  if (!(kvHeads > 0) || heads % kvHeads !== 0 || headSize % 2 !== 0 || headSize > LARGEST_HEAD)
    throw new KernelError(
      'sizes',
      `${heads} heads of ${headSize} with ${kvHeads} of keys; heads of an even size up to ${LARGEST_HEAD} are run, as ` +
        'many as heads of keys or a multiple',
    );
}

function check(input: SelectedAttentionInput): void {
  checkAttention(input, input);
  const { kvHeads, slots, headSize, keys, values } = input;
  checkLength('values', values, { kvHeads, slots, headSize });
  if (keys instanceof Uint16Array !== values instanceof Uint16Array)
    throw new KernelError(
      'sizes',
      'keys and values are of two kinds; give both as numbers or both as float16',
    );
}

import type { Commands } from './commands.js';
import type { Gpu, GpuArray, Program } from './gpu.js';
import { checkLength, KernelError } from './kernel-error.js';
import type { Routine } from './routine.js';
import {
  checkAttention,
  NO_POSITION,
  numbersOf,
  seenBy,
  softmax,
  type AttentionArrays,
  type SelectedAttentionInput,
} from './selected-attention.js';
import { INVOCATION, pairsOf, PLACE, reductions, WIDTH, type Storage } from './wgsl.js';

export interface ChunkMassInput extends Omit<SelectedAttentionInput, 'values'> {
  /** Of each slot, its chunk; `chunks` or more for a slot of none. */
  readonly chunkOf: Uint32Array;
  /** At most 64. */
  readonly chunks: number;
}

/**
 * What attention a row pays to each chunk, a mean over heads: [rows, chunks] (Agarwal et al. 2025, Cache-Craft, section
 * 2.3, whose inter, intra and token-wise statistics are sums of it). Slots pass by twice, first for the softmax's
 * denominator, then for the shares; the matrix of shares, [heads, rows, slots], is never stored. A row that sees nothing
 * pays nothing.
 */
export const chunkMass: Routine<ChunkMassInput, Float32Array> = {
  name: 'chunk-mass',
  cpu(input) {
    check(input);
    const { rows, heads, kvHeads, headSize, slots, chunks, queries, rowPositions, slotPositions, chunkOf } =
      input;
    const keys = numbersOf(input.keys);
    const masses = new Float64Array(rows * chunks);
    for (let head = 0; head < heads; head++)
      for (let row = 0; row < rows; row++) {
        const first = Math.floor((head * kvHeads) / heads) * slots;
        const seen = seenBy(rowPositions[row]!, slotPositions);
        const scores = seen.map((slot) => {
          let sum = 0;
          for (let i = 0; i < headSize; i++)
            sum += queries[(head * rows + row) * headSize + i]! * keys[(first + slot) * headSize + i]!;
          return sum / Math.sqrt(headSize);
        });
        softmax(scores).forEach((share, i) => {
          const chunk = chunkOf[seen[i]!]!;
          if (chunk < chunks) masses[row * chunks + chunk]! += share / heads;
        });
      }
    return Float32Array.from(masses);
  },
  async gpu(gpu, input) {
    check(input);
    const { rows, chunks } = input;
    if (rows * chunks === 0) return new Float32Array(0);
    const commands = gpu.begin();
    const out = commands.array(4 * rows * chunks);
    const arrays = {
      queries: commands.upload(input.queries),
      keys: commands.upload(input.keys),
      positions: { row: commands.upload(input.rowPositions), slot: commands.upload(input.slotPositions) },
      chunkOf: commands.upload(input.chunkOf),
      out,
    };
    encodeChunkMass(gpu, commands, arrays, {
      ...input,
      storage: input.keys instanceof Uint16Array ? 'float16' : 'float32',
    });
    const [result] = await commands.read(out);
    return new Float32Array(result!);
  },
};

/** A group a row. */
export function encodeChunkMass(
  gpu: Gpu,
  commands: Commands,
  { queries, keys, positions, chunkOf, out }: AttentionArrays & { readonly chunkOf: GpuArray },
  sizes: Pick<ChunkMassInput, 'rows' | 'heads' | 'kvHeads' | 'headSize' | 'slots' | 'chunks'> & {
    readonly storage: Storage;
  },
): void {
  const { rows, heads, kvHeads, headSize, slots, chunks, storage } = sizes;
  commands.dispatch(
    program(gpu, headSize, storage),
    [queries, keys, positions.row, positions.slot, chunkOf, out],
    rows,
    { u32: [rows, heads, kvHeads, slots, chunks], f32: [1 / Math.sqrt(headSize)] },
  );
}

function program(gpu: Gpu, headSize: number, storage: Storage): Program {
  const { enable, functions, parameters, from } = reductions(gpu, ['sum', 'most']);
  const { enable: half, type, pair } = pairsOf(gpu, storage);
  const pairs = headSize / 2;
  return {
    name: 'chunk-mass',
    wgsl: `${enable}${half}
struct Sizes { rows: u32, heads: u32, kv_heads: u32, slots: u32, chunks: u32, scale: f32 }
@group(0) @binding(0) var<uniform> sizes: Sizes;
@group(0) @binding(1) var<storage, read> queries: array<vec2f>;
@group(0) @binding(2) var<storage, read> keys: ${type};
@group(0) @binding(3) var<storage, read> row_positions: array<u32>;
@group(0) @binding(4) var<storage, read> slot_positions: array<u32>;
@group(0) @binding(5) var<storage, read> chunk_of: array<u32>;
@group(0) @binding(6) var<storage, read_write> masses: array<f32>;
${functions}
var<workgroup> query: array<vec2f, ${pairs}>;
var<workgroup> shares: array<f32, ${WIDTH}>;

fn is_seen(slot: u32, position: u32) -> bool {
  if (slot >= sizes.slots) { return false; }
  let there = slot_positions[slot];
  return there <= position && there != ${NO_POSITION}u;
}

fn score_of(slot: u32, first: u32) -> f32 {
  var dots = vec2f();
  for (var i = 0u; i < ${pairs}u; i++) { dots += query[i] * ${pair('keys', `(first + slot) * ${pairs}u + i`)}; }
  return (dots.x + dots.y) * sizes.scale;
}

@compute @workgroup_size(${WIDTH})
fn main(${INVOCATION}${parameters}) {
  ${PLACE}
  if (group >= sizes.rows) { return; }
  let position = row_positions[group];
  var mass = 0.0;
  for (var head = 0u; head < sizes.heads; head++) {
    let first = head * sizes.kv_heads / sizes.heads * sizes.slots;
    workgroupBarrier();
    for (var i = lane; i < ${pairs}u; i += ${WIDTH}u) { query[i] = queries[(head * sizes.rows + group) * ${pairs}u + i]; }
    workgroupBarrier();
    var own = -3.4e38;
    var sum = 0.0;
    for (var slot = lane; slot < sizes.slots; slot += ${WIDTH}u) {
      if (is_seen(slot, position)) {
        let score = score_of(slot, first);
        let now = max(own, score);
        sum = sum * exp(own - now) + exp(score - now);
        own = now;
      }
    }
    let largest = group_most(own, ${from});
    let total = group_sum(sum * exp(own - largest), ${from});
    for (var tile = 0u; tile < sizes.slots; tile += ${WIDTH}u) {
      let slot = tile + lane;
      var share = 0.0;
      if (is_seen(slot, position)) { share = exp(score_of(slot, first) - largest) / total; }
      shares[lane] = share;
      workgroupBarrier();
      // An invocation a chunk, in the order of slots: the same sum each time.
      if (lane < sizes.chunks) {
        for (var other = 0u; other < min(${WIDTH}u, sizes.slots - tile); other++) {
          if (chunk_of[tile + other] == lane) { mass += shares[other]; }
        }
      }
      workgroupBarrier();
    }
  }
  if (lane < sizes.chunks) { masses[group * sizes.chunks + lane] = mass / f32(sizes.heads); }
}`,
  };
}

function check(input: ChunkMassInput): void {
  checkAttention(input, input);
  checkLength('chunkOf', input.chunkOf, { slots: input.slots });
  if (!(input.chunks >= 0 && input.chunks <= WIDTH))
    throw new KernelError('sizes', `${input.chunks} chunks; ${WIDTH} at most are told apart`);
}

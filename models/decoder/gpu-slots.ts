import { encodeGatherRows } from '../../kernels/gather-rows.js';
import type { Commands } from '../../kernels/commands.js';
import type { Gpu, GpuArray } from '../../kernels/gpu.js';
import { encodeRotateKeys } from '../../kernels/rotate-keys.js';
import { encodeRowDeviation } from '../../kernels/row-deviation.js';
import { encodeScatterRows } from '../../kernels/scatter-rows.js';
import { carryOver } from './carry-over.js';
import type { LayerRange } from './engine.js';
import {
  inSteps,
  placesFrom,
  STEP,
  type CarryShares,
  type SlotRun,
  type Slots,
  type StepKv,
  type TokensKv,
} from './kv-slots.js';
import type { Rope } from './rope.js';
import type { DecoderShape } from './shape.js';

/** Keys, rotated, and values of rows where ONNX Runtime left them: [layers, kvHeads, rows, headSize] each. */
export interface GpuStepKv extends StepKv {
  readonly layers: number;
  readonly keys: GpuArray;
  readonly values: GpuArray;
  /** Gives both back to ONNX Runtime. */
  dispose(): void;
}

/** Chunks that stay on the GPU for the next prompt, and what they may take there. */
export class GpuChunks {
  readonly #gpu: Gpu;
  readonly #most: number;
  readonly #chunks = new Map<Float32Array, { readonly keys: GpuArray; readonly values: GpuArray }>();
  #bytes = 0;

  constructor(gpu: Gpu, most: number) {
    this.#gpu = gpu;
    this.#most = most;
  }

  /** A chunk's keys, not rotated, and values; those that were longest not asked for give way. */
  get(
    { keys, values }: TokensKv,
    commands: Commands,
  ): { readonly keys: GpuArray; readonly values: GpuArray } {
    // A chunk that is kept ready is the same object each time.
    let chunk = this.#chunks.get(keys);
    this.#chunks.delete(keys);
    if (!chunk) {
      chunk = { keys: this.#gpu.array(keys.byteLength), values: this.#gpu.array(values.byteLength) };
      commands.write(chunk.keys, keys);
      commands.write(chunk.values, values);
      this.#bytes += keys.byteLength + values.byteLength;
    }
    this.#chunks.set(keys, chunk);
    return chunk;
  }

  /** To call when commands that use chunks have begun. */
  trim(): void {
    for (const [key, { keys, values }] of this.#chunks) {
      if (this.#bytes <= this.#most) return;
      this.#chunks.delete(key);
      this.#bytes -= keys.bytes + values.bytes;
      this.#gpu.free(keys);
      this.#gpu.free(values);
    }
  }
}

/** Slots on a GPU, in buffers that ONNX Runtime reads as they are. */
export class GpuSlots implements Slots {
  readonly #shape: DecoderShape;
  readonly #rope: Rope;
  readonly #gpu: Gpu;
  readonly #chunks: GpuChunks;
  /** A layer each, [kvHeads, capacity, headSize]. */
  #keys: GpuArray[] = [];
  #values: GpuArray[] = [];
  #length = 0;
  #capacity = 0;
  /** What was begun and not looked at. */
  #pending: Promise<void> = Promise.resolve();

  constructor(shape: DecoderShape, rope: Rope, gpu: Gpu, chunks: GpuChunks) {
    this.#shape = shape;
    this.#rope = rope;
    this.#gpu = gpu;
    this.#chunks = chunks;
    this.reserve(STEP); // A graph on a GPU wants a past to be there.
  }

  get length(): number {
    return this.#length;
  }

  get capacity(): number {
    return this.#capacity;
  }

  keys(layer: number): GpuArray {
    return this.#keys[layer]!;
  }

  values(layer: number): GpuArray {
    return this.#values[layer]!;
  }

  /** @throws KernelError where something that was begun failed */
  async settled(): Promise<void> {
    await this.#pending;
  }

  append(kv: readonly GpuStepKv[], rows: number): void {
    this.put(kv, [{ row: 0, slot: this.#length, count: rows }], rows);
  }

  put(kv: readonly GpuStepKv[], runs: readonly SlotRun[], rows: number): void {
    const end = Math.max(this.#length, ...runs.map(({ slot, count }) => slot + count));
    // Rows that no run has go where nothing is yet.
    const slots = Uint32Array.from({ length: rows }, (_, row) => end + row);
    for (const { row, slot, count } of runs) for (let i = 0; i < count; i++) slots[row + i] = slot + i;
    this.reserve(Math.max(...slots) + 1);
    const commands = this.#gpu.begin();
    const places = commands.upload(slots);
    for (const { from, layers, keys, values } of kv)
      for (let i = 0; i < layers; i++) {
        this.#scatter(commands, keys, this.#keys[from + i]!, places, rows, i);
        this.#scatter(commands, values, this.#values[from + i]!, places, rows, i);
      }
    this.#finish(commands);
    for (const each of kv) each.dispose();
    this.#length = end;
  }

  reserve(slots: number): void {
    if (slots <= this.#capacity) return;
    const capacity = inSteps(slots);
    const { layers, kvHeads, headSize } = this.#shape;
    const before = this.#capacity;
    const commands = this.#gpu.begin();
    const places = commands.upload(Uint32Array.from(placesFrom(0, before)));
    const grown = (from: readonly GpuArray[]) =>
      Array.from({ length: layers }, (_, layer) => {
        const to = this.#gpu.array(4 * kvHeads * capacity * headSize);
        // A slot that a mask hides may hold no NaN: the mask is added.
        commands.clear(to);
        if (before > 0) {
          const sizes = { heads: kvHeads, rows: before, headSize, capacity };
          encodeScatterRows(commands, { rowsOf: from[layer]!, slotsOf: to, slots: places }, sizes);
        }
        return to;
      });
    const [keys, values] = [grown(this.#keys), grown(this.#values)];
    this.#finish(commands);
    this.#free();
    [this.#keys, this.#values, this.#capacity] = [keys, values, capacity];
  }

  place(kv: TokensKv, start: number, layer = 0): void {
    this.#place(kv, start, layer, (commands) => this.#chunks.get(kv, commands));
    this.#chunks.trim();
  }

  async carry(
    old: TokensKv,
    start: number,
    isAnew: readonly boolean[],
    shares: CarryShares,
    layers: LayerRange,
  ): Promise<void> {
    const now = await this.read(start, old.tokens, start);
    carryOver(this.#shape, old, now, isAnew, shares, layers);
    // No other prompt has it so: nothing to keep on the GPU.
    this.#place(now, start, 0, (commands) => ({
      keys: commands.upload(now.keys),
      values: commands.upload(now.values),
    }));
  }

  /** @param upload has them on the GPU, for as long as the commands last at least */
  #place(
    { tokens, keys }: TokensKv,
    start: number,
    from: number,
    upload: (commands: Commands) => { readonly keys: GpuArray; readonly values: GpuArray },
  ): void {
    if (tokens === 0) return;
    const { kvHeads, headSize } = this.#shape;
    const layers = keys.length / (kvHeads * tokens * headSize);
    this.reserve(start + tokens);
    const positions = placesFrom(start, tokens);
    const { cos, sin } = this.#rope.rotation(positions);
    const commands = this.#gpu.begin();
    const chunk = upload(commands);
    const turned = commands.array(chunk.keys.bytes);
    commands.copy(chunk.keys, turned, chunk.keys.bytes);
    const angles = { cos: commands.upload(cos), sin: commands.upload(sin) };
    encodeRotateKeys(
      commands,
      { keys: turned, ...angles },
      { heads: layers * kvHeads, rows: tokens, headSize },
    );
    const places = commands.upload(Uint32Array.from(positions));
    for (let layer = 0; layer < layers; layer++) {
      this.#scatter(commands, turned, this.#keys[from + layer]!, places, tokens, layer);
      this.#scatter(commands, chunk.values, this.#values[from + layer]!, places, tokens, layer);
    }
    this.#finish(commands);
    this.#length = Math.max(this.#length, start + tokens);
  }

  truncate(length: number): void {
    this.#length = Math.min(this.#length, length);
    const [before, capacity] = [this.#capacity, inSteps(this.#length + 1)];
    if (capacity >= before) return;
    const { kvHeads, headSize } = this.#shape;
    const commands = this.#gpu.begin();
    const slots = commands.upload(Uint32Array.from(placesFrom(0, capacity)));
    const cut = (from: readonly GpuArray[]) =>
      from.map((slotsOf) => {
        const rowsOf = this.#gpu.array(4 * kvHeads * capacity * headSize);
        const sizes = { heads: kvHeads, rows: capacity, headSize, capacity: before };
        encodeGatherRows(commands, { slotsOf, rowsOf, slots }, sizes);
        return rowsOf;
      });
    const [keys, values] = [cut(this.#keys), cut(this.#values)];
    this.#finish(commands);
    this.#free();
    [this.#keys, this.#values, this.#capacity] = [keys, values, capacity];
  }

  async read(start: number, count: number, position: number): Promise<TokensKv> {
    await this.#pending;
    const { layers, kvHeads, headSize } = this.#shape;
    const commands = this.#gpu.begin();
    const bytes = 4 * layers * kvHeads * count * headSize;
    const [keys, values] = [commands.array(bytes), commands.array(bytes)];
    const slots = commands.upload(Uint32Array.from(placesFrom(start, count)));
    const sizes = { heads: kvHeads, rows: count, headSize, capacity: this.#capacity };
    for (let layer = 0; layer < layers; layer++) {
      encodeGatherRows(
        commands,
        { slotsOf: this.#keys[layer]!, rowsOf: keys, slots },
        sizes,
        layer * kvHeads,
      );
      encodeGatherRows(
        commands,
        { slotsOf: this.#values[layer]!, rowsOf: values, slots },
        sizes,
        layer * kvHeads,
      );
    }
    const { cos, sin } = this.#rope.unrotation(placesFrom(position, count));
    const angles = { cos: commands.upload(cos), sin: commands.upload(sin) };
    encodeRotateKeys(commands, { keys, ...angles }, { heads: layers * kvHeads, rows: count, headSize });
    const [a, b] = await commands.read(keys, values);
    return { tokens: count, keys: new Float32Array(a!), values: new Float32Array(b!) };
  }

  watch(layer: number, slots: number): () => Promise<Float32Array> {
    this.reserve(slots);
    const { kvHeads, headSize } = this.#shape;
    const stride = this.#capacity;
    const copying = this.#gpu.begin();
    const copied = [this.#keys[layer]!, this.#values[layer]!].map((from) => {
      const copy = this.#gpu.array(from.bytes);
      copying.copy(from, copy, from.bytes);
      return copy;
    });
    this.#finish(copying);
    return async () => {
      await this.#pending;
      const commands = this.#gpu.begin();
      const out = commands.array(4 * slots);
      const [cachedKeys, cachedValues] = copied as [GpuArray, GpuArray];
      const arrays = {
        cachedKeys,
        cachedValues,
        keys: this.#keys[layer]!,
        values: this.#values[layer]!,
        out,
      };
      encodeRowDeviation(this.#gpu, commands, arrays, { heads: kvHeads, rows: slots, headSize }, stride);
      const [deviations] = await commands.read(out);
      for (const copy of copied) this.#gpu.free(copy);
      return new Float32Array(deviations!);
    };
  }

  release(): void {
    this.#free();
    [this.#keys, this.#values, this.#capacity, this.#length] = [[], [], 0, 0];
  }

  #free(): void {
    for (const array of [...this.#keys, ...this.#values]) this.#gpu.free(array);
  }

  /** Rows of the `layer`th layer among those of `from`. */
  #scatter(
    commands: Commands,
    from: GpuArray,
    to: GpuArray,
    slots: GpuArray,
    rows: number,
    layer: number,
  ): void {
    const { kvHeads: heads, headSize } = this.#shape;
    const sizes = { heads, rows, headSize, capacity: this.#capacity };
    encodeScatterRows(commands, { rowsOf: from, slotsOf: to, slots }, sizes, layer * heads);
  }

  #finish(commands: Commands): void {
    const before = this.#pending;
    this.#pending = commands.finish().then(() => before);
    this.#pending.catch(() => undefined); // Whoever goes on with the slots is told.
  }
}

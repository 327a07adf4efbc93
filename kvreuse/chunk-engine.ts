import type { Engine, LayerRange, StepOutput } from '../models/decoder/engine.js';
import type { CarryShares, SlotRun, Slots } from '../models/decoder/kv-slots.js';
import { pickRows } from '../models/decoder/pick-rows.js';
import type { ChunkKv } from './chunk-kv.js';
import { PromptLayout, type PlacedPiece } from './prompt-layout.js';
import { rowMask } from './row-mask.js';
import type { Steps } from './steps.js';
import type { ChunkStatistics, Deviations, SelectionPolicy } from './selection/selection-policy.js';

/** Rows that are computed at once, as the decoder's own prompts are. */
const ROWS = 192;
/** Tokens after the prompt that there is room for at once. */
const USUAL_ANSWER = 48;
/**
 * Repaired rows that are computed together at least, before what they changed by is carried over: a run has its price
 * however few its rows.
 */
const LEAST_REPAIRED = 96;
/** First tokens of a sequence: they draw attention whatever they say, so they tell nothing of what matters. */
const SINKS = 4;

/** A cache at the place of a piece. */
export interface PlacedKv {
  readonly piece: PlacedPiece;
  readonly kv: ChunkKv;
  /** Until it resolves layers above the engine's last cut, of which it has one, are not there yet. Default all are there. */
  readonly rest?: Promise<void> | undefined;
}

/** Tokens at the two ends of a chunk that an edit left as they were. */
export interface Stayed {
  readonly head: number;
  readonly tail: number;
}

/** A prompt whose keys and values are all there, ready to be gone on from. */
export interface Prefilled {
  readonly slots: Slots;
  /** Of the last row, [width]. */
  readonly hidden: Float32Array;
  /** Rows that were computed through all layers. */
  readonly computed: number;
}

/** A piece as it is in a prompt. */
export interface MadePiece extends PlacedKv {
  /** None of a prefix. */
  readonly statistics: ChunkStatistics | undefined;
}

/** Positions left to the rows at a cut; `undefined` keeps all. */
export type Narrow = (deviations: Deviations) => ReadonlySet<number>;

/** How caches are repaired. */
interface Repair {
  readonly caches: readonly PlacedKv[];
  readonly anew: ReadonlySet<number>;
  /** As `SelectionPolicy` has it. */
  readonly carry: CarryShares | undefined;
  readonly focus?: SelectionPolicy['focus'];
}

/** Rows at ascending positions, [width] each: embedded, or as the layers up to a cut leave them. */
interface Rows {
  readonly positions: readonly number[];
  readonly hidden: Float32Array;
}

/** Caches of which some rows are computed anew, with those rows and what no cache has before and among them. */
interface Repairs {
  readonly caches: readonly PlacedKv[];
  readonly rows: Rows;
}

interface Work {
  /** In the order of the prompt: each sees what the ones before it carried over. */
  readonly repairs: readonly Repairs[];
  readonly rest: Rows;
}

interface AttentionStatistics {
  /** The chunk of each position; -1 where attention to it is not counted. */
  readonly groupOf: Int32Array;
  /** Chunks. */
  readonly count: number;
  readonly onStep: (step: StepOutput, positions: readonly number[]) => void;
}

/** Computes chunks by themselves, and prompts from chunks that are known. */
export class ChunkEngine {
  readonly #engine: Engine;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** The first layer above the last cut; 0 where there is none. */
  get cut(): number {
    return this.#engine.parts.at(-1)!.from;
  }

  /**
   * Keys and values of chunks, each behind the prefix and blind to the others: many short ones in one run (Zhao et al.
   * 2024, Prepacking).
   * @param prefix what all of them stand behind
   */
  async *computeChunks(
    prefix: ChunkKv | undefined,
    chunks: readonly (readonly number[])[],
  ): Steps<ChunkKv[]> {
    const made: ChunkKv[] = [];
    for (const pack of packsOf(chunks)) made.push(...(yield* this.#computePack(prefix, pack)));
    return made;
  }

  /** @param chunks together no more rows than one run has, or a single one of any length */
  async *#computePack(prefix: ChunkKv | undefined, chunks: readonly (readonly number[])[]): Steps<ChunkKv[]> {
    const engine = this.#engine;
    const before = prefix?.tokens ?? 0;
    const owner = chunks.flatMap(({ length }, chunk) => new Array<number>(length).fill(chunk));
    const place = chunks.flatMap(({ length }) => Array.from({ length }, (_, i) => before + i));
    const rows = engine.embed(chunks.flat());
    const slots = engine.slots(before + owner.length);
    if (prefix) slots.place(prefix, 0);
    const { width } = engine.shape;
    for (let at = 0; at < owner.length; at += ROWS) {
      const count = Math.min(ROWS, owner.length - at);
      const { kv } = await engine.step({
        rows: rows.subarray(at * width, (at + count) * width),
        positions: place.slice(at, at + count),
        past: slots,
        // A pack of more than one chunk is one run: slots hold the prefix, or rows of the same chunk.
        mask: rowMask(
          count,
          slots,
          () => true,
          (row, other) => owner[at + row] === owner[at + other],
        ),
      });
      slots.append(kv, count);
      yield;
    }
    const made: ChunkKv[] = [];
    let slot = before;
    for (const { length } of chunks) {
      made.push(await this.#read(slots, slot, length, before));
      slot += length;
    }
    slots.release();
    return made;
  }

  /**
   * An edited chunk from what is known of it before the edit: only the tokens between those that stayed are computed, and
   * those after them move (He et al. 2024, PIE). What follows the edit does not learn of it.
   * @param stayed tokens at the head and at the tail that are the same
   */
  async *editChunk(
    prefix: ChunkKv | undefined,
    old: ChunkKv,
    tokens: readonly number[],
    { head, tail }: Stayed,
  ): Steps<ChunkKv> {
    const before = prefix?.tokens ?? 0;
    const slots = this.#engine.slots(before + tokens.length);
    slots.reserve(before + tokens.length);
    if (prefix) slots.place(prefix, 0);
    slots.place(rowsOf(old, 0, head), before);
    slots.place(rowsOf(old, old.tokens - tail, old.tokens), before + tokens.length - tail);
    const positions = tokens.map((_, i) => before + i).slice(head, tokens.length - tail);
    const live = new Uint8Array(before + tokens.length).fill(1);
    for (const position of positions) live[position] = 0;
    const rows = this.#engine.embed(positions.map((position) => tokens[position - before]!));
    yield* this.#compute(slots, live, positions, rows, 0, this.#engine.parts.length);
    const edited = await this.#read(slots, before, tokens.length, before);
    slots.release();
    return edited;
  }

  /**
   * The prompt from caches: rows that none has, and those of `anew`, are computed where they stand and see all before
   * them.
   * @param anew positions inside caches
   * @param carry as `SelectionPolicy` has it. Default nothing is carried over
   * @param narrow where given: all rows are computed up to the engine's first cut, and from there on of those that caches
   * have only the ones that it returns; nothing is carried over
   * @param focus as `SelectionPolicy` has it; the engine was opened with a cut and for masses. Default all are repaired in
   * all layers
   */
  async *prefill(
    layout: PromptLayout,
    caches: readonly PlacedKv[],
    anew: ReadonlySet<number>,
    {
      carry,
      narrow,
      focus,
    }: {
      readonly carry?: CarryShares | undefined;
      readonly narrow?: Narrow | undefined;
      readonly focus?: SelectionPolicy['focus'];
    } = {},
  ): Steps<Prefilled> {
    const engine = this.#engine;
    const { slots, live } = this.#placed(layout, caches);
    const { ids } = layout;
    const all = ids.map((_, position) => position);
    const parts = engine.parts.length;
    if (!narrow) {
      for (const position of anew) live[position] = 0;
      return yield* this.#computeRest(layout, slots, live, { caches, anew, carry, focus });
    }
    const cached = live.slice();
    const deviations = slots.watch(engine.parts[0]!.to - 1, layout.tokens);
    const first = yield* this.#compute(slots, new Uint8Array(layout.tokens), all, engine.embed(ids), 0, 1);
    const kept = narrow({
      rows: (await deviations()).map((size, position) => (cached[position] === 1 ? size : 0)),
    });
    for (const position of kept) cached[position] = 0;
    await this.#placeLate(slots, caches);
    const positions = all.filter((position) => cached[position] === 0);
    const rows = pickRows(first, engine.shape.width, positions);
    const hidden = yield* this.#compute(slots, cached, positions, rows, 1, parts);
    return { slots, hidden: hidden.slice(-engine.shape.width), computed: positions.length };
  }

  /**
   * As `prefill`, and keys and values of some pieces as they are here, with what attention told.
   * @param pieces all of whose rows are computed
   */
  async *prefillWithStatistics(
    layout: PromptLayout,
    caches: readonly PlacedKv[],
    anew: ReadonlySet<number>,
    pieces: readonly PlacedPiece[],
    carry?: CarryShares,
  ): Steps<Prefilled & { readonly made: readonly MadePiece[] }> {
    const { layers } = this.#engine.shape;
    const { chunks } = layout;
    const count = chunks.length;
    const groupOf = groupsOfPositions(chunks, layout.tokens);
    /** [tokens, chunks], means over layers. */
    const masses = new Float32Array(layout.tokens * count);
    const onStep = (step: StepOutput, positions: readonly number[]) => {
      for (const part of step.masses)
        for (let i = 0; i < part.length; i++)
          masses[positions[Math.floor(i / count) % positions.length]! * count + (i % count)]! +=
            part[i]! / layers;
    };
    const { slots, live } = this.#placed(layout, caches);
    for (const position of anew) live[position] = 0;
    const prompt = yield* this.#computeRest(
      layout,
      slots,
      live,
      { caches, anew, carry },
      { groupOf, count, onStep },
    );
    const made: MadePiece[] = [];
    for (const piece of pieces) {
      const kv = await this.#read(slots, piece.start, piece.tokens.length, piece.start);
      const chunk = chunks.indexOf(piece);
      const statistics = chunk < 0 ? undefined : statisticsOf(chunks.slice(0, chunk + 1), masses, count);
      made.push({ piece, kv, statistics });
    }
    return { ...prompt, made };
  }

  /** Logits of a row. */
  async logits(hidden: Float32Array): Promise<Float32Array> {
    return this.#engine.logits(hidden);
  }

  /** Slots with caches at their places; a number a position, 1 where one has it. */
  #placed(layout: PromptLayout, caches: readonly PlacedKv[]): { slots: Slots; live: Uint8Array } {
    const expected = layout.tokens + USUAL_ANSWER;
    const slots = this.#engine.slots(expected);
    // Where nothing is known slots are added as rows come, and no row looks at those that are still empty.
    const soon = caches.map(({ piece: { start }, kv }) => ({ from: start, to: start + kv.tokens }));
    if (caches.length > 0) slots.reserve(expected, soon);
    const live = new Uint8Array(layout.tokens);
    for (const { piece, kv, rest } of caches) {
      slots.place(rest ? layersOf(kv, { from: 0, to: this.cut }) : kv, piece.start);
      live.fill(1, piece.start, piece.start + kv.tokens);
    }
    return { slots, live };
  }

  /**
   * All rows that do not live, through all layers: where repairs are carried over, a few chunks' at a time, and what is
   * behind them last. Where the engine has cuts, up to the last one and then above it: what caches have there may come
   * meanwhile, and fewer of them be repaired. Rows that are computed may become fewer with depth, never more.
   */
  async *#computeRest(
    layout: PromptLayout,
    slots: Slots,
    live: Uint8Array,
    { caches, anew, carry, focus }: Repair,
    statistics?: AttentionStatistics,
  ): Steps<Prefilled> {
    const engine = this.#engine;
    const { width } = engine.shape;
    const repaired = carry || focus ? repairedOf(caches, anew) : [];
    const rowsAt = (positions: readonly number[]) => ({
      positions,
      hidden: engine.embed(positions.map((position) => layout.ids[position]!)),
    });
    const [groups, rest] = inGroups(live, repaired, carry ? LEAST_REPAIRED : Infinity);
    let work: Work = {
      repairs: groups.map(({ caches, positions }) => ({ caches, rows: rowsAt(positions) })),
      rest: rowsAt(rest),
    };
    const last = engine.parts.length - 1;
    if (last > 0) {
      const attention = focus && new BehindAttention(layout, this.cut);
      const below = { from: 0, to: last };
      work = yield* this.#computeParts(slots, live, work, below, { anew, carry }, attention ?? statistics);
      await this.#placeLate(slots, caches);
      if (attention) work = narrowed(work, layout.chunks, focus(attention.masses), width);
    }
    const above = { from: last, to: last + 1 };
    const { repairs, rest: behind } = yield* this.#computeParts(
      slots,
      live,
      work,
      above,
      { anew, carry },
      statistics,
    );
    const all = [...repairs.map(({ rows }) => rows), behind];
    return {
      slots,
      hidden: all.findLast(({ positions }) => positions.length > 0)!.hidden.slice(-width),
      computed: all.reduce((sum, { positions }) => sum + positions.length, 0),
    };
  }

  /** @param range of the engine's parts */
  async *#computeParts(
    slots: Slots,
    live: Uint8Array,
    { repairs, rest }: Work,
    { from, to }: LayerRange,
    { anew, carry }: Pick<Repair, 'anew' | 'carry'>,
    statistics?: AttentionStatistics,
  ): Steps<Work> {
    const { parts } = this.#engine;
    const layers = { from: parts[from]!.from, to: parts[to - 1]!.to };
    const done: Repairs[] = [];
    for (const { rows } of repairs) for (const position of rows.positions) live[position] = 0;
    for (const { caches, rows } of repairs) {
      const { positions } = rows;
      const hidden = yield* this.#compute(slots, live, positions, rows.hidden, from, to, statistics);
      for (const position of positions) live[position] = 1;
      if (carry)
        for (const { piece, kv } of caches) {
          const isAnew = Array.from({ length: kv.tokens }, (_, row) => anew.has(piece.start + row));
          await slots.carry(kv, piece.start, isAnew, carry, layers);
          yield;
        }
      done.push({ caches, rows: { positions, hidden } });
    }
    const hidden = yield* this.#compute(slots, live, rest.positions, rest.hidden, from, to, statistics);
    return { repairs: done, rest: { positions: rest.positions, hidden } };
  }

  /** What caches have above the engine's last cut, of those that did not have it yet. */
  async #placeLate(slots: Slots, caches: readonly PlacedKv[]): Promise<void> {
    for (const { piece, kv, rest } of caches) {
      if (!rest) continue;
      await rest;
      slots.place(layersOf(kv, { from: this.cut, to: kv.dims.layers }), piece.start, this.cut);
    }
  }

  /** Computes rows at ascending positions; each sees what lives before it. @returns what the last part put out */
  async *#compute(
    slots: Slots,
    live: Uint8Array,
    positions: readonly number[],
    rows: Float32Array,
    first: number,
    end: number,
    statistics?: AttentionStatistics,
  ): Steps<Float32Array> {
    const { width } = this.#engine.shape;
    const seen = live.slice();
    const out = new Float32Array(rows.length);
    for (let at = 0; at < positions.length; at += ROWS) {
      const here = positions.slice(at, at + ROWS);
      const mask = rowMask(
        here.length,
        slots,
        (row, slot) => seen[slot] === 1 && slot < here[row]!,
        () => true,
      );
      const step = await this.#engine.through(first, end, {
        rows: rows.subarray(at * width, (at + here.length) * width),
        positions: here,
        past: slots,
        mask,
        ...(statistics && { groups: groupsOf(statistics.groupOf, statistics.count, slots.capacity, here) }),
      });
      slots.put(step.kv, runsOf(here), here.length);
      for (const position of here) seen[position] = 1;
      out.set(step.hidden, at * width);
      statistics?.onStep(step, here);
      yield;
    }
    return out;
  }

  /** What stands in consecutive slots from `start` on, whose keys were rotated to `position` and those after it. */
  async #read(slots: Slots, start: number, count: number, position: number): Promise<ChunkKv> {
    const { layers, kvHeads, headSize } = this.#engine.shape;
    return { dims: { layers, kvHeads, headSize }, ...(await slots.read(start, count, position)) };
  }
}

/** As many chunks together as one run has rows for; a longer one by itself. */
function packsOf(chunks: readonly (readonly number[])[]): (readonly number[])[][] {
  const packs: (readonly number[])[][] = [];
  let rows = Infinity;
  for (const chunk of chunks) {
    if (rows + chunk.length > ROWS) {
      packs.push([]);
      rows = 0;
    }
    packs.at(-1)!.push(chunk);
    rows += chunk.length;
  }
  return packs;
}

/** Caches of which some rows are computed anew, and some not. */
function repairedOf(caches: readonly PlacedKv[], anew: ReadonlySet<number>): PlacedKv[] {
  return caches.filter(({ piece, kv }) => isPartOf(anew, piece.start, kv.tokens));
}

/** Some caches, and the positions that do not live up to the end of the last of them. */
interface Group {
  readonly caches: readonly PlacedKv[];
  readonly positions: readonly number[];
}

/**
 * @param repaired in the order of the prompt
 * @param least positions of each group but the last
 * @returns the groups, each from the end of the one before it on, and the positions behind the last
 */
function inGroups(
  live: Uint8Array,
  repaired: readonly PlacedKv[],
  least: number,
): readonly [readonly Group[], readonly number[]] {
  const groups: Group[] = [];
  let positions = [...live.keys()].filter((position) => live[position] === 0);
  let waiting: PlacedKv[] = [];
  for (const cache of repaired) {
    waiting.push(cache);
    const end = cache.piece.start + cache.kv.tokens;
    const here = positions.filter((position) => position < end);
    if (here.length < least && cache !== repaired.at(-1)) continue;
    groups.push({ caches: waiting, positions: here });
    positions = positions.slice(here.length);
    waiting = [];
  }
  return [groups, positions];
}

/** Without the rows that repair other chunks than `focused`: what their caches have above a cut is as it was. */
function narrowed(
  { repairs, rest }: Work,
  chunks: readonly PlacedPiece[],
  focused: readonly number[],
  width: number,
): Work {
  const starts = new Set(focused.map((chunk) => chunks[chunk]!.start));
  return {
    repairs: repairs.map(({ caches, rows: { positions, hidden } }) => {
      const left = caches.filter(({ piece: { start } }) => !starts.has(start));
      const isKept = (position: number) =>
        !left.some(({ piece: { start }, kv }) => position >= start && position < start + kv.tokens);
      const rows = [...positions.keys()].filter((row) => isKept(positions[row]!));
      return {
        caches: caches.filter((cache) => !left.includes(cache)),
        rows: { positions: rows.map((row) => positions[row]!), hidden: pickRows(hidden, width, rows) },
      };
    }),
    rest,
  };
}

/** What the rows behind a prompt's last chunk look at. */
class BehindAttention implements AttentionStatistics {
  readonly groupOf: Int32Array;
  readonly count: number;
  /** [layers][chunks], sums over those rows. */
  readonly masses: number[][];
  readonly #behind: number;

  constructor({ chunks, tokens }: PromptLayout, layers: number) {
    this.groupOf = groupsOfPositions(chunks, tokens);
    this.count = chunks.length;
    this.masses = Array.from({ length: layers }, () => chunks.map(() => 0));
    this.#behind = Math.max(0, ...chunks.map(({ start, tokens: { length } }) => start + length));
  }

  readonly onStep = ({ masses }: StepOutput, positions: readonly number[]): void => {
    let row = 0;
    for (const part of masses)
      for (let at = 0; at < part.length; at += this.count, row++) {
        if (positions[row % positions.length]! < this.#behind) continue;
        const layer = this.masses[Math.floor(row / positions.length)]!;
        for (let chunk = 0; chunk < this.count; chunk++) layer[chunk]! += part[at + chunk]!;
      }
  };
}

/** Whether some of the positions are in a set, and some not. */
function isPartOf(set: ReadonlySet<number>, start: number, count: number): boolean {
  const positions = Array.from({ length: count }, (_, i) => start + i);
  return positions.some((position) => set.has(position)) && !positions.every((position) => set.has(position));
}

/** Views. */
function layersOf({ dims, tokens, keys, values }: ChunkKv, { from, to }: LayerRange): ChunkKv {
  const size = dims.kvHeads * tokens * dims.headSize;
  return {
    dims: { ...dims, layers: to - from },
    tokens,
    keys: keys.subarray(from * size, to * size),
    values: values.subarray(from * size, to * size),
  };
}

function rowsOf({ dims, tokens, keys, values }: ChunkKv, from: number, to: number): ChunkKv {
  const { layers, kvHeads, headSize } = dims;
  const size = (to - from) * headSize;
  const rows = {
    dims,
    tokens: to - from,
    keys: new Float32Array(layers * kvHeads * size),
    values: new Float32Array(layers * kvHeads * size),
  };
  for (let head = 0; head < layers * kvHeads; head++) {
    const start = (head * tokens + from) * headSize;
    rows.keys.set(keys.subarray(start, start + size), head * size);
    rows.values.set(values.subarray(start, start + size), head * size);
  }
  return rows;
}

/** Ascending slots as runs of consecutive ones. */
function runsOf(slots: readonly number[]): SlotRun[] {
  const runs: { row: number; slot: number; count: number }[] = [];
  slots.forEach((slot, row) => {
    const last = runs.at(-1);
    if (last && last.slot + last.count === slot) last.count++;
    else runs.push({ row, slot, count: 1 });
  });
  return runs;
}

/** Of the last of some chunks, by attention masses [tokens, count]. */
function statisticsOf(chunks: readonly PlacedPiece[], masses: Float32Array, count: number): ChunkStatistics {
  const { start, tokens } = chunks.at(-1)!;
  const earlier = chunks.slice(0, -1);
  const own = tokens.map((_, i) => masses.subarray((start + i) * count, (start + i + 1) * count));
  return {
    inter: earlier.map((_, j) => own.reduce((sum, row) => sum + row[j]!, 0)),
    lengths: earlier.map(({ tokens: { length } }) => length),
    intra: own.reduce((sum, row) => sum + row[earlier.length]!, 0),
    tokenInter: own.map((row) => row.subarray(0, earlier.length).reduce((sum, mass) => sum + mass, 0)),
  };
}

/** The chunk of each position, -1 where attention to it is not counted. */
function groupsOfPositions(chunks: readonly PlacedPiece[], tokens: number): Int32Array {
  const groupOf = new Int32Array(tokens).fill(-1);
  chunks.forEach(({ start, tokens: { length } }, chunk) =>
    groupOf.fill(chunk, Math.max(start, SINKS), start + length),
  );
  return groupOf;
}

/** [capacity + rows, groups], 1 where a slot or row is of a group; a slot is at its position. */
function groupsOf(
  groupOf: Int32Array,
  count: number,
  capacity: number,
  positions: readonly number[],
): Float32Array {
  const groups = new Float32Array((capacity + positions.length) * count);
  const last = positions.at(-1)!;
  // What is not seen, as the slots of these rows, draws no attention.
  for (let slot = 0; slot < last; slot++) if (groupOf[slot]! >= 0) groups[slot * count + groupOf[slot]!] = 1;
  positions.forEach((position, row) => {
    if (groupOf[position]! >= 0) groups[(capacity + row) * count + groupOf[position]!] = 1;
  });
  return groups;
}

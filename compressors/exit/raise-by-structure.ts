import type { Unit } from '../contract.js';
import { leadInOf } from '../lead-in.js';
import { blockKey } from '../unit.js';

/** How likely what is introduced, or stands between two steps, is taken to help where those do for certain. */
const INTRODUCED = 0.8;

/** The same of an item of a short list of which another helps, and how many words such a list has at most. */
const OF_SHORT_LIST = 0.5;
const SHORT_LIST_WORDS = 40;

/**
 * An encoder of prose judges each sentence by what it says. "You need the following documents:" answers by the list below
 * it, of which no item says what was asked, and "How do I join?" by what comes next. So what a line, an item or a question
 * introduces helps by itself or, in turn, with that; the items of a short list help with the best of them, where that one
 * does; and of numbered steps the one between two with both. Rows of tables have a header, which says what they hold and
 * not that they help.
 * @param units in the order of their pages
 * @param probabilities by unit; raised in place
 * @param threshold the probability from which a unit is taken to help
 */
export function raiseByStructure(
  units: readonly Unit[],
  probabilities: Float64Array,
  threshold: number,
): void {
  raiseIntroduced(units, probabilities);
  for (let from = 0, to = 1; from < units.length; from = to, to++) {
    while (to < units.length && areOfOneList(units[from]!, units[to]!)) to++;
    if (to - from > 1) raiseItems(units.slice(from, to), probabilities.subarray(from, to), threshold);
  }
}

function raiseIntroduced(units: readonly Unit[], probabilities: Float64Array): void {
  /** By block, its last part: that leads in. */
  const lastOf = new Map<number, number>();
  for (const [index, { document, block, layout, needs }] of units.entries()) {
    if (layout.type === 'heading' || layout.type === 'row') continue;
    const before = units[index - 1];
    const isAsked =
      before?.document === document &&
      before.block === block &&
      leadInOf(before.text, before.text.length) !== undefined;
    const introducing = isAsked ? index - 1 : lastOf.get(blockKey(document, needs[0] ?? -1));
    if (introducing !== undefined) raise(probabilities, index, INTRODUCED * probabilities[introducing]!);
    lastOf.set(blockKey(document, block), index);
  }
}

/** @param items of one list */
function raiseItems(items: readonly Unit[], probabilities: Float64Array, threshold: number): void {
  const alone = probabilities.slice();
  const best = alone.reduce((most, one) => Math.max(most, one), 0);
  const words = items.reduce((sum, { text }) => sum + text.split(/\s+/).length, 0);
  const isShort = words <= SHORT_LIST_WORDS && best >= threshold;
  for (let at = 0; at < items.length; at++) {
    if (isShort && alone[at]! < best) raise(probabilities, at, OF_SHORT_LIST * best);
    const isBetween = at > 0 && at + 1 < items.length && items.slice(at - 1, at + 2).every(isNumbered);
    if (isBetween) raise(probabilities, at, INTRODUCED * Math.min(alone[at - 1]!, alone[at + 1]!));
  }
}

/** To how likely it is to help by itself or because something else does. */
function raise(probabilities: Float64Array, index: number, other: number): void {
  probabilities[index] = 1 - (1 - probabilities[index]!) * (1 - other);
}

function areOfOneList(one: Unit, other: Unit): boolean {
  return (
    one.document === other.document &&
    one.needs[0] === other.needs[0] &&
    one.layout.type === 'item' &&
    other.layout.type === 'item'
  );
}

function isNumbered({ layout }: Unit): boolean {
  return layout.type === 'item' && /\d/.test(layout.marker);
}

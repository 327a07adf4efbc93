import type { PageBuilder } from '../page-builder.js';
import { isSpace } from '../words.js';
import { extractText } from './text.js';

/** How many containers are opened to reach the one that holds nearly everything. */
const DEEPEST = 8;

/** A container of at most so many code units stays whole: a record without some of its fields says little. */
const SMALL = 300;

/** Numbers and short strings that stand side by side are put together up to this many code units. */
const GROUP = 500;

/** JSON by the elements of its main array or the members of its main object; JSON Lines by line. Text where it is broken. */
export function extractJson(source: string, builder: PageBuilder): void {
  const values = topLevel(source, 0, source.length);
  if (!values || values.length === 0) extractText(source, builder);
  else if (values.length > 1) addParts(values, source, builder);
  else addInside(values[0]!, source, builder);
}

interface Part {
  /** A member begins with its key; its value with its value. */
  readonly start: number;
  readonly value: number;
  readonly end: number;
}

/** Down to the container that holds nearly everything: { "results": [ … ] } */
function addInside(whole: Part, source: string, builder: PageBuilder): void {
  let container = whole;
  let parts = containerParts(source, whole);
  const after: Part[][] = [];
  for (let depth = 0; parts && depth < DEEPEST; depth++) {
    const largest = parts.reduce((most, part) => (lengthOf(part) > lengthOf(most) ? part : most));
    const inside =
      lengthOf(largest) < 0.8 * lengthOf(container) ? undefined : containerParts(source, largest);
    if (!inside) break;
    const index = parts.indexOf(largest);
    addParts(parts.slice(0, index), source, builder);
    builder.omit('JSON structure', largest.start, largest.value);
    after.push(parts.slice(index + 1));
    container = largest;
    parts = inside;
  }
  addParts(parts ?? [container], source, builder);
  for (const rest of after.reverse()) addParts(rest, source, builder);
}

function addParts(parts: readonly Part[], source: string, builder: PageBuilder): void {
  for (let at = 0; at < parts.length;) {
    const { start } = parts[at]!;
    let { end } = parts[at]!;
    const isScalar = !isContainer(source, parts[at]!);
    for (at++; isScalar && at < parts.length && !isContainer(source, parts[at]!); at++) {
      if (parts[at]!.end - start > GROUP) break;
      end = parts[at]!.end;
    }
    builder.open({ layout: { type: 'code', language: 'json' }, preformatted: true });
    builder.raw(start, end);
    builder.close();
  }
}

function lengthOf(part: Part): number {
  return part.end - part.start;
}

function isContainer(source: string, part: Part): boolean {
  return source[part.value] === '[' || source[part.value] === '{';
}

/** Elements or members inside the container that a part's value is; undefined where it is none, small or empty. */
function containerParts(source: string, part: Part): Part[] | undefined {
  if (!isContainer(source, part) || part.end - part.value <= SMALL) return undefined;
  const parts = topLevel(source, part.value + 1, part.end - 1);
  return parts && parts.length > 0 ? parts : undefined;
}
/** Values between two offsets, separated by commas or white space; undefined where brackets or strings do not close. */
function topLevel(source: string, from: number, to: number): Part[] | undefined {
  const isDocument = from === 0 && to === source.length;
  const parts: Part[] = [];
  let depth = 0;
  let start = -1;
  let value = -1;
  let end = -1;
  let expectsValue = false;
  const flush = () => {
    if (start >= 0) parts.push({ start, value, end });
    start = -1;
  };
  for (let at = from; at < to; at++) {
    const code = source.charCodeAt(at);
    if (isSpace(code)) {
      // Two values on two lines: JSON Lines.
      if (isDocument && depth === 0 && code === 10 && !expectsValue) flush();
      continue;
    }
    if (depth === 0 && code === 44) {
      flush();
      continue;
    }
    if (depth === 0 && code === 58 && start >= 0) {
      expectsValue = true;
      continue;
    }
    if (start < 0) start = value = at;
    else if (expectsValue) value = at;
    expectsValue = false;
    if (code === 34) {
      at = stringEnd(source, at, to);
      if (at < 0) return undefined;
    } else if (code === 91 || code === 123) depth++;
    else if (code === 93 || code === 125) depth--;
    if (depth < 0) return undefined;
    end = at + 1;
  }
  if (depth !== 0) return undefined;
  flush();
  return parts;
}

function stringEnd(source: string, start: number, to: number): number {
  for (let at = start + 1; at < to; at++) {
    const code = source.charCodeAt(at);
    if (code === 92) at++;
    else if (code === 34) return at;
  }
  return -1;
}

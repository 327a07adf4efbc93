import type { PageBuilder } from '../page.js';
import { isSpace } from '../page.js';
import { extractText } from './text.js';

/** JSON by the elements of its main array or the members of its main object; JSON Lines by line. */
export function extractJson(source: string, builder: PageBuilder): void {
  const values = topLevel(source, 0, source.length);
  if (!values || values.length === 0) {
    extractText(source, builder);
    return;
  }
  let parts = values;
  if (values.length === 1) {
    // Down to the container that holds nearly everything: { "results": [ … ] }
    let container = values[0]!;
    for (;;) {
      const inside = containerParts(source, container);
      if (!inside) break;
      parts = inside;
      const largest = inside.reduce(
        (most, part) => (part.end - part.start > most.end - most.start ? part : most),
        inside[0]!,
      );
      if (
        largest.end - largest.start < 0.8 * (container.end - container.start) ||
        !containerParts(source, largest)
      )
        break;
      for (const part of inside) {
        if (part === largest) builder.omit('JSON structure', part.start, part.value);
        else addPart(part, builder);
      }
      container = largest;
      parts = [];
    }
  }
  for (const part of parts) addPart(part, builder);
}

interface Part {
  /** A member begins with its key; its value with its value. */
  readonly start: number;
  readonly value: number;
  readonly end: number;
}

function addPart(part: Part, builder: PageBuilder): void {
  builder.open({ layout: { type: 'code', language: 'json' }, preformatted: true });
  builder.raw(part.start, part.end);
  builder.close();
}

/** Elements or members inside the container that a part's value is; undefined where it is none, or is empty. */
function containerParts(source: string, part: Part): Part[] | undefined {
  const opening = source[part.value];
  if (opening !== '[' && opening !== '{') return undefined;
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

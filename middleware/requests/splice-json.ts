/** Where a value stands in a JSON document: names of members and indices of elements, from the root. */
export type JsonPath = readonly (string | number)[];

export interface StringEdit {
  readonly path: JsonPath;
  readonly text: string;
}

/** The part of the document that edits are in, as a tree. */
interface Wanted {
  readonly children: Map<string | number, Wanted>;
  edit?: StringEdit;
}

interface Container {
  readonly wanted: Wanted | undefined;
  readonly isObject: boolean;
  /** Name of the member or index of the element that is being read. */
  key: string | number;
  /** Offset of the last comma, or -1. */
  comma: number;
  /** Offset where the member that is being read starts. */
  start: number;
  expectsName: boolean;
}

interface Replacement {
  readonly start: number;
  readonly end: number;
  readonly json: string;
}

/**
 * Replaces strings in a JSON document, and takes a member of its root object out, and keeps every other byte:
 * numbers beyond double precision, escapes, order and white space.
 * @param json a document that JSON.parse accepts
 * @param removed name of a member of the root
 * @throws Error where an edit's path does not lead to a string
 */
export function spliceJson(json: string, edits: readonly StringEdit[], removed?: string): string {
  const replacements = locate(json, wantedTree(edits), removed);
  for (const edit of edits) {
    if (!replacements.has(edit)) throw new Error(`there is no string at ${edit.path.join('.')}`);
  }
  let spliced = '';
  let position = 0;
  for (const { start, end, json: value } of [...replacements.values()].sort((a, b) => a.start - b.start)) {
    spliced += json.slice(position, start) + value;
    position = end;
  }
  return spliced + json.slice(position);
}

function wantedTree(edits: readonly StringEdit[]): Wanted {
  const root: Wanted = { children: new Map() };
  for (const edit of edits) {
    let at = root;
    for (const key of edit.path) {
      let child = at.children.get(key);
      if (!child) {
        child = { children: new Map() };
        at.children.set(key, child);
      }
      at = child;
    }
    at.edit = edit;
  }
  return root;
}

/** Of members with the same name the last counts, as in JSON.parse. */
function locate(
  json: string,
  root: Wanted,
  removed: string | undefined,
): Map<StringEdit | 'removed', Replacement> {
  const found = new Map<StringEdit | 'removed', Replacement>();
  const containers: Container[] = [];
  let position = 0;
  while (position < json.length) {
    const container = containers.at(-1);
    switch (json[position]) {
      case '{':
      case '[': {
        const isObject = json[position] === '{';
        const wanted = container ? container.wanted?.children.get(container.key) : root;
        containers.push({
          wanted,
          isObject,
          key: isObject ? '' : 0,
          comma: -1,
          start: -1,
          expectsName: isObject,
        });
        break;
      }
      case '}':
      case ']':
        if (containers.length === 1 && container!.key === removed)
          found.set('removed', memberAt(container!, position, false));
        containers.pop();
        break;
      case ',':
        if (containers.length === 1 && container!.key === removed)
          found.set('removed', memberAt(container!, position, true));
        container!.comma = position;
        if (container!.isObject) container!.expectsName = true;
        else container!.key = (container!.key as number) + 1;
        break;
      case '"': {
        const end = stringEnd(json, position);
        if (container?.expectsName) {
          container.expectsName = false;
          container.start = position;
          container.key = JSON.parse(json.slice(position, end)) as string;
        } else {
          const edit = container?.wanted?.children.get(container.key)?.edit;
          if (edit) found.set(edit, { start: position, end, json: JSON.stringify(edit.text) });
        }
        position = end - 1;
        break;
      }
    }
    position++;
  }
  return found;
}

/** The member just read, with the comma after it, or the one before it where it is the last. */
function memberAt({ start, comma }: Container, end: number, commaFollows: boolean): Replacement {
  if (commaFollows) return { start, end: end + 1, json: '' };
  return { start: comma < 0 ? start : comma, end, json: '' };
}

/** Offset after the closing quote of the string that opens at `start`. */
function stringEnd(json: string, start: number): number {
  let quote = start;
  let backslashes: number;
  do {
    quote = json.indexOf('"', quote + 1);
    backslashes = 0;
    while (json[quote - 1 - backslashes] === '\\') backslashes++;
  } while (backslashes % 2 === 1);
  return quote + 1;
}

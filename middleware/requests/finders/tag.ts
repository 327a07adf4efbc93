export interface Tag {
  /** By name in lower case. Values are as written, without their quotes. */
  readonly attributes: ReadonlyMap<string, string>;
  /** Offset after the closing `>`. */
  readonly end: number;
}

/** No application writes an opening tag longer than this, and what is longer is not looked at. */
const LONGEST_TAG = 4_096;

/** A value stops at a `<`, so that no stretch of text is read for more than one tag. */
const ATTRIBUTE = /\s+([\w:.-]+)\s*=\s*(?:"([^"<]*)"|'([^'<]*)'|([^\s"'<>]+))/y;

/**
 * Reads the opening tag at an offset.
 * @param opening the tag's `<` and name, which stand at `start`
 * @returns undefined where what stands there is not a tag of that name
 */
export function readTag(text: string, start: number, opening: string): Tag | undefined {
  const tag = text.slice(start, start + LONGEST_TAG);
  const attributes = new Map<string, string>();
  ATTRIBUTE.lastIndex = opening.length;
  let end = opening.length;
  for (let match = ATTRIBUTE.exec(tag); match; match = ATTRIBUTE.exec(tag)) {
    attributes.set(match[1]!.toLowerCase(), match[2] ?? match[3] ?? match[4]!);
    end = ATTRIBUTE.lastIndex;
  }
  while (tag[end] === ' ' || tag[end] === '\t' || tag[end] === '\n' || tag[end] === '\r') end++;
  return tag[end] === '>' ? { attributes, end: start + end + 1 } : undefined;
}

/**
 * Whether nothing but blanks stands between an offset and the start of its line, or the tag before it. A tag that is
 * only talked about stands in the middle of a sentence.
 */
export function opensLine(text: string, offset: number): boolean {
  let before = offset - 1;
  while (text[before] === ' ' || text[before] === '\t') before--;
  return before < 0 || text[before] === '\n' || text[before] === '>';
}

export function titleAndUrl(name: string | undefined): { title?: string; url?: string } {
  const title = name?.trim() ?? '';
  if (title === '') return {};
  return /^https?:\/\//.test(title) ? { title, url: title } : { title };
}

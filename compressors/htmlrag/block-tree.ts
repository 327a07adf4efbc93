import { atOnce } from '../steps.js';
import { lowerBound } from '../unit.js';
import { CLOSE, elementTree, OPEN, type ElementTree } from './element-tree.js';

/** A subtree of the cleaned page that is kept or dropped whole. */
export interface TreeBlock {
  /** Element names from the top, numbered where siblings share one: `html`, `body`, `div2`, `p0`. */
  readonly path: readonly string[];
  /** False for the bare text of an element whose child elements are blocks of their own. */
  readonly isLeaf: boolean;
  /** White space collapsed. */
  readonly text: string;
  /** Offsets of its element in the page. */
  readonly start: number;
  readonly end: number;
}

/** HtmlRAG's recommendation for pruning by embedding (Tan et al. 2024, arXiv 2411.02959, section 4.1). */
export const MAX_NODE_WORDS = 256;

const DEEPEST_PATH = 64;

/**
 * Cleans a page and splits it into blocks as HtmlRAG does (arXiv 2411.02959, sections 3.2 and 3.3): elements without
 * text are gone, an element that only wraps another gives way to it, and an element of more than so many words is
 * opened, from the top, until its parts are small enough.
 * @param maxNodeWords default 256
 */
export function blockTree(html: string, { maxNodeWords = MAX_NODE_WORDS } = {}): TreeBlock[] {
  const tree = atOnce(elementTree(html));
  const cleaned = clean(html, tree);
  const { blocks } = splitBlocks(tree, cleaned, maxNodeWords);
  return blocks.map(({ element, path, isLeaf }) => ({
    path,
    isLeaf,
    text: spacedText(cleaned, element),
    start: element < 0 ? 0 : tree.starts[element]!,
    end: element < 0 ? html.length : tree.ends[element]!,
  }));
}

/** What is left of a page after cleaning. */
export interface CleanedTree {
  /** All text that is left, in order, references decoded. */
  readonly text: string;
  /** For each element where its text begins and ends in `text`; equal for one that is gone. */
  readonly textStart: Int32Array;
  readonly textEnd: Int32Array;
  readonly words: Int32Array;
  /** Elements that give way to their only child. */
  readonly unwrapped: Uint8Array;
  readonly totalWords: number;
  /** Where in `text` a tag stood that is left, ascending. */
  readonly tagAt: readonly number[];
}

// What a stretch of text holds: nothing but line breaks, tabs and spaces; other white space; or more than that.
const NOTHING = 0;
const SPACE = 1;
const MORE = 2;

function textIn(text: string, start: number, end: number): number {
  const last = Math.min(end, text.length);
  let found = NOTHING;
  for (let at = start; at < last; at++) {
    const code = text.charCodeAt(at);
    if (code === 32 || code === 10 || code === 9) continue;
    if (code > 32 && code < 128) return MORE;
    if (/\S/.test(text[at]!)) return MORE;
    found = SPACE;
  }
  return found;
}

export function clean(source: string, tree: ElementTree): CleanedTree {
  const { events, texts, references, parents } = tree;
  const count = tree.names.length;
  const hasText = new Uint8Array(count);
  // Own text other than the line breaks, tabs and spaces that the authors overlook.
  const hasBareText = new Uint8Array(count);
  const stack: number[] = [];
  for (let i = 0; i < events.length; i += 2) {
    const value = events[i + 1]!;
    if (events[i] === OPEN) stack.push(value);
    else if (events[i] === CLOSE) stack.pop();
    else {
      const element = stack.at(-1);
      if (element === undefined) continue;
      const reference = texts[value + 2]!;
      const found =
        reference < 0
          ? textIn(source, texts[value]!, texts[value + 1]!)
          : textIn(references[reference]!, 0, Infinity);
      if (found === NOTHING) continue;
      hasBareText[element] = 1;
      if (hasText[element] || found === SPACE) continue;
      for (let at = element; at >= 0 && !hasText[at]; at = parents[at]!) hasText[at] = 1;
    }
  }

  const children = new Int32Array(count);
  for (let element = 0; element < count; element++) {
    const parent = parents[element]!;
    if (hasText[element] && parent >= 0) children[parent]!++;
  }
  const unwrapped = new Uint8Array(count);
  for (let element = 0; element < count; element++) {
    if (children[element] === 1 && !hasBareText[element]) unwrapped[element] = 1;
  }

  const textStart = new Int32Array(count);
  const textEnd = new Int32Array(count);
  const words = new Int32Array(count);
  const pieces: string[] = [];
  const tagAt: number[] = [];
  let length = 0;
  let begun = 0;
  let inWord = false;
  const startsInWord = new Uint8Array(count);
  for (let i = 0; i < events.length; i += 2) {
    const value = events[i + 1]!;
    if (events[i] === OPEN) {
      textStart[value] = length;
      words[value] = begun;
      startsInWord[value] = inWord ? 1 : 0;
      stack.push(value);
      if (hasText[value] && tagAt.at(-1) !== length) tagAt.push(length);
    } else if (events[i] === CLOSE) {
      stack.pop();
      textEnd[value] = length;
      words[value] = begun - words[value]!;
      if (hasText[value] && tagAt.at(-1) !== length) tagAt.push(length);
    } else {
      const element = stack.at(-1);
      if (element !== undefined && !hasText[element]) continue;
      const text = textOf(source, texts, references, value);
      pieces.push(text);
      length += text.length;
      for (let at = 0; at < text.length; at++) {
        const isWord = !isPythonSpace(text.charCodeAt(at));
        if (isWord && !inWord) begun++;
        inWord = isWord;
      }
    }
  }
  const text = pieces.join('');
  for (let element = 0; element < count; element++) {
    const start = textStart[element]!;
    // A word that goes on from the text before counts for both, as it does in a text of its own.
    if (startsInWord[element] && textEnd[element]! > start && !isPythonSpace(text.charCodeAt(start)))
      words[element]!++;
  }
  return { text, textStart, textEnd, words, totalWords: begun, unwrapped, tagAt };
}

export interface SplitBlock {
  /** -1 for the page as a whole. */
  readonly element: number;
  readonly path: readonly string[];
  readonly isLeaf: boolean;
}

/**
 * The blocks, breadth first, and for each element, then for the page as a whole, the block that holds its own text:
 * past the last of them where an opened element has a few words of its own.
 */
export function splitBlocks(
  tree: ElementTree,
  cleaned: CleanedTree,
  maxNodeWords: number,
): { blocks: SplitBlock[]; blockOf: Int32Array } {
  const { names, parents } = tree;
  const { textStart, textEnd, words, unwrapped } = cleaned;
  // Lists of children, linked; the page as a whole comes after its elements.
  const whole = names.length;
  const firstChild = new Int32Array(whole + 1).fill(-1);
  const lastChild = new Int32Array(whole + 1);
  const nextSibling = new Int32Array(whole).fill(-1);
  // Parents come before their children: an unwrapped parent has been passed over before its child asks.
  const visible = new Int32Array(names.length);
  for (let element = 0; element < names.length; element++) {
    const parent = parents[element]!;
    const above = parent < 0 ? -1 : unwrapped[parent] ? visible[parent]! : parent;
    visible[element] = above;
    if (unwrapped[element] || textStart[element] === textEnd[element]) continue;
    const list = above < 0 ? whole : above;
    if (firstChild[list]! < 0) firstChild[list] = element;
    else nextSibling[lastChild[list]!] = element;
    lastChild[list] = element;
  }
  const childrenOf = (element: number): number[] => {
    const children: number[] = [];
    for (let at = firstChild[element < 0 ? whole : element]!; at >= 0; at = nextSibling[at]!)
      children.push(at);
    return children;
  };

  const blocks: SplitBlock[] = [];
  const opened: number[] = [];
  const own = new Int32Array(names.length).fill(-1);
  const addBlock = (element: number, path: readonly string[], isLeaf: boolean) => {
    if (element >= 0) own[element] = blocks.length;
    blocks.push({ element, path, isLeaf });
  };

  if (cleaned.totalWords <= maxNodeWords) {
    const top = childrenOf(-1);
    if (top.length === 1) addBlock(top[0]!, [names[top[0]!]!], true);
    else addBlock(-1, ['html'], true);
  } else {
    const queue: { element: number; path: readonly string[] }[] = [{ element: -1, path: [] }];
    for (const { element, path } of queue) {
      opened.push(element);
      const children = childrenOf(element);
      const counts = new Map<string, number>();
      for (const child of children) counts.set(names[child]!, (counts.get(names[child]!) ?? 0) + 1);
      const numbers = new Map<string, number>();
      for (const child of children) {
        const name = names[child]!;
        const number = numbers.get(name) ?? 0;
        numbers.set(name, number + 1);
        const step = counts.get(name)! > 1 ? `${name}${number}` : name;
        const childPath = [...path, step];
        if (words[child]! > maxNodeWords && childPath.length < DEEPEST_PATH)
          queue.push({ element: child, path: childPath });
        else addBlock(child, childPath, true);
      }
      if (children.length === 0) addBlock(element, path, true);
      else if (bareWords(cleaned, element, children) > maxNodeWords) addBlock(element, path, false);
    }
  }

  // Text of an element that is no block belongs to the nearest block above; that of an opened one stands by itself.
  let next = blocks.length;
  for (const element of opened) if (element >= 0 && own[element]! < 0) own[element] = next++;
  const blockOf = new Int32Array(whole + 1);
  blockOf[whole] = blocks[0]?.element === -1 ? 0 : next;
  for (let element = 0; element < whole; element++) {
    const parent = parents[element]!;
    blockOf[element] = own[element]! >= 0 ? own[element]! : blockOf[parent < 0 ? whole : parent]!;
  }
  return { blocks, blockOf };
}

function bareWords(
  { text, textStart, textEnd }: CleanedTree,
  element: number,
  children: readonly number[],
): number {
  let words = 0;
  let at = element < 0 ? 0 : textStart[element]!;
  for (const child of children) {
    words += countWords(text.slice(at, textStart[child]));
    at = textEnd[child]!;
  }
  return words + countWords(text.slice(at, element < 0 ? text.length : textEnd[element]));
}

function countWords(text: string): number {
  let words = 0;
  let inWord = false;
  for (let at = 0; at < text.length; at++) {
    const isWord = !isPythonSpace(text.charCodeAt(at));
    if (isWord && !inWord) words++;
    inWord = isWord;
  }
  return words;
}

/** What Python's str.split() splits at: the authors count words by it. */
function isPythonSpace(code: number): boolean {
  if (code <= 32) return code === 32 || (code >= 9 && code <= 13) || (code >= 28 && code <= 31);
  return (
    code >= 0x85 &&
    (code === 0x85 ||
      code === 0xa0 ||
      (code >= 0x1680 && /\s/.test(String.fromCharCode(code)) && code !== 0xfeff))
  );
}

/** An element's text with a space wherever a tag stood. */
function spacedText({ text, tagAt, textStart, textEnd }: CleanedTree, element: number): string {
  let at = element < 0 ? 0 : textStart[element]!;
  const end = element < 0 ? text.length : textEnd[element]!;
  const parts: string[] = [];
  for (let tag = lowerBound(tagAt, at + 1); tag < tagAt.length && tagAt[tag]! < end; tag++) {
    parts.push(text.slice(at, tagAt[tag]));
    at = tagAt[tag]!;
  }
  parts.push(text.slice(at, end));
  return parts.join(' ').replace(/\s+/g, ' ').trim();
}

/** What a text event adds to the page. */
export function textOf(
  source: string,
  texts: readonly number[],
  references: readonly string[],
  index: number,
): string {
  const reference = texts[index + 2]!;
  return reference < 0 ? source.slice(texts[index], texts[index + 1]) : references[reference]!;
}

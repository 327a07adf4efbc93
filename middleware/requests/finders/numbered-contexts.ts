import type { Passage } from '../passage.js';

const MARKER = /\[(END )?CONTEXT (\d{1,6})\](:?)/g;

/** AnythingLLM: `[CONTEXT 0]:`, the text on lines of its own, `[END CONTEXT 0]`. */
export function findNumberedContexts(text: string): Passage[] {
  const passages: Passage[] = [];
  let open: { number: string; start: number; end: number } | undefined;
  for (const match of text.matchAll(MARKER)) {
    const [marker, closes, number, colon] = match;
    const end = match.index + marker.length;
    if (closes === undefined) {
      if (colon === ':') open ??= { number: number!, start: match.index, end };
    } else if (open?.number === number) {
      passages.push({
        outer: { start: open!.start, end },
        inner: {
          start: text[open!.end] === '\n' ? open!.end + 1 : open!.end,
          end: lineEnd(text, match.index),
        },
      });
      open = undefined;
    }
  }
  return passages;
}

function lineEnd(text: string, offset: number): number {
  return text[offset - 1] === '\n' ? offset - 1 : offset;
}

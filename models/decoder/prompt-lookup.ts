/** Tokens of the text's end that are looked for before it. */
const LONGEST = 3;

/**
 * What may come next: what followed the last tokens where they stood before, of such places the last (Saxena 2023, prompt
 * lookup decoding). Answers from documents, and edits of a text, repeat what is there.
 * @param shortest of the last tokens, that a place must share
 * @param most tokens that are returned
 */
export function promptLookup(tokens: readonly number[], shortest: number, most: number): number[] {
  const end = tokens.length;
  for (let length = Math.min(LONGEST, end - 1); length >= shortest; length--)
    for (let start = end - length - 1; start >= 0; start--) {
      let same = 0;
      while (same < length && tokens[start + same] === tokens[end - length + same]) same++;
      if (same === length) return tokens.slice(start + length, start + length + most);
    }
  return [];
}

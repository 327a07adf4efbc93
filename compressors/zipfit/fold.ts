import { isWordCode } from '../words.js';

/** Stands for everything between two words. */
export const SEPARATOR = 32;

/** By code unit, filled as they come: 0 for one that is passed over, -1 for one not seen yet. */
const FOLDED = new Int32Array(0x10000).fill(-1);

/** A code unit with case, accents and compatibility forms folded; SEPARATOR outside words; 0 for an accent. */
export function foldCode(code: number): number {
  const known = FOLDED[code]!;
  return known >= 0 ? known : (FOLDED[code] = fold(code));
}

/** A text as folded code units with a separator at both ends. */
export function foldText(text: string): string {
  let folded = ' ';
  for (let at = 0; at < text.length; at++) {
    const code = foldCode(text.charCodeAt(at));
    if (code !== 0 && !(code === SEPARATOR && folded.endsWith(' '))) folded += String.fromCharCode(code);
  }
  return folded.endsWith(' ') ? folded : `${folded} `;
}

function fold(code: number): number {
  if (code >= 0x300 && code <= 0x36f) return 0;
  if (!isWordCode(code)) return SEPARATOR;
  if (code >= 0xd800 && code <= 0xdfff) return code;
  const base = String.fromCharCode(code).normalize('NFKD').toLowerCase().charCodeAt(0);
  // Hangul decomposes into jamo, of which the first is not the syllable.
  return code >= 0xac00 && code <= 0xd7a3 ? code : base;
}

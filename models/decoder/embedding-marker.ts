const [FIRST, LAST] = [0xe000, 0xf8ff];

/**
 * A character of the private use area that stands in none of the texts: a place for an embedding in a prompt that holds
 * them, which nobody who wrote them can forge. The same for the same texts.
 */
export function embeddingMarker(texts: readonly string[]): string {
  for (let code = FIRST; code <= LAST; code++) {
    const marker = String.fromCharCode(code);
    if (!texts.some((text) => text.includes(marker))) return marker;
  }
  throw new Error('every character of the private use area stands in the texts: no place can be marked');
}

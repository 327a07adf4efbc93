/**
 * The class of a query: its words in order, without case, marks and spacing. Queries of one class are the same question
 * to a generator, which is asked in these words, so a summary does not depend on which of them came first.
 */
export function queryClass(query: string): string {
  return (
    query
      .normalize('NFKC')
      .toLowerCase()
      .match(/[\p{L}\p{N}\p{M}]+(?:['’.,-][\p{L}\p{N}\p{M}]+)*/gu) ?? []
  ).join(' ');
}

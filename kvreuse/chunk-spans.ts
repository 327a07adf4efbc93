/** Code units of a message that are a chunk. */
export interface ChunkSpan {
  readonly start: number;
  readonly end: number;
}

/** What stands before a document and changes with its rank: no part of the chunk, or it would be another each time. */
const LABEL = /^(?:\[\d+\]|\(\d+\)|(?:Document|Source|Passage|Context) \d+:|\d+[.)])(?=\s)/;
const BLANK = /[^\S\n]*\n[^\S\n]*\n\s*?(?=\S|[^\S\n]+\S)/g;

/** Documents in tags, as Anthropic and others advise to write them. */
const TAGGED = /<(document|source|passage|context|chunk|doc)\b[^<>\n]*>([^]*?)<\/\1>/g;

/**
 * Chunks of a message: documents in tags; where there are none, its paragraphs, or where they are labelled by number
 * the documents between two labels. The
 * boundaries depend on the text at them alone, so a document makes the same chunks whatever stands around it. The last
 * paragraph is none: it is where a question stands.
 */
export function chunkSpans(content: string): ChunkSpan[] {
  const tagged = [...content.matchAll(TAGGED)].map(({ 0: whole, 1: tag, 2: text, index }) => {
    const end = index + whole.length - `</${tag!}>`.length;
    return { start: end - text!.trimStart().length, end: end - text!.length + text!.trimEnd().length };
  });
  if (tagged.length > 0) return tagged.filter(({ start, end }) => start < end);
  const starts = [0];
  for (const { index, 0: blank } of content.matchAll(BLANK)) starts.push(index + blank.length);
  if (starts.length === 1) return [];
  const labels = starts.map((start) => LABEL.exec(content.slice(start, start + 24))?.[0].length ?? 0);
  const isLabelled = labels.some((length) => length > 0);
  const last = starts.length - 1;
  const spans: ChunkSpan[] = [];
  for (let i = 0; i < last; i++) {
    if (isLabelled && labels[i] === 0) continue;
    let next = i + 1;
    if (isLabelled) while (next < last && labels[next] === 0) next++;
    const text = content.slice(starts[i]! + labels[i]!, starts[next]);
    spans.push({ start: starts[i]! + labels[i]!, end: starts[i]! + labels[i]! + text.trimEnd().length });
  }
  return spans;
}

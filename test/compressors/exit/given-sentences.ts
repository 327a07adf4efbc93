import type { State, StageContext, Unit } from '../../../compressors/contract.js';
import { BLOCK, type Page } from '../../../compressors/page.js';
import { indexTerms } from '../../../compressors/words.js';

export interface GivenSentence {
  /** Index of its document. */
  readonly document: number;
  readonly text: string;
}

/** Sentences as the extraction would hand them to a scorer, had it cut the documents there. */
export function stateOf(
  query: string,
  titles: readonly string[],
  sentences: readonly GivenSentence[],
): State & { readonly units: readonly Unit[] } {
  const places = titles.map(() => 0);
  const units = sentences.map(({ document, text }): Unit => {
    const block = places[document]!;
    places[document] = block + 1;
    return {
      document,
      block,
      kind: 'sentence',
      layout: { type: 'paragraph' },
      text,
      spans: [{ start: 0, end: text.length, at: 0, length: text.length }],
      tokens: Math.ceil(text.length / 4),
      terms: indexTerms(text).terms,
      needs: [],
    };
  });
  return {
    query,
    documents: titles.map((title, at) => ({ id: String(at), title, content: '' })),
    pages: places.map(pageOf),
    units,
    decisions: [],
  };
}

/** No deadline and no turns. */
export function contextOf({ budget, signal }: { budget?: number; signal?: AbortSignal } = {}): StageContext {
  return {
    counter: { name: 'by four', exact: false, count: (text) => Math.ceil(text.length / 4) },
    signal: signal ?? new AbortController().signal,
    deadline: Infinity,
    breathe: () => Promise.resolve(),
    ...(budget !== undefined && { budget }),
  };
}

/** Of so many blocks, which say nothing themselves and stand under no heading. */
function pageOf(blocks: number): Page {
  const fields = new Int32Array(blocks * BLOCK.size);
  for (let block = 0; block < blocks; block++) fields[block * BLOCK.size + BLOCK.governor] = -1;
  return {
    format: 'text',
    title: undefined,
    text: '',
    blocks: fields,
    spans: new Int32Array(),
    terms: new Uint32Array(),
    termAt: new Int32Array(),
    nodes: new Int32Array(),
    names: [],
    omissions: [],
  };
}

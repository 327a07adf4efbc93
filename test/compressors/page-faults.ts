import { extractPage } from '../../compressors/extract.js';
import type { Unit } from '../../compressors/contract.js';
import type { Format, Page } from '../../compressors/page.js';
import { blockUnits } from '../../compressors/unit.js';
import { loadTokenCounter } from '../../models/token-counter.js';

const counter = await loadTokenCounter();

export interface Extracted {
  readonly page: Page;
  readonly units: readonly Unit[];
}

export function extracted(content: string, format: Format): Extracted {
  const page = extractPage(content, format);
  return { page, units: blockUnits(page, 0, counter) };
}

/** Blocks as `layout: text`, with what each needs. */
export function outline({ units }: Extracted): string[] {
  return units.map(({ layout, text, needs }) => {
    const detail =
      layout.type === 'heading'
        ? layout.level
        : layout.type === 'item'
          ? `${layout.depth}${layout.marker}`
          : layout.type === 'row'
            ? `${layout.table}${layout.header ? ' header' : ''}`
            : layout.type === 'code'
              ? layout.language
              : '';
    return `${layout.type}${detail === '' ? '' : ` ${detail}`}: ${text}${needs.length > 0 ? ` <${needs.join(' ')}>` : ''}`;
  });
}

/** What the extraction left out, by reason. */
export function omitted(content: string, { page }: Extracted): Record<string, string[]> {
  return Object.fromEntries(
    page.omissions.map(({ reason, spans }) => [
      reason,
      Array.from({ length: spans.length / 2 }, (_, index) =>
        content.slice(spans[2 * index], spans[2 * index + 1]),
      ),
    ]),
  );
}

/** What is wrong with a page: spans that are not the text's, governors that are none, letters that nothing accounts for. */
export function pageFaults(content: string, { page, units }: Extracted): string[] {
  const faults: string[] = [];
  const covered = new Uint8Array(content.length);
  let end = 0;
  for (const [index, { block, text, spans, needs }] of units.entries()) {
    if (block !== index) faults.push(`block ${block} stands at ${index}`);
    let at = 0;
    for (const span of spans) {
      if (span.start < end || span.end <= span.start)
        faults.push(`span ${span.start}-${span.end} out of order`);
      if (!/^[\s|]*$/.test(text.slice(at, span.at)))
        faults.push(`"${text.slice(at, span.at)}" is in no span`);
      if (text.slice(span.at, span.at + span.length) !== content.slice(span.start, span.end))
        faults.push(`"${text.slice(span.at, span.at + span.length)}" is not the source's`);
      at = span.at + span.length;
      end = span.end;
      covered.fill(1, span.start, span.end);
    }
    if (at !== text.length) faults.push(`"${text.slice(at)}" is in no span`);
    for (const need of needs) if (!(need >= 0 && need < index)) faults.push(`block ${index} needs ${need}`);
  }
  for (const { spans } of page.omissions)
    for (let i = 0; i < spans.length; i += 2) covered.fill(1, spans[i], spans[i + 1]);
  for (let at = 0; at < content.length; at++) {
    if (covered[at] === 0 && /[\p{L}\p{N}]/u.test(content[at]!))
      faults.push(`unaccounted at ${at}: ${content.slice(at, at + 20)}`);
  }
  return faults;
}

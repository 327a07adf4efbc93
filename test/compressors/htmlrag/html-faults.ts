import { decodeHTML } from 'entities';
import { expect } from 'vitest';
import { extracted, omitted, outline, pageFaults, type Extracted } from '../page-faults.js';

/** A page's blocks as `outline` shows them and what was left out by reason; fails where the page has faults. */
export function readHtml(content: string): { blocks: string[]; left: Record<string, string[]> } {
  const page = extracted(content, 'html');
  expect(htmlFaults(content, page)).toEqual([]);
  return { blocks: outline(page), left: omitted(content, page) };
}

/** As the tokenizer ends a tag: at the first `>` outside quoted values. Around character data stand marks, too. */
const TAG = /<\/?[a-z](?:[^>"']|"[^"]*"|'[^']*')*>|<!\[CDATA\[/gi;

const REFERENCE = /&[#\w]+;?/g;

/** What is wrong with a page made from HTML: as `pageFaults`, where tags are no text and references stand for theirs. */
export function htmlFaults(content: string, { page, units }: Extracted): string[] {
  const blank = (markup: string) => ' '.repeat(markup.length);
  const blanked = content
    .replace(TAG, blank)
    .replace(REFERENCE, (reference) =>
      /[^\s\u00ad]/.test(decodeHTML(reference)) ? reference : blank(reference),
    );
  const undecoded = units.map((unit) => {
    let text = '';
    let at = 0;
    const spans = unit.spans.map((span) => {
      const source = content.slice(span.start, span.end);
      const shown = unit.text.slice(span.at, span.at + span.length);
      const isReference = source.startsWith('&') && decodeHTML(source) === shown;
      text += unit.text.slice(at, span.at);
      const moved = { ...span, at: text.length, length: isReference ? source.length : span.length };
      text += isReference ? blanked.slice(span.start, span.end) : shown;
      at = span.at + span.length;
      return moved;
    });
    return { ...unit, text: text + unit.text.slice(at), spans };
  });
  return pageFaults(blanked, { page, units: undecoded });
}

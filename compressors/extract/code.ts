import type { PageBuilder } from '../page-builder.js';
import { isBlank, linesOf } from './lines.js';

/** A piece longer than this many code units, such as a class, is cut at its next blank line too. */
const LONG = 2_000;

/** Source code by its top-level pieces: cut where a blank line is followed by text that opens something in column 0. */
export function extractCode(source: string, builder: PageBuilder): void {
  let start = -1;
  let end = -1;
  let afterBlank = false;
  const flush = () => {
    if (start < 0) return;
    builder.open({ layout: { type: 'code', language: '' }, preformatted: true });
    builder.raw(start, end);
    builder.close();
    start = -1;
  };
  for (const line of linesOf(source)) {
    if (isBlank(line)) {
      afterBlank = true;
      continue;
    }
    const opens =
      line.indent === 0 &&
      !/^(?:[)}\]]|(?:end|else|elif|except|finally|catch)\b)/.test(source.slice(line.text, line.text + 8));
    if (afterBlank && (opens || end - start > LONG)) flush();
    if (start < 0) start = line.start;
    end = line.end;
    afterBlank = false;
  }
  flush();
}

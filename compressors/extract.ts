import { detectFormat } from './detect-format.js';
import { extractCode } from './extract/code.js';
import { extractJson } from './extract/json.js';
import { extractMarkdown } from './extract/markdown.js';
import { extractText } from './extract/text.js';
import { extractHtml } from './htmlrag/extract-html.js';
import { PageBuilder } from './page-builder.js';
import type { Format, Page } from './page.js';
import { atOnce, type Steps } from './steps.js';

const EXTRACTORS: Record<Format, (source: string, builder: PageBuilder) => Steps<void> | void> = {
  html: extractHtml,
  markdown: extractMarkdown,
  text: extractText,
  json: extractJson,
  code: extractCode,
};

export const FORMATS = Object.keys(EXTRACTORS) as readonly Format[];

/**
 * Reads a document into its blocks.
 * @param format detected from the content, and from the name where one is given, if absent
 * @throws Error where the content is beyond what can be read (markup nested too deep)
 */
export function extractPage(content: string, format?: Format, name?: string): Page {
  return atOnce(extraction(content, format, name));
}

/** The same in steps. */
export function* extraction(content: string, format?: Format, name?: string): Steps<Page> {
  const known = format ?? detectFormat(content, name === undefined ? {} : { name });
  const builder = new PageBuilder(known, content);
  const steps = EXTRACTORS[known](content, builder);
  if (steps) yield* steps;
  return builder.finish();
}

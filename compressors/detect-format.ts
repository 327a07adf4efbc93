import type { Format } from './page.js';

/** How much of a document is looked at: its beginning tells. */
const SAMPLE = 16_384;

const CODE_EXTENSIONS = new Set(
  'c cc cpp cs css dart ex exs go h hpp hs java jl js jsx kt lua m mjs cjs php pl ps1 py r rb rs scala sh sql swift ts tsx vue yaml yml toml ini'.split(
    ' ',
  ),
);
const MARKUP_EXTENSIONS: Readonly<Record<string, Format>> = {
  html: 'html',
  htm: 'html',
  xhtml: 'html',
  xml: 'html',
  md: 'markdown',
  markdown: 'markdown',
  mdx: 'markdown',
  json: 'json',
  jsonl: 'json',
  ndjson: 'json',
};

/** Tags that begin a document of markup. */
const DOCUMENT_TAGS = new Set(['?xml', '!doctype', 'html', 'head', 'body', 'rss', 'feed']);
/** Tags that begin a piece of a page; `<` in prose or code seldom looks like this. */
const FRAGMENT_TAGS = new Set(
  'div p table article section main nav header ul ol h1 h2 h3 h4 h5 h6 span meta title script style center font b a svg pre form blockquote dl figure'.split(
    ' ',
  ),
);
const TAG =
  /<\/?(?:p|div|li|ul|ol|table|tr|td|th|h[1-6]|section|article|br|body|html|span|a)(?:\s[^<>]{0,400})?\/?>/gi;
const HASH_LINE = /^#{1,6}(?:\s|$)/;
const UNDERLINE = /^={3,}$/;
const MARKDOWN_LINE = /^(?:[-*+] \S|\d{1,3}[.)] \S|>\s?\S|```|~~~|\|.*\||-{3,}$|\[[^\]\n]{1,80}\]:\s)/;
const MARKDOWN_INLINE = /\[[^\]\n]{1,200}\]\([^)\s]{1,400}\)|\*\*\S[^*\n]{0,200}\*\*|`[^`\n]{1,200}`/;
const CODE_LINE = new RegExp(
  [
    /[;{}]\s*$|^\s*[)\]}]+[,:]?\s*$|^\s*(?:\/\/|\/\*|\*\/|#!)/, // Ends of statements and blocks, comments
    /^\s*(?:import|from|export|const|let|var|def|class|function|func|fn|pub|use|package|public|private|return|if|for|while|else|elif|end|#include|#define|#if|#endif|using|namespace)\b.*[({:;=\w]\s*$/,
    /^\s*[\w$.[\]"']{1,60}(?:: ?[\w.[\]<>|]{1,40})? ?(?:[-+*/|&:]?=|=>) ?\S/, // Assignments
    /^\s*@?[\w$.]{1,60}\(.{0,200}\)[,:]?\s*$/, // Calls
  ]
    .map(({ source }) => source)
    .join('|'),
);

/**
 * What a document is written in, from its beginning and, where that says little, its name.
 * @param hints.name a file name or URL
 */
export function detectFormat(content: string, hints: { readonly name?: string } = {}): Format {
  const sample = content.slice(0, SAMPLE).trimStart();
  const tag = firstTag(sample);
  if (DOCUMENT_TAGS.has(tag)) return 'html';
  if (/^[[{]/.test(sample) && isJson(content, sample)) return 'json';
  const extension =
    /\.([a-z0-9]{1,8})$/i.exec(hints.name?.replace(/[?#].*$/, '') ?? '')?.[1]?.toLowerCase() ?? '';
  const named = MARKUP_EXTENSIONS[extension];
  if (named && named !== 'json') return named;
  if (CODE_EXTENSIONS.has(extension) || sample.startsWith('#!')) return 'code';

  // What stands in fences and code spans is talked about, not used.
  const prose = sample.replace(/```[^]*?(?:```|$)|`[^`\n]*`/g, '``');
  const layout = prose.split('\n').map((line) => line.trimEnd());
  const headings = layout.filter((_, index) => isHeading(layout, index)).length;
  const lines = layout.filter((line) => line !== '');
  const hashes = lines.filter((line) => HASH_LINE.test(line)).length;
  const marks = headings + lines.filter((line) => MARKDOWN_LINE.test(line)).length;
  const code = lines.filter((line) => CODE_LINE.test(line)).length;
  const tags = prose.match(TAG)?.length ?? 0;
  if (FRAGMENT_TAGS.has(tag)) return headings > 0 && tags <= 2 * marks ? 'markdown' : 'html';
  if (code >= 3 && code > 0.3 * (lines.length - hashes) && code > marks) return 'code';
  if (tags >= 6 && tags > lines.length / 4 && tags > 2 * marks) return 'html';
  if (headings > 0 || (hashes > 0 && code === 0) || (marks >= 2 && marks > 0.1 * lines.length))
    return 'markdown';
  return MARKDOWN_INLINE.test(sample) ? 'markdown' : 'text';
}

/** A heading stands by itself, or on its underline; a comment of a script stands on what it comments. */
function isHeading(lines: readonly string[], index: number): boolean {
  const above = lines[index - 1] ?? '';
  const below = lines[index + 1] ?? '';
  const line = lines[index]!;
  return HASH_LINE.test(line) ? above === '' && below === '' : UNDERLINE.test(below) && /^\S/.test(line);
}

/** Name of the first tag, where nothing but comments stands before it; empty where there is none. */
function firstTag(sample: string): string {
  let at = 0;
  while (sample.startsWith('<!--', at)) {
    const end = sample.indexOf('-->', at + 4);
    if (end < 0) return '';
    at = end + 3;
    while (/\s/.test(sample[at] ?? '')) at++;
  }
  return /^<([!?]?[a-z][a-z0-9]*)[\s/>]/i.exec(sample.slice(at, at + 20))?.[1]?.toLowerCase() ?? '';
}

function isJson(content: string, sample: string): boolean {
  // Too long to parse just to see: it must be JSON as far as the sample goes.
  if (content.length > 200_000) return JSON_TOKENS.test(sample);
  const text = content.trimStart();
  return parses(text) || jsonLines(text);
}

const JSON_TOKENS =
  /^(?:[\s[\]{},:]|"(?:[^"\\\n]|\\.)*"|-?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.])|true|false|null)*(?:"(?:[^"\\\n]|\\.)*\\?|[-\w.]{0,20})$/;

function jsonLines(text: string): boolean {
  const [first, second] = text.split('\n', 2);
  return second !== undefined && parses(first!) && (second.trim() === '' || parses(second));
}

function parses(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** What no text has. */
const ODD = /[\0-\x08\x0e-\x1a\x1c-\x1f\ufffd]/;

/** Whether a document is bytes that were never text: NUL characters, or many that no text has. */
export function looksBinary(content: string): boolean {
  const sample = content.slice(0, SAMPLE);
  if (!ODD.test(sample)) return false;
  let odd = 0;
  for (let i = 0; i < sample.length; i++) {
    const code = sample.charCodeAt(i);
    if (code === 0xfffd || code < 9 || (code > 13 && code < 32 && code !== 27)) odd++;
  }
  return sample.length > 0 && odd > 4 && odd / sample.length > 0.05;
}

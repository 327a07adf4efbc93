import type { Format } from './contract.js';

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

/** Tags that open a document or stand in every fragment of one; `<` in prose or code seldom looks like this. */
const HTML_START =
  /^(?:\ufeff|\s|<!--[^]{0,2000}?-->|<\?xml[^>]{0,200}\?>)*<(?:!doctype\b|html\b|head\b|body\b|div\b|p\b|table\b|article\b|section\b|main\b|nav\b|header\b|ul\b|ol\b|h[1-6]\b|span\b|rss\b|feed\b|meta\b|title\b|script\b|style\b|center\b|font\b|b\b|a\s|svg\b|pre\b|form\b|blockquote\b|dl\b|figure\b)/i;
const BLOCK_TAG =
  /<\/?(?:p|div|li|ul|ol|table|tr|td|th|h[1-6]|section|article|br|body|html|span|a)(?:\s[^<>]{0,400})?\/?>/gi;
const MARKDOWN_LINE =
  /^(?:#{1,6} \S|[-*+] \S|\d{1,3}[.)] \S|>\s?\S|```|~~~|\|.*\||={3,}\s*$|-{3,}\s*$|\[[^\]\n]{1,80}\]:\s)/;
const MARKDOWN_INLINE = /\[[^\]\n]{1,200}\]\([^)\s]{1,400}\)|\*\*\S[^*\n]{0,200}\*\*|`[^`\n]{1,200}`/;
const CODE_LINE =
  /[;{}]\s*$|^\s*(?:import|from|export|const|let|var|def|class|function|func|fn|pub|use|package|public|private|return|if|for|while|else|elif|end|#include|using|namespace)\b.*[({:;=\w]\s*$|^\s*(?:\/\/|\/\*|\*\/|#!)/;

/**
 * What a document is written in, from its beginning and, where that says little, its name.
 * @param hints.name a file name or URL
 */
export function detectFormat(content: string, hints: { readonly name?: string } = {}): Format {
  const sample = content.slice(0, SAMPLE);
  if (HTML_START.test(sample)) return 'html';
  const start = sample.trimStart();
  if (/^[[{]/.test(start) && isJson(content, start)) return 'json';
  const extension =
    /\.([a-z0-9]{1,8})$/i.exec(hints.name?.replace(/[?#].*$/, '') ?? '')?.[1]?.toLowerCase() ?? '';
  const named = MARKUP_EXTENSIONS[extension];
  if (named && named !== 'json') return named;
  if (CODE_EXTENSIONS.has(extension)) return 'code';

  const lines = sample.split('\n').filter((line) => line.trim() !== '');
  if (lines.length === 0) return 'text';
  // Tags in code spans and fences are talked about, not used.
  const prose = sample.replace(/```[^]*?(?:```|$)|`[^`\n]*`/g, '');
  const tags = prose.match(BLOCK_TAG)?.length ?? 0;
  const markdownLines = lines.filter((line) => MARKDOWN_LINE.test(line)).length;
  const codeLines = lines.filter((line) => CODE_LINE.test(line)).length;
  if (tags >= 6 && tags > lines.length / 4 && tags > 2 * markdownLines) return 'html';
  if (/^#{1,6} \S/m.test(sample) && codeLines < lines.length / 2)
    return start.startsWith("#!") ? 'code' : 'markdown';
  if (codeLines >= 3 && codeLines > 0.4 * lines.length) return 'code';
  if (markdownLines >= 2 && markdownLines > 0.1 * lines.length) return 'markdown';
  return MARKDOWN_INLINE.test(sample) ? 'markdown' : 'text';
}

function isJson(content: string, start: string): boolean {
  if (content.length <= 200_000) return parses(content) || jsonLines(start);
  // Too long to parse just to see: it must look like JSON from its first value on.
  return /^(?:\[\s*[[{"\d]|\{\s*"(?:[^"\\]|\\.){0,200}"\s*:)/.test(start);
}

function jsonLines(start: string): boolean {
  const [first, second] = start.split('\n', 2);
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

import type { Dirent } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { z } from 'zod';
import type { SourceDocument } from '../compressors/contract.js';
import { looksBinary } from '../compressors/detect-format.js';
import { ConfigurationError } from '../settings/configuration-error.js';
import { validate } from '../settings/validate.js';
import { decodeText } from './decode.js';

export interface FolderOptions {
  /** File name extensions, with their dots. Default: HTML, Markdown, text and JSON. */
  readonly extensions?: readonly string[];
  /** Larger files are skipped. Default 20,000,000 bytes. */
  readonly maxBytes?: number;
}

export interface FolderContents {
  /** Sorted by path; `id` is the path below the folder, with `/` between its parts. */
  readonly documents: readonly SourceDocument[];
  /** What could not be read, sorted by path. */
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

const optionsSchema = z.strictObject({
  extensions: z
    .array(z.string().regex(/^\.[^.]+$/, 'give an extension with its dot, as in .html'))
    .default(['.html', '.htm', '.xhtml', '.md', '.markdown', '.txt', '.json', '.jsonl']),
  maxBytes: z
    .union([z.number().positive(), z.literal(Infinity)], 'give a number of bytes above 0')
    .default(20_000_000),
});

/**
 * Reads the pages of a folder and the folders in it, decoded by what they declare and hold. Hidden files, `node_modules`
 * and symbolic links are passed over.
 * @throws ConfigurationError where the folder itself cannot be read
 */
export async function readFolder(path: string, options: FolderOptions = {}): Promise<FolderContents> {
  const { extensions, maxBytes } = validate(optionsSchema, options, 'folder');
  const wanted = new Set(extensions.map((extension) => extension.toLowerCase()));
  const documents: SourceDocument[] = [];
  const skipped: { path: string; reason: string }[] = [];
  const folders = [''];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const entries = await entriesOf(join(path, folder));
    if (typeof entries === 'string') {
      if (folder === '')
        throw new ConfigurationError('path', path, `give a folder that can be read (${entries})`);
      skipped.push({ path: folder, reason: entries });
      continue;
    }
    for (const entry of entries) {
      const id = folder === '' ? entry.name : `${folder}/${entry.name}`;
      if (entry.name.startsWith('.') || entry.name === 'node_modules') continue;
      if (entry.isDirectory()) folders.push(id);
      else if (entry.isFile() && wanted.has(extname(entry.name).toLowerCase())) {
        const read = await readPage(join(path, id), maxBytes);
        if (typeof read === 'string') documents.push({ id, content: read });
        else skipped.push({ path: id, reason: read.reason });
      }
    }
  }
  documents.sort((a, b) => (a.id < b.id ? -1 : 1));
  skipped.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { documents, skipped };
}

/** @returns why it cannot be read, where it cannot */
async function entriesOf(folder: string): Promise<Dirent[] | string> {
  try {
    return await readdir(folder, { withFileTypes: true });
  } catch (error) {
    return (error as Error).message;
  }
}

async function readPage(file: string, maxBytes: number): Promise<string | { reason: string }> {
  try {
    const { size } = await stat(file);
    if (size > maxBytes) return { reason: `${size} bytes, more than ${maxBytes}` };
    const { text } = decodeText(await readFile(file));
    return looksBinary(text) ? { reason: 'binary content' } : text;
  } catch (error) {
    return { reason: (error as Error).message };
  }
}

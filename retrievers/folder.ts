import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { looksBinary } from '../compressors/detect-format.js';
import { ConfigurationError } from '../settings/configuration-error.js';
import type { SourceDocument } from '../compressors/contract.js';
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
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

const EXTENSIONS = ['.html', '.htm', '.xhtml', '.md', '.markdown', '.txt', '.json', '.jsonl'];
const MAX_BYTES = 20_000_000;

/**
 * Reads the pages of a folder and the folders in it, decoded by what they declare and hold. Hidden files, `node_modules`
 * and symbolic links are passed over.
 * @throws ConfigurationError where the folder cannot be read
 */
export async function readFolder(
  path: string,
  { extensions = EXTENSIONS, maxBytes = MAX_BYTES }: FolderOptions = {},
): Promise<FolderContents> {
  const wanted = new Set(extensions.map((extension) => extension.toLowerCase()));
  const documents: SourceDocument[] = [];
  const skipped: { path: string; reason: string }[] = [];
  const folders = [''];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for (const entry of await entriesOf(path, folder)) {
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
  return { documents, skipped };
}

async function entriesOf(path: string, folder: string) {
  try {
    return await readdir(join(path, folder), { withFileTypes: true });
  } catch (error) {
    throw new ConfigurationError(
      'path',
      join(path, folder),
      `give a folder that can be read (${(error as Error).message})`,
    );
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

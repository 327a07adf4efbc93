import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { ConfigurationError, type SourceDocument } from '../compressors/index.js';
import { decodeText } from '../retrievers/decode.js';

/**
 * Documents named on the command line: files, `-` for standard input, or a JSON array of `{ id, content, … }`. Each
 * has an id of its own: a file's is its name as given.
 * @throws ConfigurationError for a file that cannot be read
 */
export async function readDocuments(
  files: readonly string[],
  stdin: NodeJS.ReadableStream,
): Promise<SourceDocument[]> {
  if (files.indexOf('-') !== files.lastIndexOf('-'))
    throw new ConfigurationError('FILE', '-', 'give it once: there is one standard input');
  const documents: SourceDocument[] = [];
  for (const file of files) {
    const { text } = decodeText(file === '-' ? await buffer(stdin) : await readBytes(file));
    documents.push(...(documentArray(text) ?? [{ id: file, content: text }]));
  }
  return withOwnIds(documents);
}

async function readBytes(file: string): Promise<Uint8Array> {
  try {
    return await readFile(file);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new ConfigurationError(
      'FILE',
      file,
      REMEDIES[code ?? ''] ?? `give one that can be read (${message})`,
    );
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder: give the files in it',
  EACCES: 'it may not be read',
  ERR_FS_FILE_TOO_LARGE: 'it is larger than 2 GiB',
};

/** The documents of a JSON array of them; undefined for any other text. */
function documentArray(text: string): SourceDocument[] | undefined {
  if (!text.trimStart().startsWith('[')) return undefined;
  let entries: unknown;
  try {
    entries = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!Array.isArray(entries) || entries.length === 0 || !entries.every(isDocument)) return undefined;
  return entries.map(({ id, ...entry }, index) => {
    const isName = typeof id === 'string' || typeof id === 'number';
    return { ...entry, id: isName ? String(id) : String(index) } as SourceDocument;
  });
}

/** Whether the content is a string, and the rest as it should be, the pipeline sees to. */
function isDocument(entry: unknown): entry is { id?: unknown; content: unknown } {
  return typeof entry === 'object' && entry !== null && Object.hasOwn(entry, 'content');
}

/** The second of two documents of one id is `id#2`. */
function withOwnIds(documents: readonly SourceDocument[]): SourceDocument[] {
  const taken = new Set<string>();
  return documents.map((document) => {
    let { id } = document;
    for (let copy = 2; taken.has(id); copy++) id = `${document.id}#${copy}`;
    taken.add(id);
    return { ...document, id };
  });
}

import { readFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { ConfigurationError, type SourceDocument } from '../compressors/index.js';
import { decodeText } from '../retrievers/decode.js';

/**
 * Documents named on the command line: files, `-` for standard input, or a JSON array of `{ id, content, … }`.
 * @throws ConfigurationError for a file that cannot be read
 */
export async function readDocuments(
  files: readonly string[],
  stdin: NodeJS.ReadableStream,
): Promise<SourceDocument[]> {
  const documents: SourceDocument[] = [];
  for (const [index, file] of files.entries()) {
    let bytes: Uint8Array;
    try {
      bytes = file === '-' ? await buffer(stdin) : await readFile(file);
    } catch (error) {
      throw new ConfigurationError(
        `FILE[${index}]`,
        file,
        `give a file that can be read (${(error as Error).message})`,
      );
    }
    const { text } = decodeText(bytes);
    documents.push(...(documentArray(text) ?? [{ id: file, content: text }]));
  }
  return documents;
}

/** The documents of a JSON array of them; undefined for any other text. */
function documentArray(text: string): SourceDocument[] | undefined {
  if (!text.trimStart().startsWith('[')) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return undefined;
  }
  const entries = parsed as Partial<SourceDocument>[];
  const areDocuments = entries.length > 0 && entries.every((entry) => typeof entry.content === 'string');
  return areDocuments
    ? entries.map((entry, index) => ({ ...entry, id: entry.id ?? String(index) }) as SourceDocument)
    : undefined;
}

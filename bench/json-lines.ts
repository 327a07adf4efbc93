import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';

/**
 * A file with a JSON value a line, compressed by gzip.
 * @throws Error for a file that cannot be read
 */
export function jsonLines<Row>(path: string): Row[] {
  return gunzipSync(readFileSync(path))
    .toString('utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);
}

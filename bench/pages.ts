import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { sharedData } from '../test/shared-data.js';

export interface FetchedPage {
  readonly key: string;
  readonly html: string;
  /** The article's text as people marked it. */
  readonly article: string;
}

/** The real news and blog pages of the shared data, as fetched; none where the data is absent. */
export function fetchedPages(): FetchedPage[] {
  if (sharedData === undefined) return [];
  const folder = join(sharedData, 'pages');
  return readdirSync(folder)
    .filter((file) => file.endsWith('.html.gz'))
    .sort()
    .map((file) => {
      const key = file.slice(0, -'.html.gz'.length);
      const { article } = JSON.parse(readFileSync(join(folder, `${key}.json`), 'utf8')) as {
        article: string;
      };
      return { key, html: gunzipSync(readFileSync(join(folder, file))).toString('utf8'), article };
    });
}

import type { Format } from './page.js';
import { extractPage } from './extract.js';
import type { Page } from './page.js';
import { pageSentences } from './unit.js';

/** Runs in a worker thread (workers.ts). Finds the sentences too: a page that comes here has many. */
export default function extractInWorker(task: { content: string; format?: Format; name?: string }): Page {
  const page = extractPage(task.content, task.format, task.name);
  return { ...page, sentences: pageSentences(page) };
}

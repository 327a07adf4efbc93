import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export interface AuthorsBlock {
  readonly path: readonly string[];
  readonly is_leaf: boolean;
  readonly text: string;
}

/** What the authors' Python makes of a page. */
export interface AuthorsReading {
  readonly seconds: number;
  readonly blocks: readonly AuthorsBlock[];
  /** Name and depth of each element as html.parser finds it, in order. */
  readonly elements: readonly (readonly [name: string, depth: number])[];
  readonly text: string;
}

export interface Authors {
  read(html: string): Promise<AuthorsReading>;
  close(): void;
}

const folder = fileURLToPath(new URL('../..', import.meta.url));
const CHECKOUT = process.env.HTMLRAG_CHECKOUT ?? join(folder, '..', 'HtmlRAG');
const DRIVER = fileURLToPath(new URL('./htmlrag_authors.py', import.meta.url));

export const AUTHORS_SETUP = `git clone --depth 1 https://github.com/plageon/HtmlRAG ../HtmlRAG
python3 -m venv ../HtmlRAG/.venv && ../HtmlRAG/.venv/bin/pip install beautifulsoup4
HTMLRAG_CHECKOUT=../HtmlRAG npm run bench -- htmlrag`;

/**
 * Starts the authors' code in a Python of its own: that of the checkout's `.venv`, else HTMLRAG_PYTHON, else python3.
 * @returns why it cannot run, where it cannot
 */
export async function startAuthors(): Promise<Authors | string> {
  if (!existsSync(join(CHECKOUT, 'toolkit', 'htmlrag', 'html_utils.py')))
    return `no checkout of plageon/HtmlRAG at ${CHECKOUT}`;
  const own = join(CHECKOUT, '.venv', 'bin', 'python');
  const python = process.env.HTMLRAG_PYTHON ?? (existsSync(own) ? own : 'python3');
  const child = spawn(python, [DRIVER, CHECKOUT], { stdio: ['pipe', 'pipe', 'pipe'] });
  let complaint = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complaint += text));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.stdin.once('error', reject);
    child.once('close', (code) => {
      reject(new Error(complaint.trim().split('\n').at(-1) ?? `${python} ended with ${code}`));
    });
  });
  const authors: Authors = {
    async read(html) {
      child.stdin.write(`${JSON.stringify(html)}\n`);
      const line = (await Promise.race([lines.next(), failed])) as IteratorResult<string, undefined>;
      if (line.done) return failed;
      return JSON.parse(line.value) as AuthorsReading;
    },
    close() {
      failed.catch(() => undefined);
      child.stdin.end();
    },
  };
  try {
    await authors.read('<p>ready</p>');
    return authors;
  } catch (error) {
    return `${python}: ${error instanceof Error ? error.message : String(error)}`;
  }
}

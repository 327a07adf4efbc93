import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readFolder, type FolderOptions } from '../../retrievers/folder.js';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ragpress-folder-'));
  // For the test that gives up what root may do.
  chmodSync(folder, 0o755);
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function write(files: Readonly<Record<string, string | Uint8Array>>): void {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
}

const PNG = Buffer.from('89504e470d0a1a0a0000000d494844520000000100000001080600000000', 'hex');

async function idsOf(options?: FolderOptions): Promise<string[]> {
  return (await readFolder(folder, options)).documents.map(({ id }) => id);
}

describe('the pages of a folder', () => {
  test('and of those in it, sorted by their paths below it, which are their ids', async () => {
    write({
      'b.md': '# B',
      'a/z.html': '<p>Z</p>',
      'a/b/deep.txt': 'deep',
      'B.md': '# Capital',
      'a.txt': 'A',
      'a-1.txt': 'one',
      'größe/渡轮 1.md': 'far',
    });
    const { documents, skipped } = await readFolder(folder);
    expect(documents).toEqual([
      { id: 'B.md', content: '# Capital' },
      { id: 'a-1.txt', content: 'one' },
      { id: 'a.txt', content: 'A' },
      { id: 'a/b/deep.txt', content: 'deep' },
      { id: 'a/z.html', content: '<p>Z</p>' },
      { id: 'b.md', content: '# B' },
      { id: 'größe/渡轮 1.md', content: 'far' },
    ]);
    expect(skipped).toEqual([]);
    expect(await readFolder(`${folder}/`)).toEqual({ documents, skipped });
  });

  test('are those of the usual extensions, in any case', async () => {
    write({
      'a.HTML': 'x',
      'b.Md': 'x',
      'c.jsonl': '{}',
      'd.png': PNG,
      'e.ts': 'x',
      README: 'x',
      'f.tar.txt': 'x',
    });
    expect(await idsOf()).toEqual(['a.HTML', 'b.Md', 'c.jsonl', 'f.tar.txt']);
  });

  test('or of the extensions asked for', async () => {
    write({ 'a.html': 'x', 'b.TS': 'x', 'c.rst': 'x' });
    expect(await idsOf({ extensions: ['.ts', '.RST'] })).toEqual(['b.TS', 'c.rst']);
    expect(await idsOf({ extensions: [] })).toEqual([]);
  });

  test('are decoded by what they declare and hold', async () => {
    write({
      'latin.txt': Buffer.from('café', 'latin1'),
      'marked.txt': Buffer.from('\ufeffcafé', 'utf16le'),
      'sjis.html': Buffer.from('<meta charset="Shift_JIS">\x83\x74', 'latin1'),
    });
    const { documents } = await readFolder(folder);
    expect(documents.map(({ content }) => content)).toEqual(['café', 'café', '<meta charset="Shift_JIS">フ']);
  });

  test('an empty file is a document without content, an empty folder none', async () => {
    mkdirSync(join(folder, 'empty/within'), { recursive: true });
    expect(await readFolder(folder)).toEqual({ documents: [], skipped: [] });
    write({ 'empty/a.txt': '' });
    expect((await readFolder(folder)).documents).toEqual([{ id: 'empty/a.txt', content: '' }]);
  });

  test('nested 200 deep', async () => {
    const path = `${'n/'.repeat(200)}a.txt`;
    write({ [path]: 'deep' });
    expect(await idsOf()).toEqual([path]);
  });
});

describe('what is passed over', () => {
  test('hidden files and folders, and node_modules', async () => {
    write({
      '.hidden.md': 'x',
      '.git/a.md': 'x',
      'node_modules/p/README.md': 'x',
      'docs/node_modules/b.md': 'x',
      'docs/c.md': 'x',
    });
    expect(await idsOf()).toEqual(['docs/c.md']);
  });

  test('symbolic links, whether to files, to nothing or in circles', async () => {
    write({ 'docs/a.md': 'x' });
    symlinkSync(join(folder, 'docs/a.md'), join(folder, 'b.md'));
    symlinkSync(join(folder, 'gone.md'), join(folder, 'c.md'));
    symlinkSync(folder, join(folder, 'docs/circle'));
    symlinkSync('self', join(folder, 'self'));
    expect(await readFolder(folder)).toEqual({
      documents: [{ id: 'docs/a.md', content: 'x' }],
      skipped: [],
    });
  });

  test('but the folder itself may be a link', async () => {
    write({ 'docs/a.md': 'x' });
    symlinkSync(join(folder, 'docs'), join(folder, 'link'));
    expect((await readFolder(join(folder, 'link'))).documents).toEqual([{ id: 'a.md', content: 'x' }]);
  });

  test('a folder that is named like a page', async () => {
    write({ 'page.html/inner.html': 'x' });
    expect(await idsOf()).toEqual(['page.html/inner.html']);
  });
});

describe('what is skipped says why, sorted by path', () => {
  test('binary content and files that are too large', async () => {
    write({ 'z.txt': PNG, 'm/b.md': PNG, 'a/large.txt': 'x'.repeat(101), 'a/fits.txt': 'x'.repeat(100) });
    const { documents, skipped } = await readFolder(folder, { maxBytes: 100 });
    expect(documents.map(({ id }) => id)).toEqual(['a/fits.txt']);
    expect(skipped).toEqual([
      { path: 'a/large.txt', reason: '101 bytes, more than 100' },
      { path: 'm/b.md', reason: 'binary content' },
      { path: 'z.txt', reason: 'binary content' },
    ]);
    expect(await idsOf({ maxBytes: Infinity })).toEqual(['a/fits.txt', 'a/large.txt']);
  });

  test.skipIf(process.seteuid === undefined)('files and folders that may not be read', async () => {
    write({ 'a.txt': 'x', 'b.txt': 'secret', 'closed/c.txt': 'secret', 'open/d.txt': 'x' });
    chmodSync(join(folder, 'b.txt'), 0);
    chmodSync(join(folder, 'closed'), 0);
    const isRoot = process.getuid!() === 0;
    if (isRoot) process.seteuid!(65_534);
    try {
      const { documents, skipped } = await readFolder(folder);
      expect(documents.map(({ id }) => id)).toEqual(['a.txt', 'open/d.txt']);
      expect(skipped).toEqual([
        { path: 'b.txt', reason: expect.stringContaining('EACCES') as string },
        { path: 'closed', reason: expect.stringContaining('EACCES') as string },
      ]);
      await expect(readFolder(join(folder, 'closed'))).rejects.toMatchObject({ field: 'path' });
    } finally {
      if (isRoot) process.seteuid!(0);
      chmodSync(join(folder, 'closed'), 0o755);
    }
  });
});

describe('what cannot work is refused', () => {
  test.each([
    ['a folder that is not there', 'none', 'ENOENT'],
    ['a file', 'a.txt', 'ENOTDIR'],
  ])('%s', async (_, name, code) => {
    write({ 'a.txt': 'x' });
    const path = join(folder, name);
    await expect(readFolder(path)).rejects.toMatchObject({
      name: 'ConfigurationError',
      field: 'path',
      value: path,
      message: expect.stringMatching(new RegExp(`give a folder that can be read.*${code}`)) as string,
    });
  });

  test.each<[string, unknown, string, unknown]>([
    ['an extension without its dot', { extensions: ['.md', 'html'] }, 'folder.extensions.1', 'html'],
    ['two extensions in one', { extensions: ['.tar.gz'] }, 'folder.extensions.0', '.tar.gz'],
    ['extensions that are no list', { extensions: '.md' }, 'folder.extensions', '.md'],
    ['a size of 0', { maxBytes: 0 }, 'folder.maxBytes', 0],
    ['an unknown option', { extension: ['.md'] }, 'folder.extension', ['.md']],
  ])('%s', async (_, options, field, value) => {
    await expect(readFolder(folder, options as FolderOptions)).rejects.toMatchObject({
      name: 'ConfigurationError',
      field,
      value,
    });
  });
});

import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { hubServer } from './hub-server.js';
import { fixtures } from './tiny-model.js';

const cli = fileURLToPath(new URL('../../dist/middleware/cli.js', import.meta.url));

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ragpress-models-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true });
});

function ragpress(...args: string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, ...args], {
      env: { ...process.env, RAGPRESS_CACHE: folder, NO_COLOR: '1' },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
    child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
    child.once('error', reject);
    child.once('close', (code) => {
      resolve({ code, stdout, stderr });
    });
  });
}

describe('ragpress models', () => {
  test('list shows each model and where it is', async () => {
    cpSync(join(fixtures, 'tiny'), join(folder, 'models/tiny'), { recursive: true });
    const { code, stdout } = await ragpress('models', 'list');
    expect(code).toBe(0);
    expect(stdout).toMatch(/tiny +embedder +0\.0 MB +Apache-2\.0 +cache/);
    const { stdout: json } = await ragpress('models', 'list', '--json');
    expect(JSON.parse(json)).toContainEqual(
      expect.objectContaining({
        name: 'tiny',
        kind: 'embedder',
        place: 'cache',
        folder: join(folder, 'models/tiny'),
      }),
    );
  });

  test('verify ends with 1 where a file is not what it should be, and names it', async () => {
    cpSync(join(fixtures, 'tiny'), join(folder, 'models/tiny'), { recursive: true });
    expect(await ragpress('models', 'verify', 'tiny')).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('ok') as string,
    });
    writeFileSync(join(folder, 'models/tiny/model.onnx'), 'x');
    const { code, stdout } = await ragpress('models', 'verify', 'tiny');
    expect(code).toBe(1);
    expect(stdout).toMatch(/FAILED +model\.onnx: it has 1 bytes in place of \d+; fetch it again/);
    expect(await ragpress('models', 'verify', 'none')).toMatchObject({ code: 1, stdout: '' });
  });

  test('pull fetches into the cache, and writes no bar where stderr is no terminal', async () => {
    const hub = await hubServer({
      files: {
        'tokenizer.json': readFileSync(join(fixtures, 'tiny/tokenizer.json')),
        'onnx/model.onnx': readFileSync(join(fixtures, 'tiny/model.onnx')),
      },
    });
    try {
      const { code, stdout, stderr } = await ragpress('models', 'pull', 'acme/tiny', '--hub', hub.url);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain(join(folder, 'models/acme/tiny'));
      expect(await ragpress('models', 'verify', 'acme/tiny')).toMatchObject({ code: 0 });
      const missing = await ragpress('models', 'pull', 'acme/none', '--hub', hub.url);
      expect(missing.code).toBe(1);
      expect(missing.stderr).toMatch(/^ragpress: .*404.*\n$/);
    } finally {
      await hub.close();
    }
    expect(await ragpress('models', 'pull', 'no name', '--hub', hub.url)).toMatchObject({ code: 2 });
  });
});

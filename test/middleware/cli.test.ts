import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createPipeline, type CompressionResult } from 'ragpress';

const root = fileURLToPath(new URL('../..', import.meta.url));
const cli = join(root, 'dist/middleware/cli.js');

interface Run {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly stdin?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly command?: readonly [string, ...string[]];
  readonly cwd?: string;
}

/** Colour is off unless a test asks for it: this process's own environment may ask for it, too. */
const plain = { ...process.env, FORCE_COLOR: '', NO_COLOR: '', CI: '' };

let folder: string;

function ragpress(
  args: readonly string[],
  { stdin = '', env = {}, command, cwd = folder }: RunOptions = {},
): Promise<Run> {
  const [program, ...before] = command ?? [process.execPath, cli];
  return new Promise((resolve) => {
    const child = execFile(
      program,
      [...before, ...args],
      { cwd, env: { ...plain, ...env }, maxBuffer: 1 << 26 },
      (error, stdout, stderr) => {
        resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, stdout, stderr });
      },
    );
    child.stdin!.on('error', () => undefined);
    child.stdin!.end(stdin);
  });
}

const page = `<!doctype html><html><head><title>Winter timetable</title><script>track("x")</script>
<style>p { color: red }</style></head><body>
<nav><ul>${Array.from({ length: 30 }, (_, index) => `<li><a href="/${index}">Section ${index}</a></li>`).join('')}</ul></nav>
<main><h1>Winter timetable</h1><p>The Harbour Line runs every day. It is run by two ships, the Alder and the Rowan.</p>
<h2>Fares</h2><table><tr><th>Ticket<th>Adult</tr><tr><td>Single<td>4.20<tr><td>Day return<td>7.50</table>
<p>Bicycles travel free of charge on weekdays. Dogs pay half.</p></main>
<footer>&copy; Harbour Line. All rights reserved.</footer></body></html>`;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ragpress-cli-'));
  const files: Record<string, string | Uint8Array> = {
    'page.html': page,
    'notes.md': '# Ships\n\nThe Rowan was built in 1987 at Troon.\n\n- Length: 48.5 m\n- Crew: 6\n',
    'north/log.txt': 'The Rowan sailed at nine.',
    'south/log.txt': 'The Rowan stayed in port on account of fog.',
    'documents.json': JSON.stringify([
      { id: 'a', content: 'The Rowan was built in 1987.', title: 'Ships', score: 2 },
      { content: 'The Alder was built in 1999.' },
      { id: 'a', content: 'The Rowan carries sixty cars.' },
      { id: 'broken', content: null },
    ]),
    'array.json': '[1, null, "The Rowan was built in 1987."]',
    'image.png': Uint8Array.from({ length: 600 }, (_, index) =>
      index < 8 ? [137, 80, 78, 71, 13, 10, 26, 10][index]! : (index * 7) % 11,
    ),
    'latin1.txt': Buffer.from('Die F\xe4hre Rowan wurde 1987 gebaut.', 'latin1'),
    'utf16.txt': Buffer.from('\ufeffDie Fähre Rowan wurde 1987 gebaut.', 'utf16le'),
    'empty.txt': '',
    'escape.txt': 'The Rowan \u001b[31mwas built\u001b[2J in 1987.\n',
  };
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
});

afterAll(() => {
  rmSync(folder, { recursive: true, force: true });
});

const query = ['--query', 'When was the Rowan built?'];

describe('compress', () => {
  test('prints the context alone on stdout, and a summary on stderr', async () => {
    const { code, stdout, stderr } = await ragpress(['compress', ...query, '--budget', '40', 'notes.md']);
    expect(code).toBe(0);
    expect(stdout).toBe('[1]\n# Ships\n\nThe Rowan was built in 1987 at Troon.\n');
    expect(stderr).toMatch(/^[\d,]+ → \d+ tokens: \d+% saved, budget 40, estimated from above, \d+ ms\n$/);
  });

  test('--json is what the pipeline returns', async () => {
    const { stdout, stderr } = await ragpress([
      'compress',
      ...query,
      '--budget',
      '60',
      '--json',
      'page.html',
      'notes.md',
    ]);
    expect(stderr).toBe('');
    const result = JSON.parse(stdout) as CompressionResult;
    const pipeline = await createPipeline();
    const notes = '# Ships\n\nThe Rowan was built in 1987 at Troon.\n\n- Length: 48.5 m\n- Crew: 6\n';
    const expected = await pipeline.compress({
      query: query[1]!,
      documents: [
        { id: 'page.html', content: page },
        { id: 'notes.md', content: notes },
      ],
      budget: { tokens: 60 },
    });
    await pipeline.close();
    const timeless = ({ stages, ...rest }: CompressionResult) => ({
      ...rest,
      stages: stages.map((stage) => ({ ...stage, milliseconds: 0 })),
    });
    expect(timeless(result)).toEqual(JSON.parse(JSON.stringify(timeless(expected))));
  });

  test('reads standard input and a JSON array of documents', async () => {
    const piped = await ragpress(['compress', ...query, '-'], { stdin: 'Fog. The Rowan was built in 1987.' });
    expect(piped.stdout).toContain('The Rowan was built in 1987.');
    const { stdout, stderr } = await ragpress([
      'compress',
      ...query,
      '--stages',
      'sentences',
      '--json',
      'documents.json',
    ]);
    expect(stderr).toBe('');
    const { documents, decisions } = JSON.parse(stdout) as CompressionResult;
    expect(documents.map(({ id }) => id)).toEqual(['a', '1', 'a#2']);
    expect(decisions).toContainEqual(
      expect.objectContaining({ document: 'broken', reason: 'content is null, not a string' }),
    );
    expect((await ragpress(['compress', ...query, 'documents.json'])).stderr).toContain(
      '\nbroken: content is null, not a string\n',
    );
    expect((await ragpress(['compress', ...query, 'array.json'])).stdout).toContain('built in 1987');
  });

  test('two files of one name are two documents', async () => {
    const { stdout } = await ragpress([
      'compress',
      '--query',
      'Rowan',
      '--stages',
      'sentences',
      '--json',
      'north/log.txt',
      'south/log.txt',
      'north/log.txt',
    ]);
    const { documents } = JSON.parse(stdout) as CompressionResult;
    expect(documents.map(({ id, content }) => [id, content])).toEqual([
      ['north/log.txt', 'The Rowan sailed at nine.'],
      ['south/log.txt', 'The Rowan stayed in port on account of fog.'],
      ['north/log.txt#2', 'The Rowan sailed at nine.'],
    ]);
  });

  test('--ratio, --preset, --model, --output and --deadline reach the pipeline', async () => {
    const { stdout } = await ragpress([
      'compress',
      '--query',
      'day return adult fare',
      ...['--ratio', '0.2', '--preset', 'fast', '--model', 'gpt-4o', '--output', 'html'],
      ...['--deadline', '60000', '--json', 'page.html'],
    ]);
    const { context, tokens, stages } = JSON.parse(stdout) as CompressionResult;
    expect(tokens).toMatchObject({ budget: Math.floor(0.2 * tokens.before), counter: 'o200k_base' });
    expect(tokens.after).toBeLessThanOrEqual(tokens.budget!);
    expect(context).toMatch(/<td>\s*Day return/);
    expect(stages.map(({ name }) => name)).toEqual(['extract', 'htmlrag', 'zipfit', 'sentences', 'budget']);
  });

  test('--stages run in the order given', async () => {
    const { stdout } = await ragpress([
      'compress',
      ...query,
      '--stages',
      'sentences, zipfit',
      '--json',
      'notes.md',
    ]);
    const { stages } = JSON.parse(stdout) as CompressionResult;
    expect(stages.map(({ name }) => name)).toEqual(['extract', 'sentences', 'zipfit', 'budget']);
  });

  test('a deadline that passes lets out what has been reached, and says so', async () => {
    const args = ['compress', ...query, '--deadline', '0.001', '--budget', '50', 'page.html', 'notes.md'];
    const { code, stderr } = await ragpress(args);
    expect(code).toBe(0);
    expect(stderr).toContain('deadline of 0.001 ms passed');
  });

  test('a file that is no text passes through with its reason', async () => {
    const { code, stdout, stderr } = await ragpress(['compress', ...query, 'image.png', 'notes.md']);
    expect(code).toBe(0);
    expect(stdout).toContain('The Rowan was built in 1987 at Troon.');
    expect(stderr).toContain('\nimage.png: passed through: binary content\n');
  });

  test.each(['latin1.txt', 'utf16.txt'])('%s is decoded', async (file) => {
    const { stdout } = await ragpress(['compress', '--query', 'Wann wurde die Rowan gebaut?', file]);
    expect(stdout).toBe('[1]\nDie Fähre Rowan wurde 1987 gebaut.\n');
  });

  test('nothing kept, and an empty file', async () => {
    const none = await ragpress(['compress', '--query', 'quantum chromodynamics', 'notes.md']);
    expect(none).toMatchObject({ code: 0, stdout: '\n' });
    expect(none.stderr).toContain('\nnothing of the documents was kept\n');
    const empty = await ragpress(['compress', ...query, 'empty.txt']);
    expect(empty).toMatchObject({ code: 0, stdout: '\n' });
    expect(empty.stderr).toMatch(/^0 → 0 tokens: 0% saved/);
  });

  test('a reader that has seen enough ends it quietly', async () => {
    const large = join(folder, 'large.md');
    writeFileSync(large, 'The Rowan was built in 1987.\n\n'.repeat(40_000));
    const command = `'${process.execPath}' '${cli}' compress --query Rowan --stages sentences --deadline Infinity --json large.md | head -n 1; echo "\${PIPESTATUS[0]}"`;
    const { stdout, stderr } = await ragpress(['-c', command], { command: ['bash'] });
    expect(stdout).toBe('{\n0\n');
    expect(stderr).toBe('');
  });
});

describe('explain', () => {
  const explained = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    ragpress(['explain', '--query', 'How much is a day return for an adult?', ...args], { env });

  test('shows kept and dropped in place, with stage and reason, then the stages', async () => {
    const { code, stdout, stderr } = await explained(['--preset', 'fast', '--budget', '60', 'page.html']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    const lines = stdout.split('\n');
    expect(lines[0]).toBe('Query  How much is a day return for an adult?');
    const at = (pattern: RegExp) => lines.findIndex((line) => pattern.test(line));
    const order = [
      /^\+ kept +- dropped +·/,
      /^page\.html .* \d+ → \d+ tokens$/,
      /^ {2}· .*script/,
      /^ {2}- \d+ pieces, [\d,]+ characters: Section 0 \/ Section 1 /,
      /^ {2}- It is run by two ships/,
      /^ {2}\+ ## Fares/,
      /^ {2}\+ Ticket \| Adult/,
      /^ {2}\+ Day return \| 7\.50 +budget: rank 1 of \d+, score [\d.]+$/,
      /^ {2}- Bicycles travel free.* (?:htmlrag|zipfit|sentences|budget): /,
      /^ {2}- © Harbour Line/,
      /^stage +tokens in +out +left +ms$/,
      /^extract /,
      /^budget /,
      /^[\d,]+ → \d+ tokens: \d+% saved, budget 60/,
    ].map(at);
    expect(order).not.toContain(-1);
    expect(order).toEqual([...order].sort((a, b) => a - b));
    expect(lines.every((line) => line.length <= 100)).toBe(true);
  });

  test('--all shows every dropped piece', async () => {
    const { stdout } = await explained(['--budget', '60', '--all', 'page.html']);
    expect(stdout).toMatch(/^ {2}- - Section 17 /m);
    expect(stdout).not.toContain('pieces');
  });

  test('--json has every piece with what became of it', async () => {
    const { stdout } = await explained(['--json', 'page.html', 'notes.md']);
    const { query: asked, documents } = JSON.parse(stdout) as {
      query: string;
      documents: { id: string; text: { text: string; action: string; stage: string; reason: string }[] }[];
    };
    expect(asked).toContain('day return');
    expect(documents.map(({ id }) => id)).toEqual(['page.html', 'notes.md']);
    expect(documents[0]!.text).toContainEqual(
      expect.objectContaining({ text: 'Day return | 7.50', action: 'kept' }),
    );
    expect(documents[0]!.text).toContainEqual(
      expect.objectContaining({ text: 'Section 17', action: 'dropped' }),
    );
  });

  test('colour only where it is asked for, or on a terminal', async () => {
    const escape = '\u001b[';
    expect((await explained(['page.html'])).stdout).not.toContain(escape);
    expect((await explained(['page.html'], { CI: 'true' })).stdout).not.toContain(escape);
    expect((await explained(['page.html'], { FORCE_COLOR: '1' })).stdout).toContain(escape);
    expect((await explained(['page.html'], { FORCE_COLOR: '1', NO_COLOR: '1' })).stdout).not.toContain(
      escape,
    );
  });

  test('a document does not get to move the cursor', async () => {
    const { stdout } = await ragpress(['explain', ...query, 'escape.txt']);
    expect(stdout).toContain('The Rowan \ufffd[31mwas built\ufffd[2J in 1987.');
  });

  test('a file that is no text is not printed', async () => {
    const { stdout } = await ragpress(['explain', ...query, 'image.png', 'empty.txt']);
    expect(stdout).toMatch(/^ {2}\+ 6\d\d characters +extract: passed through: binary$/m);
    expect(stdout).toMatch(/^empty\.txt .*nothing kept\n {2}\(empty\)$/m);
  });
});

describe('mistakes are told in one line, with exit code 2', () => {
  const budgets = ['compress', ...query, 'notes.md'];
  test.each<[string, string[], string]>([
    ['an unknown command', ['compres'], "unknown command 'compres'"],
    ['no query', ['compress', 'notes.md'], "required option '--query <text>' not specified"],
    ['an empty query', ['compress', '--query', ' ', 'notes.md'], '--query: " " cannot be used; say what'],
    ['no file', ['compress', ...query], "missing required argument 'FILE'"],
    [
      'a missing file',
      ['compress', ...query, 'gone.md'],
      'FILE: "gone.md" cannot be used; there is no such file',
    ],
    ['a folder', ['compress', ...query, 'north'], 'FILE: "north" cannot be used; it is a folder'],
    ['standard input twice', ['compress', ...query, '-', '-'], 'FILE: "-" cannot be used; give it once'],
    ['an unknown option', [...budgets, '--bugdet', '3'], "unknown option '--bugdet'"],
    [
      'a budget that is no number',
      [...budgets, '--budget', 'many'],
      '--budget: "many" cannot be used; give a number',
    ],
    ['a negative budget', [...budgets, '--budget', '-5'], '--budget: -5 cannot be used; give a whole number'],
    ['half a token', [...budgets, '--budget', '1.5'], '--budget: 1.5 cannot be used; give a whole number'],
    ['a ratio above 1', [...budgets, '--ratio', '3'], '--ratio: 3 cannot be used; give a share'],
    ['an unknown preset', [...budgets, '--preset', 'turbo'], '--preset: "turbo" cannot be used; give one of'],
    ['an unknown stage', [...budgets, '--stages', 'htmlrag,magic'], '--stages: "magic" cannot be used; give'],
    ['a preset and stages', [...budgets, '--preset', 'fast', '--stages', 'zipfit'], '--stages: '],
    ['an unknown output', [...budgets, '--output', 'pdf'], '--output: "pdf" cannot be used; give markdown'],
    [
      'a deadline of 0',
      [...budgets, '--deadline', '0'],
      '--deadline: 0 cannot be used; give a number of milliseconds',
    ],
    ['a model without a name', [...budgets, '--model', ''], '--model: "" cannot be used; give the name'],
    ['explain, too', ['explain', ...query, '--budget', 'x', 'notes.md'], '--budget: "x" cannot be used'],
    ['serve without an upstream', ['serve'], "required option '--upstream <url>' not specified"],
    [
      'a bad upstream',
      ['serve', '--upstream', 'nonsense'],
      '--upstream: "nonsense" cannot be used; give an http',
    ],
    [
      'a bad port',
      ['serve', '--upstream', 'http://localhost', '--port', '99999'],
      '--port: 99999 cannot be used',
    ],
    [
      'a cache of another API',
      ['serve', '--upstream', 'http://localhost', '--kv-cache', 'x'],
      '--kv-cache: ',
    ],
    ['an empty key', ['serve', '--upstream', 'http://localhost', '--key', ''], '--key: "" cannot be used'],
  ])('%s', async (_, args, message) => {
    const { code, stdout, stderr } = await ragpress(args);
    expect(stderr).toMatch(/^ragpress: [^\n]+\n$/);
    expect(stderr).toContain(`ragpress: ${message}`);
    expect(stdout).toBe('');
    expect(code).toBe(2);
  });

  test('nothing at all gets the usage', async () => {
    const { code, stdout, stderr } = await ragpress([]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('Usage: ragpress');
  });
});

describe('serve', () => {
  /** Starts `serve` on a free port; resolves with its address once it listens. */
  function serve(args: readonly string[]): Promise<{ child: ChildProcess; url: string }> {
    const child = spawn(process.execPath, [cli, 'serve', '--port', '0', ...args], { env: plain });
    return new Promise((resolve, reject) => {
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
        const url = /listens on (\S+)/.exec(stderr)?.[1];
        if (url !== undefined) resolve({ child, url });
      });
      child.once('exit', () => {
        reject(new Error(stderr));
      });
    });
  }

  const exit = (child: ChildProcess) =>
    new Promise<number | null>((resolve) => {
      child.once('exit', resolve);
    });

  test('forwards what it compresses, tells its health, and stops when told to', async () => {
    let received = '';
    const upstream = createServer((request, response) => {
      void (async () => {
        for await (const chunk of request) received += String(chunk);
        response.setHeader('content-type', 'application/json').end('{"choices": []}');
      })();
    });
    await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve));
    const { port } = upstream.address() as AddressInfo;
    const { child, url } = await serve(['--upstream', `http://127.0.0.1:${port}`, '--budget', '40']);
    try {
      const health = await fetch(`${url}/health`);
      expect([health.status, await health.text()]).toEqual([200, 'ok\n']);
      const filler = 'The log of the harbour says little about the ships of those years. '.repeat(20);
      const answer = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          model: 'gpt-4o',
          messages: [
            {
              role: 'system',
              content: `<documents><document index="1"><source>a</source><document_content>${filler}The Rowan was built in 1987.</document_content></document></documents>`,
            },
            { role: 'user', content: 'When was the Rowan built?' },
          ],
        }),
      });
      expect(await answer.json()).toEqual({ choices: [] });
      expect(received).toContain('built in 1987');
      expect(received).not.toContain('The log of the harbour');
      const stopped = exit(child);
      child.kill('SIGTERM');
      expect(await stopped).toBe(0);
    } finally {
      child.kill('SIGKILL');
      upstream.close();
    }
  });

  test('answers by itself with the upstream local', { timeout: 120_000 }, async () => {
    const { child, url } = await serve(['--upstream', 'local', '--budget', '40']);
    try {
      const models = (await (await fetch(`${url}/v1/models`)).json()) as { data: { id: string }[] };
      expect(models.data.map(({ id }) => id)).toEqual([expect.stringMatching(/^smollm2@/)]);
      const answer = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        body: JSON.stringify({
          messages: [{ role: 'user', content: 'When was the Rowan built?' }],
          documents: ['The log of the harbour says little. '.repeat(40), 'The Rowan was built in 1987.'],
          max_tokens: 24,
        }),
      });
      expect(Number(answer.headers.get('x-ragpress-tokens-after'))).toBeLessThanOrEqual(40);
      const { choices } = (await answer.json()) as { choices: { message: { content: string } }[] };
      expect(choices[0]!.message.content).toContain('1987');
      const stopped = exit(child);
      child.kill('SIGTERM');
      expect(await stopped).toBe(0);
    } finally {
      child.kill('SIGKILL');
    }
  });

  test('keeps what it has read in a folder, for the next process too', { timeout: 120_000 }, async () => {
    const cache = mkdtempSync(join(tmpdir(), 'ragpress-kv-'));
    const reused: number[] = [];
    try {
      for (const documents of [
        [
          'The Rowan was built in 1987 at the yard of Kelby, and sailed to Innis until 2024.',
          'The Sorrel carries 52 cars on her open deck, or 30 cars and six lorries.',
        ],
        [
          'The Sorrel carries 52 cars on her open deck, or 30 cars and six lorries.',
          'The Rowan was built in 1987 at the yard of Kelby, and sailed to Innis until 2024.',
        ],
      ]) {
        const { child, url } = await serve(['--upstream', 'local', '--kv-cache', cache]);
        const answer = await fetch(`${url}/v1/chat/completions`, {
          method: 'POST',
          headers: { 'x-ragpress-bypass': '1' },
          body: JSON.stringify({
            messages: [{ role: 'user', content: 'When was the Rowan built?' }],
            documents,
            max_tokens: 4,
          }),
        });
        const { usage } = (await answer.json()) as { usage: { ragpress: { reused_tokens: number } } };
        reused.push(usage.ragpress.reused_tokens);
        const stopped = exit(child);
        child.kill('SIGTERM');
        expect(await stopped).toBe(0);
      }
    } finally {
      rmSync(cache, { recursive: true });
    }
    expect(reused[0]).toBe(0);
    expect(reused[1]).toBeGreaterThan(40);
  });

  test('a port in use is told in one line', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    const { port } = taken.address() as AddressInfo;
    const { code, stderr } = await ragpress([
      'serve',
      '--upstream',
      'http://localhost',
      '--port',
      String(port),
    ]);
    taken.close();
    expect(code).toBe(2);
    expect(stderr).toMatch(
      new RegExp(`^ragpress: --port: ${port} cannot be used; [^\\n]*EADDRINUSE[^\\n]*\\n$`),
    );
  });
});

test('npx ragpress runs it inside the repository', async () => {
  // npx links the repository into its cache, where it would run `prepare` and build dist/ anew under the other tests.
  const { code, stdout } = await ragpress(['--version'], {
    command: ['npx', '--no-install', 'ragpress'],
    cwd: root,
    env: { npm_config_cache: join(folder, 'npm'), npm_config_ignore_scripts: 'true' },
  });
  expect(code).toBe(0);
  expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import type { VectorStoreRetriever } from '@langchain/core/vectorstores';
import { Document } from '@langchain/core/documents';
import { BaseRetriever } from '@langchain/core/retrievers';
import { RunnableLambda, type Runnable } from '@langchain/core/runnables';
import type { RequestHandler } from 'express';
import type { Pipeline } from 'ragpress';
import type { RagpressChatModel } from 'ragpress/langchain';
import { afterEach, beforeAll, expect, test, vi } from 'vitest';
import { pages } from '../../examples/pages.js';
import { answerText, startUpstream } from './upstream.js';

// The README's code, as it stands there: each block becomes a module, run against the built package.
const root = fileURLToPath(new URL('../../', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/```(\w+)\n([^]*?)```/g)].map(([, language, code]) => ({
  language: language!,
  code: code!,
}));
const folder = join(root, 'out', 'readme');
const cli = join(root, 'dist', 'middleware', 'cli.js');
const question = 'How much is a day return for an adult?';
const opened: (() => Promise<unknown> | undefined)[] = [];

beforeAll(() => {
  mkdirSync(folder, { recursive: true });
});

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

/**
 * Runs the block that holds a text.
 * @param given what the block takes for granted
 * @param exported names of the block to hand out
 */
async function runBlock(
  text: string,
  given: Readonly<Record<string, unknown>>,
  exported: readonly string[],
  replaced: readonly (readonly [string, string])[] = [],
): Promise<Record<string, unknown>> {
  const block = blocks.find(({ language, code }) => language === 'ts' && code.includes(text))!;
  let { code } = block;
  for (const [from, to] of replaced) {
    expect(code).toContain(from);
    code = code.replace(from, to);
  }
  const name = `block-${blocks.indexOf(block)}`;
  const key = `readme-${name}`;
  (globalThis as Record<string, unknown>)[key] = given;
  const file = join(folder, `${name}.ts`);
  writeFileSync(
    file,
    `const { ${Object.keys(given).join(', ')} } = globalThis[${JSON.stringify(key)}];\n${code}\nexport { ${exported.join(', ')} };\n`,
  );
  return (await import(pathToFileURL(file).href)) as Record<string, unknown>;
}

async function listen(handler: RequestListener): Promise<string> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  opened.push(() => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('the library', async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  const { context } = await runBlock('createPipeline', { html: pages[0]!.content }, ['context']);
  log.mockRestore();
  expect(context).toContain('Day return | 7.50 | 3.75');
  expect(context).not.toContain('cookies');
});

test('Express', async () => {
  const upstream = await startUpstream();
  opened.push(() => upstream.close());
  const retrieve: RequestHandler = (_request, response, next) => {
    response.locals.documents = pages;
    next();
  };
  const { app } = await runBlock(
    'ragpress/express',
    { retrieve },
    ['app'],
    [['https://api.openai.com', upstream.url]],
  );
  const url = await listen(app as RequestListener);
  const post = async (path: string, value: object) => {
    const headers = { 'content-type': 'application/json' };
    return (await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(value) })).json();
  };
  expect(await post('/ask', { query: question })).toMatchObject({
    context: expect.stringContaining('Day return | 7.50') as string,
  });
  expect(
    await post('/v1/chat/completions', { model: 'gpt-4o', messages: [{ role: 'user', content: question }] }),
  ).toMatchObject({ choices: [{ message: { content: answerText } }] });
});

test('LangChain', async () => {
  class Pages extends BaseRetriever {
    override lc_namespace = ['ragpress', 'test'];
    override _getRelevantDocuments(): Promise<Document[]> {
      return Promise.resolve(pages.map(({ content }) => new Document({ pageContent: content })));
    }
  }
  const vectorStore = { asRetriever: () => new Pages() as unknown as VectorStoreRetriever };
  const prompt = RunnableLambda.from(({ context }: { context: string }) => context);
  const model = RunnableLambda.from((text: string) => text.toUpperCase());
  const { retriever, chain } = (await runBlock('ragpress/langchain', { vectorStore, prompt, model }, [
    'retriever',
    'chain',
  ])) as { retriever: BaseRetriever; chain: Runnable<object, string> };
  const documents = await retriever.invoke(question);
  expect(documents[0]!.pageContent).toContain('Day return | 7.50');
  expect(await chain.invoke({ question, documents })).toContain('DAY RETURN | 7.50');
});

test('summaries', { timeout: 60_000 }, async () => {
  const summary = 'The Rowan was launched in 1987 at Kelby.';
  const url = await listen((_request, response) => {
    response.end(JSON.stringify({ choices: [{ message: { content: summary }, finish_reason: 'stop' }] }));
  });
  const { pipeline } = (await runBlock(
    'endpointSummaries',
    { apiKey: 'key' },
    ['pipeline'],
    [['https://api.openai.com', url]],
  )) as { pipeline: Pipeline };
  opened.push(() => pipeline.close());
  const content =
    'The Rowan (which the harbour calls the old lady, and the island the late one, and which every child between the two has drawn at school in blue and white, with smoke above) was launched in 1987 at Kelby.';
  const { documents } = await pipeline.compress({
    query: 'When was the Rowan launched?',
    documents: [{ id: 'a', content }],
  });
  expect(documents).toMatchObject([{ origin: 'generated', generated: [{ sources: [{ start: 0 }] }] }]);
  expect(documents[0]!.content).toBe(summary);
});

test('documents that were read before', { timeout: 120_000 }, async () => {
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  const cacheFolder = mkdtempSync(join(tmpdir(), 'ragpress-readme-'));
  opened.push(() => {
    rmSync(cacheFolder, { recursive: true });
    return undefined;
  });
  const ships = [
    'The ferry Rowan was launched in 1987 at Kelby, and carries 28 cars between the harbour and the island.',
    'The ferry Sorrel came from the yard at Tallis in 2024, and carries 52 cars on her open deck.',
  ];
  const contextOf = (list: string[]) => list.map((text, i) => `[${i + 1}] ${text}`).join('\n\n');
  const contexts = [contextOf(ships), contextOf(ships.toReversed())];
  await runBlock('ragpress/kvreuse', { cacheFolder, contexts, question: 'When was the Rowan launched?' }, []);
  const [first, second] = log.mock.calls as [string, { reused: number }][];
  log.mockRestore();
  expect(first![1].reused).toBe(0);
  expect(second![1].reused).toBeGreaterThan(40);
});

test('LangChain with the embedded reader', { timeout: 120_000 }, async () => {
  const pipeline = { budget: { tokens: 200 } };
  const { chain, model } = (await runBlock('answerStep', { pipeline }, ['chain', 'model'])) as {
    chain: Runnable<object, { answer: string }>;
    model: RagpressChatModel;
  };
  const documents = [new Document({ pageContent: 'The ferry Rowan was launched in 1987 at Kelby.' })];
  const { answer } = await chain.invoke({ question: 'When was the ferry Rowan launched?', documents });
  expect(answer).toContain('1987');
  expect((await model.invoke('Say hello.')).text).not.toBe('');
  await model.close();
});

test('the embedded reader', { timeout: 120_000 }, async () => {
  const write = vi.spyOn(process.stdout, 'write').mockImplementation(() => true);
  const context = '[1] Rowan\nThe ferry Rowan was launched in 1987 at Kelby.';
  await runBlock('Decoder.load', { question: 'When was the ferry Rowan launched?', context }, ['decoder']);
  const said = write.mock.calls.map(([piece]) => String(piece)).join('');
  write.mockRestore();
  expect(said).toContain('1987');
});

test('the AI SDK', async () => {
  const upstream = await startUpstream();
  opened.push(() => upstream.close());
  const openai = createOpenAICompatible({ name: 'openai', baseURL: `${upstream.url}/v1`, apiKey: 'sk' });
  const prompt = `<source id="1">${pages[0]!.content}</source>\n\n${question}`;
  const { text } = await runBlock('ragpress/ai', { openai, prompt }, ['text']);
  expect(text).toBe(answerText);
  expect(upstream.received[0]!.body).toContain('Day return | 7.50');
  expect(upstream.received[0]!.body).not.toContain('cookies');
});

/** The arguments of the README's command that begins so, without its comment. */
function commandArguments(beginning: string): string[] {
  const line = blocks
    .filter(({ language }) => language === 'sh')
    .flatMap(({ code }) => code.split('\n'))
    .find((each) => each.startsWith(`npx ragpress ${beginning}`))!;
  const command = line.replace(/\s#.*$/, '').slice('npx ragpress '.length);
  return [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!);
}

test('the proxy', async () => {
  const upstream = await startUpstream();
  opened.push(() => upstream.close());
  const [serve, , , ...rest] = commandArguments('serve');
  const proxy: ChildProcess = spawn(
    process.execPath,
    [cli, serve!, '--upstream', upstream.url, ...rest, '--port', '0'],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  opened.push(() => {
    proxy.kill();
    return new Promise((resolve) => proxy.once('exit', resolve));
  });
  let url = '';
  for await (const line of createInterface({ input: proxy.stderr! })) {
    url = /http:\/\/127\.0\.0\.1:\d+/.exec(line)?.[0] ?? '';
    if (url !== '') break;
  }
  const { client } = (await runBlock(
    'new OpenAI',
    { apiKey: 'sk-readme' },
    ['client'],
    [['http://127.0.0.1:8787', url]],
  )) as { client: import('openai').OpenAI };
  const answer = await client.chat.completions.create({
    model: 'gpt-4o',
    messages: [{ role: 'user', content: `<source id="1">${pages[0]!.content}</source>\n\n${question}` }],
  });
  expect(answer.choices[0]!.message.content).toBe(answerText);
  expect(upstream.received[0]!.body).not.toContain('cookies');
});

test('the command line', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ragpress-'));
  opened.push(() => {
    rmSync(directory, { recursive: true });
    return undefined;
  });
  writeFileSync(join(directory, 'fares.html'), pages[0]!.content);
  writeFileSync(join(directory, 'notes.md'), pages[1]!.content);
  const run = promisify(execFile);
  const compressed = await run(process.execPath, [cli, ...commandArguments('compress')], { cwd: directory });
  expect(JSON.parse(compressed.stdout)).toMatchObject({
    context: expect.stringContaining('Day return | 7.50') as string,
    tokens: { budget: 400 },
  });
  const explained = await run(process.execPath, [cli, ...commandArguments('explain')], { cwd: directory });
  expect(explained.stdout).toContain('Day return');
  expect(explained.stdout).toContain('cookies');
});

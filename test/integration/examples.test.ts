import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { BaseMessage } from '@langchain/core/messages';
import type { ChatPromptValue } from '@langchain/core/prompt_values';
import { AIMessage } from '@langchain/core/messages';
import { afterEach, describe, expect, test } from 'vitest';
import { ask as askThroughSdk } from '../../examples/ai.js';
import { createApp } from '../../examples/express.js';
import { createChain, createRetriever } from '../../examples/langchain.js';
import { ask as askLocally } from '../../examples/local.js';
import { pages } from '../../examples/pages.js';
import { ask } from '../../examples/proxy.js';
import { answerText, startUpstream, type Upstream } from './upstream.js';

const question = 'How much is a day return for an adult?';
const opened: { close(): Promise<unknown> }[] = [];

afterEach(async () => {
  for (const open of opened.splice(0).reverse()) await open.close();
});

async function openUpstream(): Promise<Upstream> {
  const upstream = await startUpstream();
  opened.push(upstream);
  return upstream;
}

describe('the example of', () => {
  test('the proxy', async () => {
    const upstream = await openUpstream();
    const answer = await ask(`${upstream.url}/v1`, 'sk-example', question);
    const [, before, after] = /^A day return is 7\.50\. \((\d+) → (\d+) tokens of context\)$/.exec(answer)!;
    expect(Number(before)).toBeGreaterThan(300);
    expect(Number(after)).toBeLessThanOrEqual(120);
    expect(upstream.received[0]!.headers.authorization).toBe('Bearer sk-example');
    expect(upstream.received[0]!.body).toContain('Day return | 7.50 | 3.75');
    expect(upstream.received[0]!.body).not.toContain('cookies');
  });

  test('the embedded model', { timeout: 120_000 }, async () => {
    expect(await askLocally('In which year was the Rowan built?')).toContain('1987');
  });

  test('Express', async () => {
    const upstream = await openUpstream();
    const server = createServer(createApp(upstream.url));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push({
      close: () => {
        server.closeAllConnections();
        return new Promise((resolve) => server.close(resolve));
      },
    });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const post = async (path: string, value: object) =>
      (
        await fetch(url + path, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify(value),
        })
      ).json();

    const answer = (await post('/ask', { query: question })) as { prompt: string; tokens: { after: number } };
    expect(answer.prompt).toContain('Day return | 7.50 | 3.75');
    expect(answer.prompt).not.toContain('cookies');
    expect(answer.tokens.after).toBeLessThanOrEqual(120);

    const sources = pages.map(({ id, content }) => `<source id="${id}">${content}</source>`).join('\n');
    const completion = await post('/v1/chat/completions', {
      model: 'gpt-4o',
      messages: [{ role: 'user', content: `${sources}\n\n${question}` }],
    });
    expect(completion).toMatchObject({ choices: [{ message: { content: answerText } }] });
    expect(upstream.received[0]!.body).toContain('Day return | 7.50 | 3.75');
    expect(upstream.received[0]!.body).not.toContain('cookies');
  });

  test('the AI SDK', async () => {
    const upstream = await openUpstream();
    expect(await askThroughSdk(`${upstream.url}/v1`, 'sk-example', question)).toBe(answerText);
    expect(upstream.received[0]!.headers.authorization).toBe('Bearer sk-example');
    expect(upstream.received[0]!.body).toContain('Day return | 7.50 | 3.75');
    expect(upstream.received[0]!.body).not.toContain('cookies');
  });

  test('LangChain', async () => {
    const found = await createRetriever().invoke(question);
    expect(found.map(({ pageContent }) => pageContent).join('\n')).toContain('Day return | 7.50 | 3.75');
    expect(found[0]!.metadata).toMatchObject({
      title: 'Fares and tickets',
      ragpress: { tokensBefore: expect.any(Number) as number },
    });

    let prompt: BaseMessage[] = [];
    const chain = createChain((value: ChatPromptValue) => {
      prompt = value.messages;
      return new AIMessage('7.50');
    });
    expect(await chain.invoke({ question })).toBe('7.50');
    expect(prompt[0]!.text).toContain('Day return | 7.50 | 3.75');
    expect(prompt[0]!.text).toContain(`Question: ${question}`);
    expect(prompt[0]!.text).not.toContain('cookies');
  });
});

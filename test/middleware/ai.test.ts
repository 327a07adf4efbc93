import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, stepCountIs, streamText, tool, wrapLanguageModel, type ModelMessage } from 'ai';
import { afterEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import type { Compressor } from 'ragpress';
import { ragpressMiddleware, type AiReport, type RagpressMiddlewareOptions } from 'ragpress/ai';
import {
  answerLikeOpenAI,
  answerText,
  startUpstream,
  type Answer,
  type Upstream,
} from '../integration/upstream.js';
import { ferry, question, yard } from './requests/prompts.js';

const pipeline = { budget: { tokens: 60 } };
const sources = `<source id="1">${ferry}</source>\n<source id="2">${yard}</source>`;
const opened: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function start(options: RagpressMiddlewareOptions = { pipeline }, answer: Answer = answerLikeOpenAI) {
  const upstream = await startUpstream(answer);
  const middleware = ragpressMiddleware(options);
  opened.push(
    () => upstream.close(),
    () => middleware.close(),
  );
  const provider = createOpenAICompatible({ name: 'upstream', baseURL: `${upstream.url}/v1`, apiKey: 'sk' });
  return { upstream, middleware, model: wrapLanguageModel({ model: provider('gpt-4o'), middleware }) };
}

function messagesSent({ received }: Upstream, index = 0): { role: string; content: string }[] {
  return (JSON.parse(received[index]!.body) as { messages: { role: string; content: string }[] }).messages;
}

describe('ragpressMiddleware', () => {
  test('compresses the documents of a prompt, and says what it did', async () => {
    const reports: AiReport[] = [];
    const { upstream, model } = await start({ pipeline, onCompressed: (report) => reports.push(report) });
    const { text } = await generateText({ model, system: 'Be brief.', prompt: `${sources}\n\n${question}` });
    expect(text).toBe(answerText);
    const [system, user] = messagesSent(upstream);
    expect(system).toEqual({ role: 'system', content: 'Be brief.' });
    expect(user!.content).toContain('<source id="1">');
    expect(user!.content).toContain('7.50');
    expect(user!.content.endsWith(question)).toBe(true);
    expect(user!.content.length).toBeLessThan(0.6 * sources.length);
    expect(reports).toHaveLength(1);
    expect(reports[0]).toMatchObject({ counter: 'o200k_base', errors: [] });
    expect(reports[0]!.after).toBeLessThanOrEqual(60);
    expect(reports[0]!.before).toBeGreaterThan(reports[0]!.after);
  });

  test('leaves a prompt without documents, and streams, as they are', async () => {
    const { upstream, model } = await start();
    const { textStream } = streamText({ model, prompt: question });
    let text = '';
    for await (const part of textStream) text += part;
    expect(text).toBe(answerText);
    expect(messagesSent(upstream)).toEqual([{ role: 'user', content: question }]);
  });

  test("compresses a tool's result for the call that asked for it", async () => {
    let turns = 0;
    const { upstream, model } = await start({ pipeline }, (received, response) => {
      if (turns++ > 0) return answerLikeOpenAI(received, response);
      const call = { name: 'readPage', arguments: '{"topic":"fares"}' };
      const message = { role: 'assistant', tool_calls: [{ id: 'c1', type: 'function', function: call }] };
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(
        JSON.stringify({
          id: 'x',
          created: 1,
          model: 'gpt-4o',
          object: 'chat.completion',
          choices: [{ index: 0, finish_reason: 'tool_calls', message }],
        }),
      );
      return undefined;
    });
    const readPage = tool({
      description: 'Reads a page',
      inputSchema: z.object({ topic: z.string() }),
      execute: () => ferry,
    });
    const { text } = await generateText({
      model,
      prompt: question,
      tools: { readPage },
      stopWhen: stepCountIs(3),
    });
    expect(text).toBe(answerText);
    const result = messagesSent(upstream, 1).at(-1)!;
    expect(result).toMatchObject({ role: 'tool', tool_call_id: 'c1' });
    expect(result.content).toContain('7.50');
    expect(result.content.length).toBeLessThan(ferry.length);
    expect(result.content).not.toContain('All rights reserved');
  });

  test('messages up to a cache breakpoint stay as they are', async () => {
    const { middleware } = await start();
    const cached = { anthropic: { cacheControl: { type: 'ephemeral' } } };
    const prompt = (providerOptions?: object) => [
      { role: 'user', content: [{ type: 'text', text: `${sources}\n\n${question}`, providerOptions }] },
    ];
    const transform = (params: { prompt: object[] }) =>
      middleware.transformParams({ params, model: { modelId: 'claude-sonnet-4-5' } });
    const untouched = { prompt: prompt(cached) };
    expect(await transform(untouched)).toBe(untouched);
    const { prompt: compressed } = await transform({ prompt: prompt() });
    expect(JSON.stringify(compressed).length).toBeLessThan(JSON.stringify(prompt()).length);
  });

  test('does not change the prompt that it is given', async () => {
    const { model } = await start();
    const messages: ModelMessage[] = [
      { role: 'user', content: [{ type: 'text', text: `${sources}\n\n${question}` }] },
    ];
    const before = structuredClone(messages);
    await generateText({ model, messages });
    expect(messages).toEqual(before);
  });

  test('what fails goes through as it was, with the reason', async () => {
    const failing: Compressor = { name: 'failing', compress: () => Promise.reject(new Error('no luck')) };
    const reports: AiReport[] = [];
    const { upstream, model } = await start({
      pipeline: { stages: [failing] },
      onCompressed: (report) => reports.push(report),
    });
    await generateText({ model, prompt: `${sources}\n\n${question}` });
    expect(messagesSent(upstream)[0]!.content).toContain('7.50');
    expect(reports[0]!.errors.join()).toContain('failing: no luck');
  });

  test.each([
    [{ pipeline: { preset: 'slow' } }, 'preset'],
    [{ systemQuestion: 'middle' }, 'systemQuestion'],
    [{ onCompressed: 3 }, 'onCompressed'],
    [{ budget: 3 }, 'budget'],
  ])('options that cannot be used are named at start: %j', (options, field) => {
    expect(() => ragpressMiddleware(options as RagpressMiddlewareOptions)).toThrow(
      expect.objectContaining({ name: 'ConfigurationError', field }) as Error,
    );
  });
});

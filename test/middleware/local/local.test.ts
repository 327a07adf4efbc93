import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { streamText } from 'ai';
import express from 'express';
import OpenAI, { APIError } from 'openai';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { ragpress } from 'ragpress/express';
import { createProxy, serve, type ServeOptions, type Serving } from 'ragpress/proxy';
import { NO_ANSWER } from '../../../models/decoder/reader-prompt.js';
import { ModelError } from '../../../models/model-error.js';
import { ConfigurationError } from '../../../settings/configuration-error.js';
import { serve as serveFromSource } from '../../../middleware/proxy.js';
import type { TextGenerator } from '../../../middleware/lazy-decoder.js';
import type { Usage } from '../../../middleware/local/usage.js';
import { ferry, prompts, yard } from '../requests/prompts.js';
import { scriptedGenerator } from './scripted-generator.js';

const context = prompts[0]!.text;
const rowan = `<source id="1">${ferry}</source>\n<source id="2">${yard}</source>\n\nIn which year was the Rowan built?`;
const opened: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const open of opened.splice(0).reverse()) await open.close();
});

function clientOf({ url }: { readonly url: string }): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-caller', maxRetries: 0 });
}

/** The request as it stands, whatever the client's types say of it. */
type ChatRequest = OpenAI.ChatCompletionCreateParamsNonStreaming;
type CompletionRequest = OpenAI.CompletionCreateParamsNonStreaming;

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) =>
    server.close(() => {
      resolve();
    }),
  );
}

function user(content: string): OpenAI.ChatCompletionMessageParam[] {
  return [{ role: 'user', content }];
}

describe('the embedded model', { timeout: 120_000 }, () => {
  const lines: string[] = [];
  let server: Serving;
  let client: OpenAI;

  beforeAll(async () => {
    const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    server = await serve({ upstream: 'local', port: 0, logger, pipeline: { budget: { tokens: 120 } } });
    client = clientOf(server);
  }, 120_000);

  afterAll(() => server.close());

  test('answers from the documents of a request, which it reads compressed', async () => {
    const { data, response } = await client.chat.completions
      .create({ model: 'gpt-4o', messages: user(context), max_completion_tokens: 32 })
      .withResponse();
    expect(data).toMatchObject({
      id: expect.stringMatching(/^chatcmpl-/) as string,
      object: 'chat.completion',
      model: expect.stringMatching(/^smollm2@/) as string,
      choices: [{ index: 0, message: { role: 'assistant' }, finish_reason: 'stop' }],
    });
    expect(data.choices).toHaveLength(1);
    expect(data.choices[0]!.message.content).toContain('7.50');
    expect(Math.abs(data.created - Date.now() / 1000)).toBeLessThan(60);
    const before = Number(response.headers.get('x-ragpress-tokens-before'));
    const after = Number(response.headers.get('x-ragpress-tokens-after'));
    expect(after).toBeLessThan(before);
    expect(after).toBeLessThanOrEqual(120);

    const uncompressed = await client.chat.completions.create(
      { model: 'gpt-4o', messages: user(context), max_completion_tokens: 1 },
      { headers: { 'x-ragpress-bypass': '1' } },
    );
    expect(data.usage!.prompt_tokens).toBeLessThan(uncompressed.usage!.prompt_tokens);
    expect(data.usage!.completion_tokens).toBeLessThanOrEqual(32);
    expect(data.usage!.total_tokens).toBe(data.usage!.prompt_tokens + data.usage!.completion_tokens);
  });

  test('reads documents that it has read before from their caches, and says how many tokens those were', async () => {
    const ask = (first: string, second: string, question: string) =>
      client.chat.completions.create(
        {
          model: 'any',
          messages: user(`[1] ${first}\n\n[2] ${second}\n\nQuestion: ${question}`),
          max_completion_tokens: 4,
        },
        { headers: { 'x-ragpress-bypass': '1' } },
      );
    const reuseOf = ({ usage }: OpenAI.ChatCompletion) => (usage as Usage).ragpress!;
    const fresh = await ask(ferry, yard, 'when was the Rowan built?');
    expect(reuseOf(fresh).computed_tokens).toBeGreaterThan(0.5 * fresh.usage!.prompt_tokens);
    const known = await ask(yard, ferry, 'what does a single cost?');
    const { reused_tokens, repaired_tokens, computed_tokens } = reuseOf(known);
    expect(reused_tokens).toBeGreaterThan(0.6 * known.usage!.prompt_tokens);
    expect(reused_tokens + repaired_tokens + computed_tokens).toBe(known.usage!.prompt_tokens);
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics).toMatch(/ragpress_prompt_tokens_total\{source="reused"\} [1-9]/);
  });

  test('streams the same answer in pieces, and its usage where it is asked for', async () => {
    const request = { model: 'any', messages: user(context), max_completion_tokens: 32 };
    const whole = await client.chat.completions.create(request);
    const { data: stream, response } = await client.chat.completions
      .create({ ...request, stream: true, stream_options: { include_usage: true } })
      .withResponse();
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    expect(response.headers.get('x-ragpress-tokens-after')).not.toBeNull();
    const chunks = await collect(stream);
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')).toBe(
      whole.choices[0]!.message.content,
    );
    expect(chunks.length).toBeGreaterThan(3);
    expect(chunks[0]!.choices[0]!.delta.role).toBe('assistant');
    expect(chunks.at(-2)!.choices[0]!.finish_reason).toBe('stop');
    // What was read once is not computed again.
    const { prompt_tokens, completion_tokens } = whole.usage!;
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: { prompt_tokens, completion_tokens } });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(new Set(chunks.map(({ id, model }) => `${id} ${model}`)).size).toBe(1);

    const plain = await collect(await client.chat.completions.create({ ...request, stream: true }));
    expect(plain.some((chunk) => 'usage' in chunk)).toBe(false);
    expect(plain.at(-1)!.choices[0]!.finish_reason).toBe('stop');
  });

  test("the SDK's own streaming helper and events as they are", async () => {
    const helper = client.chat.completions.stream({
      model: 'any',
      messages: user(context),
      max_completion_tokens: 8,
    });
    expect(await helper.finalContent()).toBe(
      (
        await client.chat.completions.create({
          model: 'any',
          messages: user(context),
          max_completion_tokens: 8,
        })
      ).choices[0]!.message.content,
    );
    const response = await fetch(`${server.url}/v1/chat/completions`, {
      method: 'POST',
      body: JSON.stringify({ messages: user('Hello'), max_tokens: 2, stream: true }),
    });
    const text = await response.text();
    expect(text).toMatch(/^(?:data: \{.*\}\n\n)+data: \[DONE\]\n\n$/);
  });

  test('the AI SDK reads its stream', async () => {
    const provider = createOpenAICompatible({
      name: 'local',
      baseURL: `${server.url}/v1`,
      includeUsage: true,
    });
    const { textStream, usage } = streamText({ model: provider('any'), prompt: rowan, maxOutputTokens: 24 });
    expect((await collect(textStream)).join('')).toContain('1987');
    expect((await usage).outputTokens).toBeGreaterThan(0);
  });

  test('takes the field `documents`, parts of text, and every role that a conversation has', async () => {
    const { data, response } = await client.chat.completions
      .create({
        model: 'any',
        max_completion_tokens: 24,
        messages: user('In which year was the Rowan built?'),
        documents: [ferry, { title: 'Rowan', text: yard }],
      } as ChatRequest)
      .withResponse();
    expect(data.choices[0]!.message.content).toContain('1987');
    expect(response.headers.get('x-ragpress-tokens-before')).not.toBeNull();
    const said = await client.chat.completions.create({
      model: 'any',
      max_completion_tokens: 3,
      messages: [
        { role: 'developer', content: 'Be brief.' },
        { role: 'user', content: [{ type: 'text', text: 'Say a word.' }] },
        { role: 'assistant', content: 'Boat.' },
        { role: 'user', content: 'Another one.' },
      ],
    });
    expect(said.usage!.completion_tokens).toBeLessThanOrEqual(3);
  });

  test('ends at a stop string, which is not part of the answer, and after max_tokens', async () => {
    const request = { model: 'any', messages: user(rowan), max_completion_tokens: 24 };
    const text = (await client.chat.completions.create(request)).choices[0]!.message.content!;
    expect(text).toContain('1987');
    const before = text.slice(0, text.indexOf('98'));
    for (const stop of ['98', ['\u0000', '98']]) {
      const { choices } = await client.chat.completions.create({ ...request, stop });
      expect(choices[0]!.message.content).toBe(before);
      expect(choices[0]!.finish_reason).toBe('stop');
    }
    const chunks = await collect(
      await client.chat.completions.create({ ...request, stop: '98', stream: true }),
    );
    expect(chunks.map(({ choices }) => choices[0]!.delta.content ?? '').join('')).toBe(before);
    const cut = await client.chat.completions.create({ ...request, max_completion_tokens: 1 });
    expect(cut.choices[0]!.finish_reason).toBe('length');
    expect(cut.usage!.completion_tokens).toBe(1);
  });

  test('completes prompts: one, several, and token ids', async () => {
    const one = await client.completions.create({ model: 'any', prompt: 'The sea is', max_tokens: 4 });
    expect(one).toMatchObject({
      id: expect.stringMatching(/^cmpl-/) as string,
      object: 'text_completion',
      choices: [{ index: 0, logprobs: null }],
    });
    const prompt = ['The sea is', 'A ship has'];
    const two = await client.completions.create({ model: 'any', prompt, max_tokens: 4 });
    expect(two.choices.map(({ index }) => index)).toEqual([0, 1]);
    expect(two.choices[0]).toEqual(one.choices[0]);
    expect(two.usage!.prompt_tokens).toBeGreaterThan(one.usage!.prompt_tokens);
    expect(two.usage!.completion_tokens).toBeLessThanOrEqual(8);
    const stream = await client.completions.create({
      model: 'any',
      prompt,
      max_tokens: 4,
      stream: true,
      stream_options: { include_usage: true },
    });
    const texts: Record<number, string> = { 0: '', 1: '' };
    const ended: Record<number, string> = {};
    let usage: unknown;
    for await (const chunk of stream) {
      for (const { index, text, finish_reason } of chunk.choices) {
        texts[index] = texts[index]! + text;
        ended[index] = finish_reason;
      }
      usage = chunk.usage ?? usage;
    }
    expect(Object.values(texts)).toEqual(two.choices.map(({ text }) => text));
    expect(Object.values(ended)).toEqual(two.choices.map(({ finish_reason }) => finish_reason));
    const { prompt_tokens, completion_tokens } = two.usage!;
    expect(usage).toMatchObject({ prompt_tokens, completion_tokens });
    const ids = await client.completions.create({ model: 'any', prompt: [504, 4000, 314], max_tokens: 2 });
    expect(ids.usage!.prompt_tokens).toBe(3);
  });

  test('gives the same answer again, and another for another seed', async () => {
    const say = async (more: object) => {
      const request = { model: 'any', prompt: 'On the sea,', max_tokens: 8, ...more };
      return (await client.completions.create(request)).choices[0]!.text;
    };
    const greedy = await say({});
    expect(await say({})).toBe(greedy);
    expect(await say({ temperature: 2, top_k: 1 })).toBe(greedy);
    expect(await say({ temperature: 2, top_p: 0 })).toBe(greedy);
    const seeded = await say({ temperature: 2, seed: 7 });
    expect(await say({ temperature: 2, seed: 7 })).toBe(seeded);
    const others = [];
    for (const seed of [8, 9, 10]) others.push(await say({ temperature: 2, seed }));
    expect(others.some((other) => other !== seeded)).toBe(true);
  });

  test('is the one model in the list', async () => {
    const models = await collect(client.models.list());
    expect(models).toHaveLength(1);
    expect(models[0]).toMatchObject({ id: expect.stringMatching(/^smollm2@/) as string, object: 'model' });
    expect(await client.models.retrieve(models[0]!.id)).toEqual(models[0]);
    await expect(client.models.retrieve('gpt-4o')).rejects.toMatchObject({
      status: 404,
      code: 'model_not_found',
    });
  });

  test('says that a prompt is too long, streamed or not', async () => {
    const messages = user('All at sea. '.repeat(20_000));
    for (const stream of [false, true]) {
      await expect(client.chat.completions.create({ model: 'any', messages, stream })).rejects.toMatchObject({
        status: 400,
        code: 'context_length_exceeded',
        type: 'invalid_request_error',
        message: expect.stringMatching(/\d+ tokens/) as string,
      });
    }
  });

  test('a client that goes away in the middle leaves the others their turn', async () => {
    const controller = new AbortController();
    const stream = await client.completions.create(
      { model: 'any', prompt: 'One, two, three,', max_tokens: 1_000, temperature: 2, stream: true },
      { signal: controller.signal },
    );
    let seen = 0;
    for await (const { choices } of stream) if ((seen += choices.length) === 3) controller.abort();
    expect(seen).toBeLessThan(10);
    const { choices } = await client.completions.create({ model: 'any', prompt: 'The', max_tokens: 1 });
    expect(choices).toHaveLength(1);
    await vi.waitFor(() => {
      expect(lines.some((line) => line.includes('"failure"') && line.includes('/v1/completions'))).toBe(true);
    });
  });

  test('answers fifty requests at once, each its own', async () => {
    const say = async (word: number) => {
      const request = { model: 'any', prompt: `${word}, ${word}, ${word},`, max_tokens: 3 };
      const { choices } = await client.completions.create(request);
      return choices[0]!.text;
    };
    const words = Array.from({ length: 50 }, (_, index) => 50 + index);
    const answers = await Promise.all(words.map(say));
    expect(answers).toHaveLength(50);
    for (const index of [0, 27, 49]) expect(answers[index]).toBe(await say(words[index]!));
  });

  test('logs hold no text and no keys', () => {
    expect(lines.length).toBeGreaterThan(50);
    expect(lines.join('')).not.toMatch(/sk-caller|Rowan|day return|All at sea|One, two/i);
    expect(JSON.parse(lines[0]!)).toMatchObject({ path: '/v1/chat/completions', status: 200 });
  });
});

/** Servers of a scripted model, for what a real one cannot be made to do. */
async function start(
  script: Parameters<typeof scriptedGenerator>[0] = () => ['A ', 'word.'],
  options: Partial<ServeOptions> = {},
) {
  const decoder = scriptedGenerator(script);
  const server = await serve({
    upstream: 'local',
    decoder,
    port: 0,
    logger: pino({ level: 'silent' }),
    ...options,
  });
  opened.push(server);
  return { decoder, server, client: clientOf(server) };
}

describe('what a request asks for', () => {
  test('reaches the decoder; null is as if it were not there', async () => {
    const { decoder, client } = await start();
    const nothing = {
      max_tokens: null,
      temperature: null,
      top_p: null,
      seed: null,
      stop: null,
      n: null,
      stream: null,
      logprobs: null,
      tool_choice: null,
      response_format: null,
      functions: null,
      presence_penalty: null,
      abstention: null,
    };
    const unknown = {
      user: 'u',
      metadata: {},
      tools: [],
      tool_choice: 'auto',
      top_a: 1,
      n: 1,
      logprobs: false,
    };
    const asked = {
      temperature: 0.7,
      top_p: 0.9,
      top_k: 40,
      seed: 5,
      stop: ['\n', 'END'],
      max_tokens: 9,
      frequency_penalty: 0.5,
      presence_penalty: -1,
      abstention: { probability: 0.1 },
      response_format: { type: 'text' },
    };
    for (const more of [{}, nothing, unknown, asked, { max_tokens: 9, max_completion_tokens: 7, top_k: -1 }])
      await client.chat.completions.create({
        model: 'x',
        messages: user('Hi'),
        ...more,
      } as unknown as ChatRequest);
    expect(decoder.asked.map(({ options: { signal: _, ...options } }) => options)).toEqual([
      {},
      {},
      {},
      {
        temperature: 0.7,
        topP: 0.9,
        topK: 40,
        seed: 5,
        stop: ['\n', 'END'],
        maxTokens: 9,
        frequencyPenalty: 0.5,
        presencePenalty: -1,
        abstention: { text: NO_ANSWER, probability: 0.1 },
      },
      { maxTokens: 7 },
    ]);
    await client.completions.create({ model: 'x', prompt: 'Hi' });
    expect(decoder.asked.at(-1)).toMatchObject({ input: { prompt: 'Hi' }, options: { maxTokens: 16 } });
  });

  test('documents go before the last question, under an instruction where there is none', async () => {
    const { decoder, client } = await start();
    const documents = [{ title: 'Ships', data: { snippet: 'The Rowan.' } }, { text: ' ' }, 'The Alder.'];
    const ask = async (messages: object[]) => {
      await client.chat.completions.create({ model: 'x', messages, documents } as unknown as ChatRequest, {
        headers: { 'x-ragpress-bypass': '1' },
      });
      return (decoder.asked.at(-1)!.input as { messages: { role: string; content: string }[] }).messages;
    };
    const put = '[1]\nThe Rowan.\n\n[2]\nThe Alder.\n\nQuestion: Which ship?';
    const [instruction, ...rest] = await ask([{ role: 'user', content: 'Which ship?' }]);
    expect(instruction).toMatchObject({
      role: 'system',
      content: expect.stringContaining('The documents do not say.') as string,
    });
    expect(rest).toEqual([{ role: 'user', content: put }]);
    expect(
      await ask([
        { role: 'system', content: 'Be brief.' },
        { role: 'user', content: 'Hello' },
        { role: 'assistant', content: null },
        { role: 'user', content: 'Which ship?' },
      ]),
    ).toEqual([
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'Hello' },
      { role: 'assistant', content: '' },
      { role: 'user', content: put },
    ]);
    expect(await ask([{ role: 'system', content: 'Speak.' }])).toHaveLength(1);
  });

  const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } };
  test.each<[object, string, string]>([
    [{ messages: [] }, 'messages', 'give a message'],
    [{ messages: 'Hi' }, 'messages', 'give a list of messages'],
    [{ messages: [{ role: 'tool', tool_call_id: 'a', content: 'x' }] }, 'messages[0].role', 'tools'],
    [{ messages: [{ role: 'user', content: [image] }] }, 'messages[0].content', 'give a text'],
    [{ messages: [{ role: 'user' }] }, 'messages[0].content', 'give a text'],
    [{ n: 2 }, 'n', 'one answer'],
    [{ temperature: 3 }, 'temperature', 'give 2 at most'],
    [{ abstention: { probability: 0 } }, 'abstention.probability', 'give more than 0'],
    [{ temperature: 'hot' }, 'temperature', 'give a number'],
    [{ top_p: 1.5 }, 'top_p', 'give 1 at most'],
    [{ max_tokens: 0 }, 'max_tokens', 'give 1 or more'],
    [{ max_completion_tokens: 1.5 }, 'max_completion_tokens', 'give a whole number'],
    [{ stop: ['a', ''] }, 'stop[1]', 'not empty'],
    [{ stop: 5 }, 'stop', 'give a text or a list of texts'],
    [{ presence_penalty: -3 }, 'presence_penalty', 'give -2 or more'],
    [{ stream: 'yes' }, 'stream', 'give true or false'],
    [{ tool_choice: 'required', tools: [] }, 'tool_choice', 'no tools'],
    [{ tool_choice: { type: 'function', function: { name: 'f' } } }, 'tool_choice', 'no tools'],
    [{ function_call: { name: 'f' } }, 'function_call', 'no functions'],
    [{ response_format: { type: 'json_object' } }, 'response_format', 'answers are text'],
    [{ response_format: { type: 'json_schema', json_schema: { name: 'a' } } }, 'response_format', 'text'],
    [{ logprobs: true }, 'logprobs', 'no log probabilities'],
    [{ modalities: ['text', 'audio'] }, 'modalities', 'answers are text'],
  ])('and what cannot be is refused: %j', async (more, param, message) => {
    const { client, decoder } = await start();
    const asked = client.chat.completions.create({
      model: 'x',
      messages: user('Hi'),
      ...more,
    } as ChatRequest);
    const error = await asked.catch((error: unknown) => error);
    expect(error).toBeInstanceOf(OpenAI.BadRequestError);
    expect(error).toMatchObject({ status: 400, param, type: 'invalid_request_error' });
    expect((error as APIError).message).toContain(`${param}: `);
    expect((error as APIError).message).toContain(message);
    expect(decoder.asked).toEqual([]);
  });

  test.each<[object, string]>([
    [{ prompt: undefined }, 'prompt'],
    [{ prompt: '' }, 'prompt'],
    [{ prompt: [] }, 'prompt'],
    [{ prompt: [1, 'a'] }, 'prompt'],
    [{ prompt: Array.from({ length: 65 }, () => 'a') }, 'prompt'],
    [{ logprobs: 1 }, 'logprobs'],
    [{ echo: true }, 'echo'],
    [{ best_of: 3 }, 'best_of'],
    [{ suffix: 'end' }, 'suffix'],
    [{ n: 2 }, 'n'],
  ])('as with completions: %j', async (more, param) => {
    const { client } = await start();
    const asked = client.completions.create({ model: 'x', prompt: 'Hi', ...more } as CompletionRequest);
    await expect(asked).rejects.toMatchObject({ status: 400, param });
  });
});

describe('over HTTP', () => {
  test.each<[string, string, string | Buffer | undefined, number, string, object]>([
    ['POST', '/v1/chat/completions', '{"messages": [', 400, 'invalid_json', {}],
    ['POST', '/v1/completions', Buffer.from([0x22, 0xff, 0x22]), 400, 'invalid_json', {}],
    ['POST', '/v1/chat/completions', '[]', 400, 'invalid_value', {}],
    ['POST', '/v1/chat/completions', '', 400, 'invalid_json', {}],
    ['GET', '/v1/chat/completions', undefined, 405, 'method_not_allowed', { allow: 'POST' }],
    ['POST', '/v1/models', '{}', 405, 'method_not_allowed', { allow: 'GET' }],
    ['DELETE', '/v1/models/scripted', undefined, 405, 'method_not_allowed', { allow: 'GET' }],
    ['POST', '/v1/embeddings', '{"input": "a"}', 404, 'unknown_url', {}],
    ['GET', '/v1/completions/1', undefined, 404, 'unknown_url', {}],
    ['GET', '/v1/models/%E0%A4%A', undefined, 404, 'model_not_found', {}],
    ['GET', '/', undefined, 404, 'unknown_url', {}],
  ])('%s %s with %j is a %i', async (method, path, body, status, code, headers) => {
    const { server } = await start();
    const response = await fetch(server.url + path, { method, ...(body !== undefined && { body }) });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({
      error: { code, type: 'invalid_request_error', message: expect.any(String) as string },
    });
    for (const [name, value] of Object.entries(headers)) expect(response.headers.get(name)).toBe(value);
  });

  test.each(['/v1/chat/completions', '/v1/completions'])(
    'a body over the limit is refused: %s',
    async (path) => {
      const { server, client } = await start(undefined, { bodyLimit: 1_000 });
      const large = JSON.stringify({ messages: user('a'.repeat(5_000)), prompt: 'a' });
      const inChunks = new Request(server.url + path, {
        method: 'POST',
        body: ReadableStream.from(large.match(/.{1,400}/gs)!.map((chunk) => Buffer.from(chunk))),
        duplex: 'half',
      });
      for (const response of [
        await fetch(server.url + path, { method: 'POST', body: large }),
        await fetch(inChunks),
      ]) {
        expect(response.status).toBe(413);
        expect(await response.json()).toMatchObject({ error: { code: 'body_too_large' } });
      }
      expect((await client.completions.create({ model: 'x', prompt: 'Hi' })).choices).toHaveLength(1);
    },
  );

  test('a body in a content coding is refused', async () => {
    const { server } = await start();
    for (const path of ['/v1/chat/completions', '/v1/completions']) {
      const response = await fetch(server.url + path, {
        method: 'POST',
        headers: { 'content-encoding': 'gzip' },
        body: gzipSync('{}'),
      });
      expect(response.status).toBe(415);
    }
  });

  test("the proxy's key is asked for, and its own paths are there", async () => {
    const { server, decoder } = await start(undefined, { key: 'proxy-secret' });
    const ask = (headers: Record<string, string>) =>
      fetch(`${server.url}/v1/completions`, { method: 'POST', headers, body: '{"prompt": "Hi"}' });
    expect((await ask({})).status).toBe(401);
    expect(decoder.asked).toEqual([]);
    expect((await ask({ 'x-ragpress-key': 'proxy-secret' })).status).toBe(200);
    for (const path of ['/health', '/ready', '/metrics'])
      expect((await fetch(server.url + path)).status).toBe(200);
  });

  test('Express forwards to it too', async () => {
    const decoder = scriptedGenerator(() => ['A ', 'word.']);
    const forwarder = ragpress({ upstream: 'local', decoder });
    const app = express();
    app.use('/v1', forwarder);
    app.use('/parsed/v1', express.json(), forwarder);
    const server = createServer(app);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push(forwarder, { close: () => closed(server) });
    for (const base of ['', '/parsed']) {
      const client = clientOf({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${base}` });
      const { choices } = await client.chat.completions.create({ model: 'x', messages: user(context) });
      expect(choices[0]!.message.content).toBe('A word.');
      expect((await client.models.list()).data[0]!.id).toBe('scripted');
    }
  });
});

describe('a model that fails', () => {
  function* failing(pieces: string[]): Generator<string> {
    yield* pieces;
    throw new Error('at the secret place');
  }

  test('before it has said anything is a 500, and told to the log', async () => {
    const lines: string[] = [];
    const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    const { client } = await start(() => failing([]), { logger });
    for (const stream of [false, true]) {
      const asked = client.chat.completions.create({ model: 'x', messages: user('Hi'), stream });
      await expect(asked).rejects.toBeInstanceOf(OpenAI.InternalServerError);
      await expect(asked).rejects.toMatchObject({ code: 'model_failure', type: 'api_error' });
    }
    await expect(client.completions.create({ model: 'x', prompt: ['a', 'b'] })).rejects.toMatchObject({
      status: 500,
    });
    expect(lines.map((line) => (JSON.parse(line) as { failure?: string }).failure)).toEqual([
      'Error',
      'Error',
      'Error',
    ]);
    expect(lines.join('')).not.toContain('secret');
  });

  test.each([
    [new ModelError('context', '/path', 'the prompt has 9 tokens'), 400, 'context_length_exceeded'],
    [new ModelError('unsupported', '/path', 'no chat template'), 400, 'unsupported_value'],
    [new ModelError('inference', '/path', '/path is damaged'), 500, 'model_failure'],
    [new ConfigurationError('input.tokens', 7, 'give less'), 400, 'invalid_value'],
  ])('with %s is a %i', async (error, status, code) => {
    const failing = scriptedGenerator(() => {
      throw error;
    });
    const logger = pino({ level: 'silent' });
    // From source, as the errors are: of each way in there is another class.
    const server = await serveFromSource({ upstream: 'local', decoder: failing, port: 0, logger });
    opened.push(server);
    const client = clientOf(server);
    const asked = client.chat.completions.create({ model: 'x', messages: user('Hi'), stream: true });
    await expect(asked).rejects.toMatchObject({ status, code });
    await expect(asked).rejects.not.toMatchObject({ message: expect.stringContaining('/path') as string });
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    expect(metrics.includes('ragpress_failures_total{where="upstream"} 1')).toBe(status === 500);
  });

  test('in the middle of a stream ends it with an error that the client throws', async () => {
    const { client, server } = await start(() => failing(['A ', 'word']));
    let text = '';
    const read = async () => {
      const stream = await client.chat.completions.create({
        model: 'x',
        messages: user('Hi'),
        stream: true,
      });
      for await (const { choices } of stream) text += choices[0]!.delta.content ?? '';
    };
    const error = await read().catch((error: unknown) => error);
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ code: 'model_failure', message: 'The model failed.' });
    expect(text).toBe('A word');
    const response = await fetch(`${server.url}/v1/completions`, {
      method: 'POST',
      body: '{"prompt": ["a", "b"], "stream": true}',
    });
    const events = (await response.text()).trim().split('\n\n');
    expect(events.at(-1)).toBe(
      'data: {"error":{"message":"The model failed.","type":"api_error","param":null,"code":"model_failure"}}',
    );
    expect(events.filter((event) => event.includes('"error"'))).toHaveLength(1);
  });

  test('one that fails stops the others of its request', async () => {
    let stopped = 0;
    const { client } = await start(async function* ({ input, options }) {
      yield 'a';
      if ('prompt' in input && input.prompt === 'bad') throw new Error('bad');
      await setTimeout(60_000, undefined, { signal: options.signal! }).catch(() => stopped++);
      throw new Error('stopped');
    });
    const asked = client.completions.create({ model: 'x', prompt: ['good', 'bad', 'good'] });
    await expect(asked).rejects.toMatchObject({ status: 500 });
    expect(stopped).toBe(2);
  });

  test.each([true, false])('a client that goes away stops it, streamed: %j', async (stream) => {
    const { client, decoder } = await start(async function* ({ options }) {
      for (;;) {
        yield 'on and on ';
        await setTimeout(5, undefined, { signal: options.signal! });
      }
    });
    const controller = new AbortController();
    const asked = client.chat.completions.create(
      { model: 'x', messages: user('Hi'), stream },
      { signal: controller.signal },
    );
    await vi.waitFor(() => {
      expect(decoder.asked).toHaveLength(1);
    });
    if (stream) {
      await ((await asked) as AsyncIterable<unknown>)[Symbol.asyncIterator]().next();
      controller.abort();
    } else {
      controller.abort();
      await expect(asked).rejects.toBeInstanceOf(OpenAI.APIUserAbortError);
    }
    await vi.waitFor(() => {
      expect(decoder.asked[0]!.options.signal!.aborted).toBe(true);
    });
  });

  test('a client that does not read is waited for', async () => {
    let said = 0;
    const decoder: TextGenerator = {
      model: 'fast',
      countTokens: () => Promise.resolve(1),
      generate: () => ({
        result: new Promise(() => undefined),
        promptTokens: Promise.resolve(1),
        async *[Symbol.asyncIterator](): AsyncGenerator<string> {
          for (; said < 64; said++) yield await Promise.resolve('x'.repeat(1024 * 1024));
        },
      }),
    };
    const { server } = await start(undefined, { decoder });
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1');
    const body = '{"prompt": "a", "stream": true}';
    socket.write(`POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    await once(socket, 'readable');
    await setTimeout(300);
    socket.destroy();
    expect(said).toBeGreaterThan(0);
    expect(said).toBeLessThan(32);
  });
});

describe('the life of it', () => {
  test('a model that cannot be had is told at start', async () => {
    const nowhere = serve({ upstream: 'local', port: 0, decoder: { folder: '/nowhere/at/all' } });
    await expect(nowhere).rejects.toMatchObject({ name: 'ModelError' });
    const strange = serve({ upstream: 'local', port: 0, decoder: { threads: 0 } });
    await expect(strange).rejects.toMatchObject({ name: 'ConfigurationError', field: 'decoder.threads' });
  });

  test('or, where nothing waited for it, by the request, as no fault of its own', async () => {
    const proxy = createProxy({
      upstream: 'local',
      decoder: { threads: 0 },
      logger: pino({ level: 'silent' }),
    });
    const server = createServer(proxy);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    opened.push(proxy, { close: () => closed(server) });
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    expect((await fetch(`${url}/ready`)).status).toBe(503);
    await expect(clientOf({ url }).models.list()).rejects.toMatchObject({
      status: 500,
      code: 'model_failure',
    });
  });

  test('closing waits for what is under way', async () => {
    const { client, server, decoder } = await start(async function* () {
      yield 'a ';
      await setTimeout(300);
      yield 'word.';
    });
    const asked = client.completions.create({ model: 'x', prompt: 'Hi' });
    await vi.waitFor(() => {
      expect(decoder.asked).toHaveLength(1);
    });
    const closed = server.close();
    expect((await asked).choices[0]!.text).toBe('a word.');
    await closed;
    await expect(client.models.list()).rejects.toBeInstanceOf(OpenAI.APIConnectionError);
  });
});

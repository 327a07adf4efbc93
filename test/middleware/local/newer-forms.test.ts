import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { serve, type Serving } from 'ragpress/proxy';
import type { ChatMessage } from '../../../models/decoder/generation.js';
import { ferry, prompts, yard } from '../requests/prompts.js';
import { scriptedGenerator } from './scripted-generator.js';

const context = prompts[0]!.text;
const logger = pino({ level: 'silent' });

function openAiOf({ url }: Serving): OpenAI {
  return new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-caller', maxRetries: 0 });
}

function anthropicOf({ url }: Serving): Anthropic {
  return new Anthropic({ baseURL: url, apiKey: 'sk-caller', maxRetries: 0 });
}

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) collected.push(item);
  return collected;
}

describe('the embedded model', { timeout: 120_000 }, () => {
  let server: Serving;

  beforeAll(async () => {
    server = await serve({ upstream: 'local', port: 0, logger, pipeline: { budget: { tokens: 120 } } });
  }, 120_000);

  afterAll(() => server.close());

  test('answers a responses request, which it reads compressed, at once and in pieces', async () => {
    const { responses } = openAiOf(server);
    const asked = { model: 'gpt-4o', input: context, max_output_tokens: 24 };
    const { data, response } = await responses.create(asked).withResponse();
    expect(response.headers.get('x-ragpress-tokens-after')).toMatch(/^\d+$/);
    expect(data.output_text).toContain('7.50');
    expect(data).toMatchObject({ status: 'completed', incomplete_details: null, error: null });
    expect(data.usage!.total_tokens).toBe(data.usage!.input_tokens + data.usage!.output_tokens);
    const stream = responses.stream(asked);
    const events = await collect(stream);
    expect(events.map(({ sequence_number }) => sequence_number)).toEqual([...events.keys()]);
    expect(events.filter(({ type }) => type === 'response.output_text.delta').length).toBeGreaterThan(1);
    const streamed = await stream.finalResponse();
    expect(streamed.output_text).toBe(data.output_text);
    expect(streamed.usage).toMatchObject({ input_tokens: data.usage!.input_tokens });
    expect(await responses.create({ ...asked, max_output_tokens: 1 })).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
    });
  });

  test("answers Anthropic's messages from their documents, at once and in pieces", async () => {
    const { messages } = anthropicOf(server);
    const document = (data: string) =>
      ({ type: 'document', source: { type: 'text', media_type: 'text/plain', data } }) as const;
    const asked = {
      model: 'any',
      max_tokens: 24,
      messages: [
        {
          role: 'user' as const,
          content: [
            document(ferry),
            document(yard),
            { type: 'text' as const, text: 'In which year was the Rowan built?' },
          ],
        },
      ],
    };
    const message = await messages.create(asked);
    expect(message).toMatchObject({ role: 'assistant', stop_reason: 'end_turn', stop_sequence: null });
    const [block] = message.content as [Anthropic.TextBlock];
    expect(block.text).toContain('1987');
    expect(message.usage.input_tokens).toBeGreaterThan(40);
    const stream = messages.stream(asked);
    const events = await collect(stream);
    const [begun] = events as [Anthropic.MessageStartEvent];
    expect(begun.message.usage.input_tokens).toBe(message.usage.input_tokens);
    expect(events.filter(({ type }) => type === 'content_block_delta').length).toBeGreaterThan(1);
    expect(await stream.finalText()).toBe(block.text);
    expect((await stream.finalMessage()).usage).toMatchObject({
      input_tokens: message.usage.input_tokens,
      output_tokens: message.usage.output_tokens,
    });
    expect((await messages.create({ ...asked, max_tokens: 1 })).stop_reason).toBe('max_tokens');
  });

  test('counts what it would read, compressed as it would be', async () => {
    const { responses } = openAiOf(server);
    const asked = { model: 'gpt-4o', input: context, instructions: 'Be terse.' };
    const answer = await responses.create({ ...asked, max_output_tokens: 1 });
    const counted = await responses.inputTokens.count(asked).withResponse();
    expect(counted.data).toEqual({
      object: 'response.input_tokens',
      input_tokens: answer.usage!.input_tokens,
    });
    expect(counted.response.headers.get('x-ragpress-tokens-after')).toMatch(/^\d+$/);
    const { messages } = anthropicOf(server);
    const said = {
      model: 'any',
      system: 'Be terse.',
      messages: [{ role: 'user' as const, content: context }],
    };
    const { usage } = await messages.create({ ...said, max_tokens: 1 });
    expect(await messages.countTokens(said)).toEqual({ input_tokens: usage.input_tokens });
    await expect(messages.countTokens({ ...said, messages: [] })).rejects.toMatchObject({ status: 400 });
    // More than it reads: that is what a client wants to know.
    const long = [{ role: 'user' as const, content: 'All at sea. '.repeat(20_000) }];
    expect((await messages.countTokens({ model: 'any', messages: long })).input_tokens).toBeGreaterThan(
      60_000,
    );
  });

  test('says that a prompt is too long, in the form of its API', async () => {
    const long = 'All at sea. '.repeat(20_000);
    for (const stream of [false, true]) {
      await expect(openAiOf(server).responses.create({ input: long, stream })).rejects.toMatchObject({
        status: 400,
        code: 'context_length_exceeded',
      });
      const asked = anthropicOf(server).messages.create({
        model: 'any',
        max_tokens: 5,
        stream,
        messages: [{ role: 'user', content: long }],
      });
      await expect(asked).rejects.toMatchObject({
        status: 400,
        error: { type: 'error', error: { type: 'invalid_request_error' } },
      });
    }
  });
});

describe('what a request asks for', () => {
  const opened: Serving[] = [];
  const started = async (script: () => Iterable<string> = () => ['A ', 'word']) => {
    const decoder = scriptedGenerator(script);
    const server = await serve({ upstream: 'local', decoder: decoder, port: 0, logger });
    opened.push(server);
    return {
      server,
      openAi: openAiOf(server),
      anthropic: anthropicOf(server),
      read: () =>
        decoder.asked.map(({ input, options: { signal: _, ...options } }) => ({
          messages: (input as { readonly messages: readonly ChatMessage[] }).messages,
          options,
        })),
    };
  };

  afterEach(async () => {
    for (const server of opened.splice(0)) await server.close();
  });

  test('reaches the decoder', async () => {
    const { openAi, anthropic, read } = await started();
    await openAi.responses.create({
      instructions: 'Be brief.',
      input: [
        { role: 'developer', content: 'In English.' },
        {
          role: 'user',
          content: [
            { type: 'input_text', text: 'Hi' },
            { type: 'input_text', text: 'you' },
          ],
        },
      ],
      max_output_tokens: 9,
      temperature: 0.5,
      text: { format: { type: 'text' } },
      tools: [],
      tool_choice: 'auto',
      store: false,
    });
    await anthropic.messages.create(
      {
        model: 'x',
        max_tokens: 7,
        system: [{ type: 'text', text: 'Be brief.' }],
        stop_sequences: ['\n'],
        messages: [
          { role: 'user', content: 'Hello' },
          { role: 'assistant', content: [{ type: 'text', text: 'Hi' }] },
          {
            role: 'user',
            content: [
              {
                type: 'search_result',
                source: 'https://ships.example/rowan',
                title: 'Ships',
                content: [{ type: 'text', text: 'The Rowan.' }],
              },
              {
                type: 'document',
                source: { type: 'content', content: [{ type: 'text', text: 'The Alder.' }] },
                citations: { enabled: false },
              },
              { type: 'text', text: 'Which ship?' },
            ],
          },
        ],
      },
      { headers: { 'x-ragpress-bypass': '1' } },
    );
    expect(read()).toEqual([
      {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'system', content: 'In English.' },
          { role: 'user', content: 'Hi\nyou' },
        ],
        options: { maxTokens: 9, temperature: 0.5 },
      },
      {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Hello' },
          { role: 'assistant', content: 'Hi' },
          { role: 'user', content: '[1] Ships\nThe Rowan.\n\n[2]\nThe Alder.\n\nQuestion: Which ship?' },
        ],
        options: { maxTokens: 7, stop: ['\n'] },
      },
    ]);
  });

  test.each<[object, string, string]>([
    [{ input: undefined }, 'input', 'give a text or a list'],
    [{ input: [{ type: 'function_call_output', call_id: 'a', output: 'x' }] }, 'input', 'tools'],
    [{ previous_response_id: 'resp_1' }, 'previous_response_id', 'nothing is kept'],
    [{ conversation: 'conv_1' }, 'conversation', 'nothing is kept'],
    [{ background: true }, 'background', 'give false'],
    [{ tool_choice: 'required' }, 'tool_choice', 'no tools'],
    [{ text: { format: { type: 'json_object' } } }, 'text.format', 'answers are text'],
    [{ max_output_tokens: 0 }, 'max_output_tokens', 'give 1 or more'],
  ])('and what cannot be is refused in a responses request: %j', async (more, param, message) => {
    const { openAi, read } = await started();
    const asked = openAi.responses.create({ input: 'Hi', ...more });
    await expect(asked).rejects.toMatchObject({
      status: 400,
      param,
      message: expect.stringContaining(message) as string,
    });
    expect(read()).toEqual([]);
  });

  const pdf = { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' };
  const cited = { type: 'text', media_type: 'text/plain', data: 'x' };
  test.each<[object, string]>([
    [{ max_tokens: undefined }, 'max_tokens: give a whole number'],
    [{ messages: [] }, 'messages: give a message'],
    [{ messages: [{ role: 'system', content: 'x' }] }, 'messages[0].role: give user or assistant'],
    [{ messages: [{ role: 'user', content: [{ type: 'image', source: pdf }] }] }, 'give blocks of type text'],
    [{ messages: [{ role: 'user', content: [{ type: 'document', source: pdf }] }] }, 'give a source'],
    [
      {
        messages: [
          { role: 'user', content: [{ type: 'document', source: cited, citations: { enabled: true } }] },
        ],
      },
      'nothing is cited',
    ],
    [{ tool_choice: { type: 'any' } }, 'no tools'],
    [{ thinking: { type: 'enabled', budget_tokens: 1_024 } }, 'no thinking'],
  ])('and in a messages request: %j', async (more, message) => {
    const { anthropic, read } = await started();
    const given = { model: 'x', max_tokens: 5, messages: [{ role: 'user', content: 'Hi' }], ...more };
    const asked = anthropic.messages.create(given as Anthropic.MessageCreateParamsNonStreaming);
    await expect(asked).rejects.toMatchObject({
      status: 400,
      error: {
        error: {
          type: 'invalid_request_error',
          message: expect.stringContaining(message) as string,
        },
      },
    });
    expect(read()).toEqual([]);
  });

  test('where the model fails in the middle, the stream ends with an error of its form', async () => {
    const { openAi, anthropic, server } = await started(function* () {
      yield 'A word';
      throw new Error('it broke');
    });
    const stream = await openAi.responses.create({ input: 'Hi', stream: true });
    expect((await collect(stream)).at(-1)).toMatchObject({ type: 'error', code: 'model_failure' });
    const message = await anthropic.messages.create({
      model: 'x',
      max_tokens: 5,
      stream: true,
      messages: [{ role: 'user', content: 'Hi' }],
    });
    await expect(collect(message)).rejects.toThrow('The model failed.');
    const unread = await fetch(`${server.url}/v1/messages/count_tokens`);
    expect(unread.status).toBe(405);
    expect(await unread.json()).toMatchObject({ type: 'error' });
    const unknown = await fetch(`${server.url}/v1/messages/batches`, { method: 'POST', body: '{}' });
    expect(unknown.status).toBe(404);
  });

  test('an answer of no text is an answer', async () => {
    const { openAi, anthropic } = await started(() => []);
    const stream = openAi.responses.stream({ model: 'x', input: 'Hi' });
    expect((await stream.finalResponse()).output_text).toBe('');
    const asked = { model: 'x', max_tokens: 5, messages: [{ role: 'user' as const, content: 'Hi' }] };
    expect((await anthropic.messages.stream(asked).finalMessage()).content).toEqual([
      { type: 'text', text: '' },
    ]);
  });
});

import Anthropic from '@anthropic-ai/sdk';
import { describe, expect, test } from 'vitest';
import type { Answer } from '../integration/upstream.js';
import { ferry, prompts, question, yard } from './requests/prompts.js';
import { startProxy } from './start-proxy.js';

const MODEL = 'claude';
const usage = {
  input_tokens: 60,
  output_tokens: 9,
  cache_creation_input_tokens: 0,
  cache_read_input_tokens: 0,
};
const message = {
  id: 'msg_01',
  type: 'message',
  role: 'assistant',
  model: MODEL,
  content: [{ type: 'text', text: 'A day return is 7.50.' }],
  stop_reason: 'end_turn',
  stop_sequence: null,
  usage,
};

/** A stream as the API sends it. */
const events = [
  ['message_start', { message: { ...message, content: [], stop_reason: null } }],
  ['content_block_start', { index: 0, content_block: { type: 'text', text: '' } }],
  ['ping', {}],
  ['content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'A day return ' } }],
  ['content_block_delta', { index: 0, delta: { type: 'text_delta', text: 'is 7.50.' } }],
  ['content_block_stop', { index: 0 }],
  ['message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 9 } }],
  ['message_stop', {}],
] as const;

const answerLikeAnthropic: Answer = ({ url, body }, response) => {
  if ((JSON.parse(body) as { stream?: boolean }).stream) {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    for (const [type, data] of events)
      response.write(`event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`);
    response.end();
    return;
  }
  const answer = url.includes('/count_tokens') ? { input_tokens: 60 } : message;
  response.writeHead(200, { 'content-type': 'application/json', 'request-id': 'req_01' });
  response.end(JSON.stringify(answer));
};

async function start(tokens = 60) {
  const { upstream, url } = await startProxy(answerLikeAnthropic, tokens);
  const client = new Anthropic({ baseURL: url, apiKey: 'sk-ant-1', maxRetries: 0 });
  const sent = () =>
    JSON.parse(upstream.received.at(-1)!.body) as Pick<Anthropic.MessageCreateParams, 'messages' | 'system'>;
  return { upstream, client, sent };
}

const context = prompts[0]!.text;
const asked = { model: MODEL, max_tokens: 50 };
const long = (name: string) => `${ferry}\n\nOf the ${name}: ${yard.repeat(4)}`;

describe("Anthropic's own client", () => {
  test('has its documents compressed, its key and version forwarded, and its answer', async () => {
    const { client, sent, upstream } = await start();
    const messages = [{ role: 'user' as const, content: context }];
    const { data, response } = await client.messages.create({ ...asked, messages }).withResponse();
    expect(data.content).toEqual(message.content);
    expect(data.usage.input_tokens).toBe(60);
    const content = sent().messages[0]!.content as string;
    expect(content.length).toBeLessThan(context.length);
    expect(content).toContain('A day return costs 7.50 for an adult');
    expect(content.endsWith(question)).toBe(true);
    const { headers, url } = upstream.received[0]!;
    expect(url).toBe('/v1/messages');
    expect(headers.authorization ?? headers['x-api-key']).toContain('sk-ant-1');
    expect(headers['anthropic-version']).toMatch(/^\d{4}-\d\d-\d\d$/);
    expect(Number(response.headers.get('x-ragpress-tokens-after'))).toBeLessThanOrEqual(60);
    expect(response.headers.get('request-id')).toBe('req_01');
  });

  test('streams', async () => {
    const { client, sent } = await start();
    const stream = client.messages.stream({ ...asked, messages: [{ role: 'user', content: context }] });
    const pieces: string[] = [];
    stream.on('text', (text) => pieces.push(text));
    expect(await stream.finalText()).toBe('A day return is 7.50.');
    expect(pieces).toEqual(['A day return ', 'is 7.50.']);
    expect((sent().messages[0]!.content as string).length).toBeLessThan(context.length);
  });

  test('counts the tokens of what would be sent', async () => {
    const { client, sent, upstream } = await start();
    const messages = [{ role: 'user' as const, content: context }];
    await client.messages.create({ ...asked, messages });
    const created = sent().messages;
    expect(await client.messages.countTokens({ model: MODEL, messages })).toEqual({ input_tokens: 60 });
    expect(upstream.received.at(-1)!.url).toBe('/v1/messages/count_tokens');
    expect(sent().messages).toEqual(created);
  });

  test('gets errors of the proxy as its own', async () => {
    const { client } = await start();
    const wrong = client.messages.create(
      { ...asked, messages: [{ role: 'user', content: context }] },
      { headers: { 'x-ragpress-budget': 'many' } },
    );
    await expect(wrong).rejects.toBeInstanceOf(Anthropic.BadRequestError);
    await expect(wrong).rejects.toMatchObject({
      error: {
        type: 'error',
        error: { type: 'invalid_request_error', message: expect.stringContaining('many') as string },
      },
    });
  });
});

describe("blocks of Anthropic's requests", () => {
  test('documents and search results are compressed for the question beside them', async () => {
    const { client, sent } = await start();
    const content: Anthropic.ContentBlockParam[] = [
      {
        type: 'document',
        title: 'Fares',
        source: { type: 'text', media_type: 'text/plain', data: long('Rowan') },
      },
      { type: 'document', source: { type: 'content', content: [{ type: 'text', text: long('Alder') }] } },
      {
        type: 'search_result',
        source: 'https://yard.example',
        title: 'Yard',
        content: [{ type: 'text', text: long('Elm') }],
      },
      { type: 'document', source: { type: 'base64', media_type: 'application/pdf', data: 'JVBERi0=' } },
      { type: 'text', text: question },
    ];
    await client.messages.create({ ...asked, messages: [{ role: 'user', content }] });
    const given = JSON.stringify(sent().messages[0]!.content);
    expect(given.length).toBeLessThan(0.5 * JSON.stringify(content).length);
    expect(given).toContain('7.50 for an adult');
    const blocks = sent().messages[0]!.content as Anthropic.ContentBlockParam[];
    expect(blocks.map(({ type }) => type)).toEqual(content.map(({ type }) => type));
    expect(blocks.slice(3)).toEqual(content.slice(3));
    // A block of which nothing is kept is not empty: the API refuses those.
    expect(given).not.toContain('"text":""');
  });

  test('what is to be cited stays as the client has it', async () => {
    const { client, sent } = await start(10);
    const content: Anthropic.ContentBlockParam[] = [
      {
        type: 'document',
        source: { type: 'text', media_type: 'text/plain', data: long('Rowan') },
        citations: { enabled: true },
      },
      { type: 'text', text: question },
    ];
    await client.messages.create({ ...asked, messages: [{ role: 'user', content }] });
    expect(sent().messages[0]!.content).toEqual(content);
  });

  test("a tool's result is compressed for the call that asked for it", async () => {
    const { client, sent } = await start(40);
    const result = (id: string, text: string, more: object = {}) => ({
      type: 'tool_result' as const,
      tool_use_id: id,
      content: text,
      ...more,
    });
    const both = `${ferry}\n\n${yard}`;
    const messages: Anthropic.MessageParam[] = [
      { role: 'user', content: 'Tell me of the fleet.' },
      {
        role: 'assistant',
        content: [
          { type: 'text', text: context },
          {
            type: 'tool_use',
            id: 'toolu_1',
            name: 'search',
            input: { query: 'price of a day return', most: [3] },
          },
          {
            type: 'tool_use',
            id: 'toolu_2',
            name: 'search',
            input: { where: { ship: 'engine of the Rowan replaced' } },
          },
        ],
      },
      {
        role: 'user',
        content: [
          result('toolu_1', both),
          { type: 'tool_result', tool_use_id: 'toolu_2', content: [{ type: 'text', text: both }] },
          result('toolu_3', '{"price": 7.5}'),
          result('toolu_4', long('Elm'), { is_error: true }),
        ],
      },
    ];
    await client.messages.create({ ...asked, messages });
    const [, assistant, results] = sent().messages;
    expect(assistant).toEqual(messages[1]);
    const parts = results!.content as Anthropic.ToolResultBlockParam[];
    expect(parts[0]!.content).toContain('A day return costs 7.50');
    expect(parts[0]!.content).not.toContain('engine');
    const [second] = parts[1]!.content as Anthropic.TextBlockParam[];
    expect(second!.text).toContain('engine was replaced in 2011');
    expect(second!.text).not.toContain('7.50');
    expect(parts.slice(2)).toEqual((messages[2]!.content as unknown[]).slice(2));
  });

  test('a context in the system prompt is compressed for the first question, in every turn alike', async () => {
    const { client, sent } = await start();
    const system = [
      { type: 'text' as const, text: 'You answer from documents.' },
      { type: 'text' as const, text: prompts.find(({ role }) => role === 'system')!.text },
    ];
    const messages: Anthropic.MessageParam[] = [{ role: 'user', content: question }];
    await client.messages.create({ ...asked, system, messages });
    const first = sent().system as typeof system;
    expect(first[0]).toEqual(system[0]);
    expect(first[1]!.text.length).toBeLessThan(system[1]!.text.length);
    messages.push(
      { role: 'assistant', content: '7.50.' },
      { role: 'user', content: 'And who built the Rowan?' },
    );
    await client.messages.create({ ...asked, system, messages });
    expect(sent().system).toEqual(first);
  });

  test.each(['system', 'result', 'message'] as const)(
    'nothing at or before a breakpoint is touched: in a %s',
    async (place) => {
      const { client, sent } = await start();
      const cache_control = { type: 'ephemeral' as const };
      const at = (here: typeof place) => (place === here ? { cache_control } : {});
      const system = [
        { type: 'text' as const, text: prompts.find(({ role }) => role === 'system')!.text, ...at('system') },
      ];
      const messages: Anthropic.MessageParam[] = [
        { role: 'user', content: context },
        {
          role: 'assistant',
          content: [{ type: 'tool_use', id: 'toolu_1', name: 'search', input: { query: 'fares' } }],
        },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: long('Elm'), ...at('result') }],
        },
        { role: 'assistant', content: 'Yes?' },
        { role: 'user', content: [{ type: 'text', text: context, ...at('message') }] },
      ];
      await client.messages.create({ ...asked, system, messages });
      const touched = [sent().system, ...sent().messages].map(
        (given, i) => JSON.stringify(given) !== JSON.stringify([system, ...messages][i]),
      );
      const last = { system: 0, result: 3, message: 5 }[place];
      expect(touched).toEqual([true, true, false, true, false, true].map((is, i) => is && i > last));
    },
  );
});

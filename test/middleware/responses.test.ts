import OpenAI from 'openai';
import { describe, expect, test } from 'vitest';
import type { Answer } from '../integration/upstream.js';
import { ferry, prompts, question, yard } from './requests/prompts.js';
import { startProxy } from './start-proxy.js';

const answer = {
  id: 'resp_01',
  object: 'response',
  created_at: 1_764_000_000,
  model: 'gpt-4o',
  status: 'completed',
  error: null,
  incomplete_details: null,
  instructions: null,
  metadata: {},
  parallel_tool_calls: true,
  tool_choice: 'auto',
  tools: [],
  output: [
    {
      id: 'msg_01',
      type: 'message',
      role: 'assistant',
      status: 'completed',
      content: [{ type: 'output_text', text: 'A day return is 7.50.', annotations: [] }],
    },
  ],
  usage: {
    input_tokens: 60,
    input_tokens_details: { cached_tokens: 0 },
    output_tokens: 9,
    output_tokens_details: { reasoning_tokens: 0 },
    total_tokens: 69,
  },
};

const at = { item_id: 'msg_01', output_index: 0, content_index: 0, logprobs: [] };
/** A stream as the API sends it. */
const events = [
  ['response.created', { response: { ...answer, status: 'in_progress', output: [] } }],
  ['response.output_item.added', { output_index: 0, item: { ...answer.output[0], content: [] } }],
  ['response.content_part.added', { ...at, part: { type: 'output_text', text: '', annotations: [] } }],
  ['response.output_text.delta', { ...at, delta: 'A day return ' }],
  ['response.output_text.delta', { ...at, delta: 'is 7.50.' }],
  ['response.completed', { response: answer }],
] as const;

const answerLikeOpenAi: Answer = ({ url, body }, response) => {
  if ((JSON.parse(body) as { stream?: boolean }).stream) {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
    for (const [sequence_number, [type, data]] of events.entries())
      response.write(`event: ${type}\ndata: ${JSON.stringify({ type, sequence_number, ...data })}\n\n`);
    response.end();
    return;
  }
  const counted = { object: 'response.input_tokens', input_tokens: 60 };
  response.writeHead(200, { 'content-type': 'application/json', 'x-request-id': 'req_01' });
  response.end(JSON.stringify(url.includes('/input_tokens') ? counted : answer));
};

async function start(tokens = 60) {
  const { upstream, url } = await startProxy(answerLikeOpenAi, tokens);
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'sk-1', maxRetries: 0 });
  const sent = () =>
    JSON.parse(upstream.received.at(-1)!.body) as {
      input: string | OpenAI.Responses.ResponseInputItem[];
      instructions?: string;
    };
  return { upstream, client, sent };
}

const context = prompts[0]!.text;
const fromSystem = prompts.find(({ role }) => role === 'system')!.text;
const model = 'gpt-4o';

describe('a responses request', () => {
  test('has the documents of its input compressed, and its answer', async () => {
    const { client, sent, upstream } = await start();
    const { data, response } = await client.responses.create({ model, input: context }).withResponse();
    expect(data.output_text).toBe('A day return is 7.50.');
    const input = sent().input as string;
    expect(input.length).toBeLessThan(context.length);
    expect(input).toContain('A day return costs 7.50 for an adult');
    expect(input.endsWith(question)).toBe(true);
    expect(upstream.received[0]!.url).toBe('/v1/responses');
    expect(upstream.received[0]!.headers.authorization).toBe('Bearer sk-1');
    expect(Number(response.headers.get('x-ragpress-tokens-after'))).toBeLessThanOrEqual(60);
    expect(response.headers.get('x-request-id')).toBe('req_01');
  });

  test('streams', async () => {
    const { client, sent } = await start();
    const stream = client.responses.stream({ model, input: [{ role: 'user', content: context }] });
    let streamed = '';
    stream.on('response.output_text.delta', ({ delta }) => (streamed += delta));
    await stream.done();
    expect(streamed).toBe('A day return is 7.50.');
    const [message] = sent().input as OpenAI.Responses.EasyInputMessage[];
    expect((message!.content as string).length).toBeLessThan(context.length);
  });

  test('has its tokens counted as it would be sent', async () => {
    const { client, sent, upstream } = await start();
    await client.responses.create({ model, input: context });
    const created = sent().input;
    expect((await client.responses.inputTokens.count({ model, input: context })).input_tokens).toBe(60);
    expect(upstream.received.at(-1)!.url).toBe('/v1/responses/input_tokens');
    expect(sent().input).toEqual(created);
  });

  test('gets errors of the proxy in its form', async () => {
    const { client } = await start();
    const headers = { 'x-ragpress-budget': 'many' };
    await expect(client.responses.create({ model, input: context }, { headers })).rejects.toMatchObject({
      status: 400,
      code: 'ragpress_option',
    });
  });

  test('keeps what it sent compressed as its conversation goes on', async () => {
    const { client, sent } = await start();
    const input: OpenAI.Responses.ResponseInputItem[] = [
      { role: 'user', content: [{ type: 'input_text', text: context }] },
    ];
    await client.responses.create({ model, instructions: fromSystem, input });
    const first = sent();
    expect(first.instructions!.length).toBeLessThan(fromSystem.length);
    expect(JSON.stringify(first.input).length).toBeLessThan(JSON.stringify(input).length);
    input.push(
      {
        type: 'message',
        id: 'msg_01',
        role: 'assistant',
        status: 'completed',
        content: [{ type: 'output_text', text: context, annotations: [] }],
      },
      { role: 'user', content: 'And who built the Rowan?' },
    );
    await client.responses.create({ model, instructions: fromSystem, input });
    expect(sent().instructions).toBe(first.instructions);
    expect((sent().input as unknown[])[0]).toEqual((first.input as unknown[])[0]);
    expect((sent().input as unknown[]).slice(1)).toEqual(input.slice(1));
  });

  test('has results of functions compressed for the calls that asked for them', async () => {
    const { client, sent } = await start(34);
    const both = `${ferry}\n\n${yard}`;
    const output = (call_id: string, text: string) => ({
      type: 'function_call_output' as const,
      call_id,
      output: text,
    });
    const input: OpenAI.Responses.ResponseInputItem[] = [
      { role: 'user', content: 'Tell me of the fleet.' },
      {
        type: 'function_call',
        call_id: 'call_1',
        name: 'search',
        arguments: JSON.stringify({ query: 'price of a day return' }),
      },
      {
        type: 'custom_tool_call',
        call_id: 'call_2',
        name: 'search',
        input: 'engine of the Rowan replaced',
      },
      output('call_1', both),
      { type: 'custom_tool_call_output', call_id: 'call_2', output: [{ type: 'input_text', text: both }] },
      output('call_3', '{"price": 7.5}'),
    ];
    await client.responses.create({ model, input });
    const items = sent().input as OpenAI.Responses.ResponseInputItem[];
    expect(items.slice(0, 3)).toEqual(input.slice(0, 3));
    expect(items[5]).toEqual(input[5]);
    const [one, other] = [JSON.stringify(items[3]), JSON.stringify(items[4])];
    expect(one).toContain('A day return costs 7.50');
    expect(one).not.toContain('engine');
    expect(other).toContain('engine was replaced in 2011');
    expect(other).not.toContain('7.50');
  });

  test('that goes on from one the provider keeps stays as it is where the question is not told', async () => {
    const { client, sent } = await start();
    const input: OpenAI.Responses.ResponseInputItem[] = [
      { type: 'function_call_output', call_id: 'call_1', output: `${ferry}\n\n${yard}` },
      { type: 'item_reference', id: 'msg_01' },
    ];
    const more = { instructions: fromSystem, previous_response_id: 'resp_01' };
    await client.responses.create({ model, ...more, input });
    expect(sent()).toMatchObject({ ...more, input });
    await client.responses.create({ model, ...more, input: context });
    expect(sent().instructions).toBe(fromSystem);
    expect((sent().input as string).length).toBeLessThan(context.length);
  });
});

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout } from 'node:timers/promises';

/** A request as it arrived at the upstream. */
export interface Received {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage['headers'];
  readonly rawHeaders: readonly string[];
  readonly body: string;
}

export interface Upstream {
  readonly url: string;
  readonly received: Received[];
  /** Aborts seen before a response was finished. */
  readonly aborted: string[];
  close(): Promise<void>;
}

export type Answer = (received: Received, response: ServerResponse) => Promise<void> | void;

/** A server in the form of OpenAI's API: chat completions at once or as a stream of events, and a list of models. */
export async function startUpstream(answer: Answer = answerLikeOpenAI): Promise<Upstream> {
  const received: Received[] = [];
  const aborted: string[] = [];
  const server = createServer((request, response) => {
    response.on('close', () => {
      if (!response.writableFinished) aborted.push(request.url!);
    });
    void buffer(request).then(
      (bytes) => {
        const { method, url, headers, rawHeaders } = request;
        const seen = { method: method!, url: url!, headers, rawHeaders, body: bytes.toString() };
        received.push(seen);
        return answer(seen, response);
      },
      () => undefined,
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    received,
    aborted,
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

export const answerText = 'A day return is 7.50.';

/** Milliseconds between the events of a stream. */
export const EVENT_GAP = 60;

export async function answerLikeOpenAI(
  { method, url, body }: Received,
  response: ServerResponse,
): Promise<void> {
  const json = (status: number, value: object) => {
    response.writeHead(status, { 'content-type': 'application/json', 'x-request-id': 'req_1' });
    response.end(JSON.stringify(value));
  };
  if (method === 'GET' && url.endsWith('/models')) {
    json(200, { object: 'list', data: [{ id: 'gpt-4o', object: 'model', created: 1, owned_by: 'x' }] });
    return;
  }
  if (!url.endsWith('/chat/completions')) {
    json(404, {
      error: { message: `no such route ${url}`, type: 'invalid_request_error', param: null, code: null },
    });
    return;
  }
  let request: { model?: string; stream?: boolean };
  try {
    request = JSON.parse(body) as typeof request;
  } catch {
    json(400, { error: { message: 'not JSON', type: 'invalid_request_error', param: null, code: null } });
    return;
  }
  const common = { id: 'chatcmpl-1', created: 1, model: request.model };
  if (!request.stream) {
    const choice = { index: 0, finish_reason: 'stop', message: { role: 'assistant', content: answerText } };
    json(200, { ...common, object: 'chat.completion', choices: [choice] });
    return;
  }
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  for (const event of eventsOf(common)) {
    response.write(event);
    await setTimeout(EVENT_GAP);
  }
  response.end('data: [DONE]\n\n');
}

export function eventsOf(common: object): string[] {
  const chunk = (delta: object, finish_reason: string | null) =>
    `data: ${JSON.stringify({ ...common, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason }] })}\n\n`;
  const words = answerText.split(/(?<= )/);
  return [...words.map((content) => chunk({ content }, null)), ': a comment\r\n\r\n', chunk({}, 'stop')];
}

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  createPipeline,
  decoderSummaries,
  endpointSummaries,
  seq2seqSummaries,
  summarise,
  type CompressionResult,
  type SourceDocument,
  type SummaryGenerator,
} from 'ragpress';
import { packageFile } from '../../../models/package-file.js';
import { hasWeights } from '../../models/tiny-model.js';
import { layOutSeq2seq } from '../../models/seq2seq-folder.js';

const ferry: SourceDocument = {
  id: 'ferry',
  title: 'The Alder',
  content:
    'The Alder was built in 1987 by Dunmore of Leith. She carries 31 cars, which are loaded over the bow, and up to 200 passengers. Her engine was replaced in 2011 after it had failed twice on the way to Innis.',
};
const query = 'Who built the Alder?';
const short = 'She carries 31 cars and up to 200 passengers.';

async function run(generator: SummaryGenerator, deadline = 30_000, ratio = 0.5): Promise<CompressionResult> {
  const pipeline = await createPipeline({ stages: [summarise({ generator, ratio })], deadline });
  try {
    return await pipeline.compress({ query, documents: [ferry] });
  } finally {
    await pipeline.close();
  }
}

function errorOf(result: CompressionResult): string | undefined {
  return result.stages.find(({ name }) => name === 'summarise')!.error;
}

describe('an OpenAI-compatible endpoint', () => {
  const servers: Server[] = [];
  afterEach(async () => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  interface Asked {
    readonly path: string;
    readonly key: string | undefined;
    readonly body: {
      messages: { role: string; content: string }[];
      temperature: number;
      max_tokens: number;
      model: string;
    };
  }

  async function serve(
    answer: (response: ServerResponse, asked: Asked) => void,
  ): Promise<{ url: string; asked: Asked[] }> {
    const asked: Asked[] = [];
    const server = createServer((request: IncomingMessage, response) => {
      const pieces: Buffer[] = [];
      request.on('data', (piece: Buffer) => pieces.push(piece));
      request.on('end', () => {
        const body = JSON.parse(Buffer.concat(pieces).toString()) as Asked['body'];
        const one = { path: request.url!, key: request.headers.authorization, body };
        asked.push(one);
        answer(response, one);
      });
    });
    servers.push(server);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
  }

  function completion(response: ServerResponse, content: string, finish_reason = 'stop'): void {
    response.setHeader('content-type', 'application/json');
    response.end(
      JSON.stringify({ choices: [{ index: 0, message: { role: 'assistant', content }, finish_reason }] }),
    );
  }

  test('is asked once, at temperature 0, with the text as material', async () => {
    const { url, asked } = await serve((response) => {
      completion(response, short);
    });
    const result = await run(endpointSummaries({ url, model: 'small', apiKey: 'sk-secret' }));
    expect(errorOf(result)).toBeUndefined();
    expect(result.context).toContain(short);
    expect(asked).toHaveLength(1);
    const [{ path, key, body }] = asked as [Asked];
    expect([path, key, body.model, body.temperature]).toEqual([
      '/v1/chat/completions',
      'Bearer sk-secret',
      'small',
      0,
    ]);
    expect(body.messages[1]!.content).toMatch(
      /^Question: who built the alder\nAt most \d+ words\.\n<text>\nThe Alder\nThe Alder was built/,
    );
    expect(body.messages[1]!.content.endsWith('\n</text>')).toBe(true);
    expect(JSON.stringify(result)).not.toContain('sk-secret');
  });

  test.each(['/v1', '/v1/', ''])('its address may end in %j', async (ending) => {
    const { url, asked } = await serve((response) => {
      completion(response, short);
    });
    await run(endpointSummaries({ url: url + ending, model: 'small' }));
    expect(asked[0]!.path).toBe('/v1/chat/completions');
    expect(asked[0]!.key).toBeUndefined();
  });

  test('one that was cut does not count to its end', async () => {
    const { url } = await serve((response) => {
      completion(response, `${short} Her engine was replaced in`, 'length');
    });
    const { context } = await run(endpointSummaries({ url, model: 'small' }));
    expect(context).toContain(short);
    expect(context).not.toContain('engine');
  });

  test.each<[string, (response: ServerResponse) => void, RegExp]>([
    [
      'an error',
      (response) => response.writeHead(500).end('{"error":"Alder secret"}'),
      /answered with status 500/,
    ],
    ['a refusal', (response) => response.writeHead(401).end(), /answered with status 401/],
    ['no JSON', (response) => response.end('<html>'), /no chat completion/],
    ['no choice', (response) => response.end('{"choices":[]}'), /no chat completion/],
    ['a broken connection', (response) => response.destroy(), /cannot be asked/],
    ['far too much', (response) => response.end('x'.repeat(1_100_000)), /more than 1000000 bytes/],
  ])('%s: the extract stands, and the reason holds no text', async (_, answer, reason) => {
    const { url } = await serve(answer);
    const result = await run(endpointSummaries({ url, model: 'small', apiKey: 'sk-secret' }));
    expect(errorOf(result)).toMatch(reason);
    expect(errorOf(result)).not.toMatch(/Alder|secret/);
    expect(result.documents[0]!.origin).toBe('verbatim');
    expect(result.context).toContain('Her engine was replaced in 2011');
  });

  test('nobody there', async () => {
    const { url } = await serve(() => undefined);
    const [server] = servers.splice(0);
    await new Promise((resolve) => server!.close(resolve));
    expect(errorOf(await run(endpointSummaries({ url, model: 'small' })))).toMatch(
      /cannot be asked \(ECONNREFUSED\)/,
    );
  });

  test('one that never answers takes its share of the time, or its own limit', async () => {
    const { url } = await serve(() => undefined);
    const began = performance.now();
    const hurried = await run(endpointSummaries({ url, model: 'small' }), 300);
    expect(hurried.decisions.map(({ reason }) => reason)).toContain(
      'left as it is: there was no time to summarise it',
    );
    expect(errorOf(await run(endpointSummaries({ url, model: 'small', timeout: 100 })))).toMatch(
      /did not answer in time/,
    );
    expect(performance.now() - began).toBeLessThan(8_000);
  });

  test.each<[object, RegExp]>([
    [{ url: 'ftp://a', model: 'm' }, /endpointSummaries\.url.*https:\/\/HOST\/v1/],
    [{ url: 'http://a' }, /endpointSummaries\.model/],
    [{ url: 'http://a', model: 'm', apiKey: 'line\nbreak' }, /endpointSummaries\.apiKey/],
    [{ url: 'http://a', model: 'm', timeout: 0 }, /endpointSummaries\.timeout/],
  ])('%j is refused', (options, message) => {
    let error: unknown;
    try {
      endpointSummaries(options as Parameters<typeof endpointSummaries>[0]);
    } catch (thrown) {
      error = thrown;
    }
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain('line');
  });
});

const isInstalled = existsSync(
  join(packageFile(), 'node_modules', '@xenova', 'transformers', 'package.json'),
);

describe.skipIf(!isInstalled)(
  'a model of text to text by Transformers.js (needs @xenova/transformers)',
  () => {
    let folder: string;
    beforeAll(() => {
      folder = mkdtempSync(join(tmpdir(), 'ragpress-seq2seq-'));
      layOutSeq2seq(folder, 'acme/copies', ['summarize:', ...ferry.content.split(' ')]);
    });
    afterAll(() => {
      rmSync(folder, { recursive: true });
    });
    const local = { cacheFolder: '', localOnly: true };

    test('writes a summary, as long as was asked for', async () => {
      const generator = seq2seqSummaries({ ...local, model: 'acme/copies', cacheFolder: folder });
      const text = ferry.content;
      const whole = await generator.generate(
        { query, title: '', text, words: 100 },
        new AbortController().signal,
      );
      expect(whole).toEqual({ type: 'generated', text, isCut: false });
      const cut = await generator.generate(
        { query, title: '', text, words: 6 },
        new AbortController().signal,
      );
      expect(cut.text).toBe(text.split(' ').slice(0, 12).join(' '));
      expect(cut.isCut).toBe(true);
      await generator.close!();
    });

    test('through the stage: what was cut does not count, and what is left of it stands', async () => {
      const result = await run(
        seq2seqSummaries({ model: 'acme/copies', localOnly: true, cacheFolder: folder }),
        30_000,
        0.2,
      );
      expect(errorOf(result)).toBeUndefined();
      expect(result.context).toContain('The Alder was built in 1987 by Dunmore of Leith.');
      expect(result.context).not.toContain('engine');
    });

    test('an abort ends it between two tokens', async () => {
      const generator = seq2seqSummaries({ model: 'acme/copies', localOnly: true, cacheFolder: folder });
      await generator.open!();
      const controller = new AbortController();
      const running = generator.generate(
        { query, title: '', text: 'The Alder was '.repeat(160), words: 10_000 },
        controller.signal,
      );
      setTimeout(() => {
        controller.abort(new Error('enough'));
      }, 20);
      await expect(running).rejects.toThrow('enough');
      const next = await generator.generate(
        { query, title: '', text: 'The Alder', words: 10 },
        new AbortController().signal,
      );
      expect(next.text).toBe('The Alder');
      await generator.close!();
    });

    test('one that is not there, or damaged, is refused when the pipeline is made', async () => {
      await expect(
        run(seq2seqSummaries({ model: 'acme/none', localOnly: true, cacheFolder: folder })),
      ).rejects.toThrow(/acme\/none: it is not whole in /);
      layOutSeq2seq(folder, 'acme/damaged', ['a']);
      writeFileSync(
        join(folder, 'models', 'acme', 'damaged', 'onnx', 'encoder_model_quantized.onnx'),
        'no graph',
      );
      await expect(
        run(seq2seqSummaries({ model: 'acme/damaged', localOnly: true, cacheFolder: folder })),
      ).rejects.toThrow(/acme\/damaged: what is in .* cannot be loaded/);
      expect(() => seq2seqSummaries({ model: '../elsewhere' })).toThrow(/transformersSeq2seq\.model/);
    });
  },
);

describe.skipIf(!hasWeights('smollm2'))('the embedded decoder', () => {
  test('is asked for a summary, and what it writes is guarded', async () => {
    const generator = decoderSummaries();
    const result = await run(generator, 120_000);
    expect(errorOf(result)).toBeUndefined();
    for (const { content, generated = [] } of result.documents)
      for (const { start, end, sources } of generated) {
        const said = sources.map((span) => ferry.content.slice(span.start, span.end)).join(' ');
        for (const fact of content.slice(start, end).match(/\p{N}+|(?<=\p{Ll} )\p{Lu}\p{L}+/gu) ?? [])
          expect(said).toContain(fact);
      }
    expect(result.tokens.after).toBeLessThanOrEqual(result.tokens.before + 20);
  }, 120_000);

  test('an abort is heard', async () => {
    const generator = decoderSummaries();
    await generator.open!();
    const controller = new AbortController();
    const running = generator.generate(
      { query, title: '', text: ferry.content.repeat(10), words: 400 },
      controller.signal,
    );
    controller.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    await generator.close!();
  }, 60_000);
});

import { ContextualCompressionRetriever } from '@langchain/classic/retrievers/contextual_compression';
import { Document } from '@langchain/core/documents';
import { BaseRetriever } from '@langchain/core/retrievers';
import { BaseDocumentCompressor } from '@langchain/core/retrievers/document_compressors';
import { InMemoryCache } from '@langchain/core/caches';
import {
  AIMessage,
  type AIMessageChunk,
  ChatMessage,
  HumanMessage,
  SystemMessage,
  ToolMessage,
} from '@langchain/core/messages';
import { StringOutputParser } from '@langchain/core/output_parsers';
import { ChatPromptTemplate } from '@langchain/core/prompts';
import { RunnableLambda } from '@langchain/core/runnables';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Compressor } from 'ragpress';
import {
  answerStep,
  compressStep,
  RagpressChatModel,
  RagpressCompressor,
  type RagpressMetadata,
} from 'ragpress/langchain';
import { Decoder } from '../../models/decoder/decoder.js';
import { scriptedGenerator } from './local/scripted-generator.js';
import { ferry, question, yard } from './requests/prompts.js';

const documents = [
  new Document({ id: 'x', pageContent: ferry, metadata: { title: 'Fares', page: 3 } }),
  new Document({ pageContent: yard, metadata: { source: 'https://yard.example/rowan' } }),
  new Document({ id: 'x', pageContent: '', metadata: {} }),
];

class Retriever extends BaseRetriever {
  override lc_namespace = ['test'];
  override _getRelevantDocuments(): Promise<Document[]> {
    return Promise.resolve(documents);
  }
}

const pipeline = { model: 'gpt-4o', budget: { tokens: 45 } };

describe('RagpressCompressor', () => {
  test('fits ContextualCompressionRetriever', async () => {
    const baseCompressor = new RagpressCompressor({ pipeline });
    expect(BaseDocumentCompressor.isBaseDocumentCompressor(baseCompressor)).toBe(true);
    const retriever = new ContextualCompressionRetriever({ baseCompressor, baseRetriever: new Retriever() });
    const found = await retriever.invoke(question);
    expect(found).toHaveLength(1);
    expect(found[0]).toBeInstanceOf(Document);
    expect(found[0]).toMatchObject({ id: 'x', metadata: { title: 'Fares', page: 3 } });
    expect(found[0]!.pageContent).toContain('7.50');
    expect(found[0]!.pageContent.length).toBeLessThan(ferry.length);
    await baseCompressor.close();
  });

  test('says where the text stands in the original', async () => {
    const compressor = new RagpressCompressor({ pipeline });
    const [compressed] = await compressor.compressDocuments(documents, question);
    const { spans, tokensBefore, tokensAfter } = (compressed!.metadata as { ragpress: RagpressMetadata })
      .ragpress;
    expect(tokensAfter).toBeLessThan(tokensBefore);
    for (const { start, end } of spans)
      expect(compressed!.pageContent).toContain(ferry.slice(start, end).trim());
    expect(documents[0]!.metadata).toEqual({ title: 'Fares', page: 3 });
    await compressor.close();
  });

  test('options that cannot be used are named at start', () => {
    expect(() => new RagpressCompressor({ pipeline: { preset: 'slow' } })).toThrow(
      expect.objectContaining({ field: 'preset', value: 'slow' }) as Error,
    );
    expect(() => compressStep({ pipeline: { deadline: -1 } })).toThrow(
      expect.objectContaining({ field: 'deadline', value: -1 }) as Error,
    );
  });
});

describe('compressStep', () => {
  test.each([{ question }, { query: question }])(
    'adds the context to what it is given: %j',
    async (asked) => {
      const output = await compressStep({ pipeline }).invoke({ ...asked, documents });
      expect(output).toMatchObject({ ...asked, documents });
      expect(output.context).toContain('7.50');
      expect(output.context).not.toContain('Rowan');
    },
  );

  test('is a step among others', async () => {
    const chain = compressStep({ pipeline }).pipe(
      RunnableLambda.from(({ context }: { context: string }) => context.length),
    );
    expect(await chain.invoke({ question, documents })).toBeGreaterThan(10);
  });

  test("stops when the call's signal does", async () => {
    let reason: unknown;
    const waiting: Compressor = {
      name: 'waiting',
      compress: (_, { signal }) =>
        new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reason = signal.reason;
            reject(signal.reason as Error);
          });
        }),
    };
    const asked = compressStep({ pipeline: { stages: [waiting] } }).invoke(
      { question, documents },
      { signal: AbortSignal.timeout(100) },
    );
    await expect(asked).rejects.toThrow();
    expect(reason).toMatchObject({ name: 'TimeoutError' });
  });
});

describe('the embedded model', { timeout: 120_000 }, () => {
  let decoder: Decoder;
  const rowan = 'In which year was the Rowan built?';

  beforeAll(async () => {
    decoder = await Decoder.load();
  }, 120_000);

  afterAll(() => decoder.close());

  test('answers at the end of a chain, at once and in pieces', async () => {
    const chain = compressStep({ pipeline }).pipe(answerStep({ decoder, maxTokens: 24 }));
    const output = await chain.invoke({ question: rowan, documents });
    expect(output).toMatchObject({ question: rowan, documents });
    expect(output.context).toContain('1987');
    expect(output.answer).toContain('1987');
    const pieces: string[] = [];
    for await (const { answer } of await chain.stream({ question: rowan, documents })) pieces.push(answer);
    expect(pieces.length).toBeGreaterThan(2);
    expect(pieces.join('')).toBe(output.answer);
    const asked = await answerStep({ decoder, maxTokens: 4 }).invoke({
      query: rowan,
      context: output.context,
    });
    expect(asked.answer).not.toBe('');
  });

  test('is a chat model: after a prompt, with its usage, streamed and stopped', async () => {
    const model = new RagpressChatModel({ decoder, maxTokens: 12 });
    expect(model._llmType()).toBe('ragpress');
    const message = await model.invoke('Count: one, two, three, four, five. Go on counting.');
    expect(message).toBeInstanceOf(AIMessage);
    expect(message.response_metadata).toMatchObject({
      model_name: expect.stringMatching(/^smollm2@/) as string,
    });
    const { input_tokens, output_tokens, total_tokens } = message.usage_metadata!;
    expect(output_tokens).toBeLessThanOrEqual(12);
    expect(total_tokens).toBe(input_tokens + output_tokens);

    let streamed: AIMessageChunk | undefined;
    let chunks = 0;
    for await (const chunk of await model.stream('Count: one, two, three, four, five. Go on counting.')) {
      streamed = streamed ? streamed.concat(chunk) : chunk;
      chunks++;
    }
    expect(chunks).toBeGreaterThan(1);
    expect(streamed!.text).toBe(message.text);
    expect(streamed!.usage_metadata).toMatchObject(message.usage_metadata!);
    expect(streamed!.response_metadata).toMatchObject({
      finish_reason: message.response_metadata.finish_reason as string,
    });

    const prompt = ChatPromptTemplate.fromMessages([
      ['system', 'Answer from the context.'],
      ['human', '{context}\n\nQuestion: {question}'],
    ]);
    const chain = compressStep({ pipeline }).pipe(prompt).pipe(model).pipe(new StringOutputParser());
    expect(await chain.invoke({ question: rowan, documents })).toContain('1987');
    let text = '';
    for await (const piece of await chain.stream({ question: rowan, documents })) text += piece;
    expect(text).toContain('1987');
    const stopped = compressStep({ pipeline })
      .pipe(prompt)
      .pipe(model.withConfig({ stop: ['98'] }));
    const { text: cut, response_metadata } = await stopped.invoke({ question: rowan, documents });
    expect(cut).toBe(text.slice(0, text.indexOf('98')));
    expect(response_metadata.finish_reason).toBe('stop');
  });

  test("stops when the call's signal does", async () => {
    const model = new RagpressChatModel({ decoder, maxTokens: 2_000, temperature: 10 });
    const controller = new AbortController();
    const read = async () => {
      for await (const { text } of await model.stream('Tell a story.', { signal: controller.signal }))
        if (text !== '') controller.abort();
    };
    await expect(read()).rejects.toThrow();
    const asked = model.invoke('Tell a long story.', { signal: AbortSignal.timeout(300) });
    await expect(asked).rejects.toThrow();
  });

  test('is loaded by the first call, and again after it was closed', async () => {
    const model = new RagpressChatModel({ maxTokens: 2 });
    await model.close();
    expect((await model.invoke('Hello')).text).not.toBe('');
    await model.close();
    expect((await model.invoke('Hello')).text).not.toBe('');
    await model.close();
    const step = answerStep({ decoder: { folder: '/nowhere/at/all' } });
    await expect(step.invoke({ question, context: '' })).rejects.toMatchObject({ name: 'ModelError' });
    await step.close();
  });
});

describe('RagpressChatModel', () => {
  test('passes on what it is told, for all calls and for one', async () => {
    const decoder = scriptedGenerator(() => ['A ', 'word.']);
    const model = new RagpressChatModel({ decoder, maxTokens: 9, temperature: 0.5, stop: ['x'] });
    await model.invoke('Hi');
    await model.invoke('Hi', { maxTokens: 3, topK: 5, stop: ['y'] });
    expect(decoder.asked.map(({ options: { signal: _, ...options } }) => options)).toEqual([
      { maxTokens: 9, temperature: 0.5, stop: ['x'] },
      { maxTokens: 3, temperature: 0.5, topK: 5, stop: ['y'] },
    ]);
    await model.invoke([
      new SystemMessage('S'),
      new ChatMessage({ role: 'user', content: 'U' }),
      new AIMessage('A'),
      new HumanMessage({
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b' },
        ],
      }),
    ]);
    expect(decoder.asked.at(-1)!.input).toEqual({
      messages: [
        { role: 'system', content: 'S' },
        { role: 'user', content: 'U' },
        { role: 'assistant', content: 'A' },
        { role: 'user', content: 'ab' },
      ],
    });
  });

  test('callbacks get each piece', async () => {
    const model = new RagpressChatModel({ decoder: scriptedGenerator(() => ['A ', 'word.']) });
    const tokens: string[] = [];
    const callbacks = [{ handleLLMNewToken: (token: string) => void tokens.push(token) }];
    let text = '';
    for await (const chunk of await model.stream('Hi', { callbacks })) text += chunk.text;
    expect(text).toBe('A word.');
    expect(tokens).toEqual(['A ', 'word.']);
  });

  test("LangChain's cache tells models by their options", async () => {
    const decoder = scriptedGenerator(() => ['A ', 'word.']);
    const cache = new InMemoryCache();
    for (const temperature of [0, 0, 1])
      await new RagpressChatModel({ decoder, cache, temperature }).invoke('Hi');
    expect(decoder.asked).toHaveLength(2);
    await new RagpressChatModel({ decoder: { ...decoder, model: 'another' }, cache }).invoke('Hi');
    expect(decoder.asked).toHaveLength(3);
  });

  test('what it cannot read is refused', async () => {
    const model = new RagpressChatModel({ decoder: scriptedGenerator(() => ['A ', 'word.']) });
    const image = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA' } };
    await expect(model.invoke([new HumanMessage({ content: [image] })])).rejects.toMatchObject({
      field: 'messages[0].content',
    });
    const result = new ToolMessage({ content: 'x', tool_call_id: 'a' });
    await expect(model.invoke([new HumanMessage('Hi'), result])).rejects.toMatchObject({
      field: 'messages[1]',
      value: 'tool',
    });
    expect(() => new RagpressChatModel({ temperature: -1 })).toThrow(
      expect.objectContaining({ field: 'temperature', value: -1 }) as Error,
    );
    expect(() => answerStep({ maxTokens: 0 })).toThrow(
      expect.objectContaining({ field: 'maxTokens', value: 0 }) as Error,
    );
  });
});

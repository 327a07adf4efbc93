import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { openCheckpoint } from '../../../models/decoder/checkpoint.js';
import { DecoderEngine } from '../../../models/decoder/decoder-engine.js';
import { logSoftmax } from '../../../kvreuse/divergence.js';
import { Decoder, type DecoderOptions } from '../../../models/decoder/decoder.js';
import type { ChatMessage, GenerateOptions } from '../../../models/decoder/generation.js';
import { Sampler } from '../../../models/decoder/sampler.js';
import { ModelRegistry } from '../../../models/registry.js';
import { Tokenizer } from '../../../models/tokenizer.js';
import { checkpointFolder } from './checkpoint-folder.js';

const messages = [{ role: 'user', content: 'What is it?' }] as const;
let decoder: Decoder;

beforeAll(async () => {
  decoder = await Decoder.load({ folder: checkpointFolder('llama') });
});
afterAll(() => decoder.close());

/** The engine by itself and in a decoder, both in float32, until the test is over. */
async function openExact() {
  const checkpoint = await openCheckpoint(checkpointFolder('llama'));
  const engine = await DecoderEngine.open(checkpoint, { threads: 1, precision: 'float32' });
  await checkpoint.close();
  const exact = await Decoder.load({ folder: checkpointFolder('llama'), precision: 'float32' });
  onTestFinished(async () => {
    await engine.close();
    await exact.close();
  });
  return { checkpoint, engine, exact };
}

async function textOf(options: GenerateOptions, from = decoder): Promise<string> {
  return (await from.generate({ messages }, options).result).text;
}

describe('what is generated', () => {
  test('comes in pieces that are the whole', async () => {
    const generation = decoder.generate({ messages }, { maxTokens: 40 });
    const pieces: string[] = [];
    for await (const piece of generation) pieces.push(piece);
    const { text, promptTokens, completionTokens, finishReason, milliseconds } = await generation.result;
    expect(pieces.join('')).toBe(text);
    expect(pieces.length).toBeGreaterThan(1);
    expect(promptTokens).toBe(1 + 'What is it?'.length + 1 + 1);
    expect(finishReason === 'length' ? completionTokens : 40).toBe(40);
    expect(milliseconds.total).toBeGreaterThanOrEqual(milliseconds.firstToken);
  });

  test('is the same each time, by its seed where it is sampled', async () => {
    expect(await textOf({ maxTokens: 30 })).toBe(await textOf({ maxTokens: 30 }));
    const sampled = { maxTokens: 30, temperature: 1.5, topK: 50, topP: 0.95 };
    const [one, again, other] = [
      await textOf({ ...sampled, seed: 1 }),
      await textOf({ ...sampled, seed: 1 }),
      await textOf({ ...sampled, seed: 2 }),
    ];
    expect(again).toBe(one);
    expect(other).not.toBe(one);
    expect(await textOf({ ...sampled, topK: 1 })).toBe(await textOf({ maxTokens: 30 }));
  });

  test('ends before a stop string, wherever the tokens part it', async () => {
    const all = await textOf({ maxTokens: 40 });
    const stop = all.slice(11, 15);
    const generation = decoder.generate({ messages }, { maxTokens: 40, stop: [stop, 'never said'] });
    let streamed = '';
    for await (const piece of generation) streamed += piece;
    const { text, finishReason } = await generation.result;
    expect(text).toBe(all.slice(0, all.indexOf(stop)));
    expect(streamed).toBe(text);
    expect(finishReason).toBe('stop');
  });

  test.each([
    ['the likeliest', { temperature: 0, frequencyPenalty: 0 }],
    ['the likeliest, for repeating', { temperature: 0, frequencyPenalty: 0.3 }],
    ['sampled', { temperature: 0.8, frequencyPenalty: 0 }],
  ])('is what a token at a time gives, %s, where text comes again', async (_, chosen) => {
    const { checkpoint, engine, exact } = await openExact();
    for (const seed of [1, 2, 3]) {
      const some = Array.from({ length: 9 }, (_, i) => 3 + ((seed * 31 + i * i * 7) % 90));
      const prompt = [...some, ...some, 5, ...some.slice(0, 4)];
      const sampler = new Sampler({ topP: 1, presencePenalty: 0, seed, ...chosen });
      const past = engine.slots();
      const said: number[] = [];
      for (let next = prompt; said.length < 40;) {
        const positions = next.map((_, i) => past.length + i);
        const { hidden, kv } = await engine.step({ rows: engine.embed(next), positions, past });
        past.append(kv, next.length);
        next = [sampler.next(await engine.logits(hidden.slice(-engine.shape.width)))!];
        if (checkpoint.ends.includes(next[0]!)) break;
        said.push(...next);
      }
      const tokenizer = new Tokenizer(checkpoint.tokenizer.json, checkpoint.tokenizer.config);
      const options = { maxTokens: 40, stop: [], seed, ...chosen };
      const { text, completionTokens } = await exact.generate({ tokens: prompt }, options).result;
      expect(text).toBe(tokenizer.decode(said));
      expect(completionTokens).toBe(said.length);
    }
  });

  test('repeats less where that costs', async () => {
    const distinct = (text: string) => new Set(text).size;
    const plain = await textOf({ maxTokens: 60 });
    expect(distinct(await textOf({ maxTokens: 60, frequencyPenalty: 2 }))).toBeGreaterThan(distinct(plain));
  });

  test('does not depend on what else is under way', async () => {
    const alone = await textOf({ maxTokens: 12 });
    const many = Array.from({ length: 50 }, (_, i) =>
      i % 2 === 0
        ? textOf({ maxTokens: 12 })
        : decoder.generate({ prompt: `Another ${i}` }, { maxTokens: 5 }).result.then(({ text }) => text),
    );
    const texts = await Promise.all(many);
    expect(texts.filter((_, i) => i % 2 === 0)).toEqual(Array.from({ length: 25 }, () => alone));
  });

  test('waits for room where there is none, and comes all the same', async () => {
    const narrow = await Decoder.load({ folder: checkpointFolder('llama'), cacheMegabytes: 0.001 });
    const texts = await Promise.all(Array.from({ length: 5 }, () => textOf({ maxTokens: 8 }, narrow)));
    expect(new Set(texts)).toEqual(new Set([await textOf({ maxTokens: 8 })]));
    await narrow.close();
  });

  test('is the same from text, from its tokens and from their embeddings', async () => {
    const tokens = [0, ...(await decoder.encode('Lamp room'))];
    const fromText = await decoder.generate({ prompt: 'Lamp room' }, { maxTokens: 10 }).result;
    const fromTokens = await decoder.generate({ tokens }, { maxTokens: 10 }).result;
    expect(fromTokens.text).toBe(fromText.text);
    expect(fromText.promptTokens).toBe(tokens.length);
    const embeds = new Float32Array(3 * decoder.width).fill(0.1);
    expect((await decoder.generate({ embeds }, { maxTokens: 3 }).result).promptTokens).toBe(3);
  });

  test('is of as many tokens as are counted', async () => {
    const messages = [{ role: 'user' as const, content: 'When was the lamp room built?' }];
    const inputs = [{ prompt: 'Lamp room' }, { messages }, { embeds: new Float32Array(2 * decoder.width) }];
    for (const input of inputs) {
      const { promptTokens } = await decoder.generate(input, { maxTokens: 1 }).result;
      expect(await decoder.countTokens(input)).toBe(promptTokens);
    }
    const long = new Array<number>(decoder.contextTokens + 1).fill(3);
    expect(await decoder.countTokens({ tokens: long })).toBe(long.length);
    await expect(decoder.countTokens({ prompt: '' })).rejects.toMatchObject({ name: 'ConfigurationError' });
  });
});

describe('a chat template', () => {
  test('puts special tokens where it says, and none that a message spells', async () => {
    const plain = await decoder.generate({ messages: [{ role: 'user', content: 'ab' }] }, { maxTokens: 1 })
      .result;
    const spelt = await decoder.generate(
      { messages: [{ role: 'user', content: 'a<|end|>b' }] },
      { maxTokens: 1 },
    ).result;
    expect(spelt.promptTokens - plain.promptTokens).toBe('<|end|>'.length);
  });

  test.each([
    ['is not there', undefined, /no chat template/],
    ['is no Jinja', '{% for message in %}', /cannot be used/],
    ['refuses', "{{ raise_exception('only two turns') }}", /only two turns/],
  ])('that %s is named, and a prompt still works', async (_, template, message) => {
    const folder = mkdtempSync(join(tmpdir(), 'ragpress-'));
    cpSync(checkpointFolder('llama'), folder, { recursive: true });
    const path = join(folder, 'tokenizer_config.json');
    const config = { ...(JSON.parse(readFileSync(path, 'utf8')) as object), chat_template: template };
    writeFileSync(path, JSON.stringify(config));
    const other = await Decoder.load({ folder });
    await expect(other.generate({ messages }).result).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(message) as string,
    });
    expect(
      (await other.generate({ prompt: 'go on' }, { maxTokens: 2 }).result).completionTokens,
    ).toBeGreaterThan(0);
    await other.close();
  });
});

describe('what goes wrong', () => {
  test('a prompt that leaves no room for an answer', async () => {
    const generation = decoder.generate({ prompt: 'a'.repeat(300) });
    await expect(generation.result).rejects.toMatchObject({
      code: 'context',
      message: expect.stringMatching(/301 tokens.*256/) as string,
    });
    const read = (async () => {
      for await (const piece of generation) expect(piece).toBe('');
    })();
    await expect(read).rejects.toMatchObject({ code: 'context' });
  });

  test('an answer that fills the context ends there', async () => {
    const { promptTokens, completionTokens, finishReason } = await decoder.generate(
      { prompt: 'b'.repeat(250) },
      { maxTokens: 100 },
    ).result;
    expect(finishReason === 'length' ? promptTokens + completionTokens : 256).toBe(256);
  });

  test('input that is no number', async () => {
    const embeds = new Float32Array(decoder.width).fill(NaN);
    await expect(decoder.generate({ embeds }).result).rejects.toMatchObject({ code: 'inference' });
    expect(await textOf({ maxTokens: 3 })).not.toBe('');
  });

  test.each([
    ['before it begins', 0],
    ['in mid-prompt', 1],
    ['in mid-stream', 30],
  ])('an abort %s', async (_, delay) => {
    const controller = new AbortController();
    const reason = new Error('enough');
    if (delay === 0) controller.abort(reason);
    const generation = decoder.generate(
      { prompt: 'c'.repeat(200) },
      { maxTokens: 5000, temperature: 2, signal: controller.signal },
    );
    setTimeout(() => {
      controller.abort(reason);
    }, delay);
    const outcome = await generation.result.catch((error: unknown) => error);
    // A short context may be full before the signal comes.
    expect(outcome === reason || (outcome as { finishReason?: string }).finishReason !== undefined).toBe(
      true,
    );
    if (delay === 0) expect(outcome).toBe(reason);
    expect(await textOf({ maxTokens: 3 })).not.toBe('');
  });

  test('a reader that leaves early ends the generation', async () => {
    const generation = decoder.generate({ messages }, { maxTokens: 200 });
    for await (const piece of generation) {
      expect(piece).not.toBe('');
      break;
    }
    await expect(generation.result).rejects.toMatchObject({ name: 'AbortError' });
  });

  test('use after the end, and an end in the midst', async () => {
    const other = await Decoder.load({ folder: checkpointFolder('gguf') });
    const under = other.generate({ messages }, { maxTokens: 200 });
    await other.close();
    await other.close();
    await expect(under.result).rejects.toMatchObject({
      code: 'inference',
      message: expect.stringMatching(/closed/) as string,
    });
    await expect(other.generate({ messages }).result).rejects.toMatchObject({ code: 'inference' });
    await expect(other.encode('text')).rejects.toMatchObject({ code: 'inference' });
  });

  test.each([
    ['generate.temperature', () => decoder.generate({ messages }, { temperature: -1 })],
    ['generate.maxTokens', () => decoder.generate({ messages }, { maxTokens: 0.5 })],
    ['generate.stop', () => decoder.generate({ messages }, { stop: [''] })],
    ['input', () => decoder.generate({ messages: [] })],
    ['input.tokens', () => decoder.generate({ tokens: [999_999] })],
    ['input.embeds', () => decoder.generate({ embeds: new Float32Array(7) })],
  ])('a bad option names its field: %s', (field, call) => {
    expect(call).toThrow(expect.objectContaining({ name: 'ConfigurationError' }));
    expect(call).toThrow(field);
  });

  test('a model by its name, and the same with a file that was altered', async () => {
    const models = mkdtempSync(join(tmpdir(), 'ragpress-'));
    const folder = join(models, 'tiny');
    cpSync(checkpointFolder('gguf'), folder, { recursive: true });
    const path = join(folder, 'model.gguf');
    const bytes = readFileSync(path);
    const file = {
      path: 'model.gguf',
      size: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    };
    const described = {
      name: 'tiny',
      version: '3',
      kind: 'decoder',
      license: 'none',
      source: 'a test',
      files: [file],
    };
    writeFileSync(join(folder, 'model.json'), JSON.stringify(described));
    const options = { model: 'tiny', registry: new ModelRegistry({ folder: models }) };
    const named = await Decoder.load(options);
    expect(named.model).toBe('tiny@3');
    await named.close();
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(path, bytes);
    await expect(Decoder.load(options)).rejects.toMatchObject({ code: 'damaged' });
  });

  test('a model that is no decoder, or two at once', async () => {
    await expect(Decoder.load({ model: 'minilm' })).rejects.toThrow(/decoder\.model.*embedder/);
    await expect(Decoder.load({ model: 'smollm2', folder: 'there' })).rejects.toThrow(/folder/);
  });
});

describe('a text that stands for no answer', () => {
  const load = async () => {
    const { engine, exact } = await openExact();
    /** Of a text right behind a prompt. */
    const likelihood = async (prompt: readonly number[], text: readonly number[]) => {
      const all = [...prompt, ...text];
      const positions = all.map((_, i) => i);
      const { width } = engine.shape;
      const { hidden } = await engine.step({ rows: engine.embed(all), positions, past: engine.slots() });
      let likely = 1;
      for (const [i, token] of text.entries()) {
        const row = prompt.length - 1 + i;
        const logits = await engine.logits(hidden.slice(row * width, (row + 1) * width));
        likely *= Math.exp(logSoftmax(logits)[token]!);
      }
      return likely;
    };
    return { exact, likelihood };
  };

  test.each(['a', 'n', 'no', 'No.'])(
    'is said from the probability on that is asked for: %j',
    async (text) => {
      const { exact, likelihood } = await load();
      const tokens = [0, ...(await exact.encode('Where is the lamp?'))];
      const likely = await likelihood(tokens, await exact.encode(text));
      const say = async (probability: number) => {
        const generation = exact.generate({ tokens }, { maxTokens: 20, abstention: { text, probability } });
        let streamed = '';
        for await (const piece of generation) streamed += piece;
        const result = await generation.result;
        expect(streamed).toBe(result.text);
        return result;
      };
      const plain = await exact.generate({ tokens }, { maxTokens: 20 }).result;
      expect(await say(likely * 0.99)).toMatchObject({
        text,
        finishReason: 'stop',
        completionTokens: (await exact.encode(text)).length,
      });
      const above = await say(Math.min(1, likely * 1.01));
      expect([above.text, above.completionTokens]).toEqual([plain.text, plain.completionTokens]);
    },
  );

  test('is told where it cannot be', () => {
    for (const abstention of [{ text: '', probability: 0.1 }, { text: 'no', probability: 0 }, true])
      expect(() => decoder.generate({ messages }, { abstention: abstention as never })).toThrow(
        /generate\.abstention/,
      );
  });
});

describe('a prompt that begins as the one before it', () => {
  const turns = [
    ...messages,
    { role: 'assistant', content: 'A lamp.' },
    { role: 'user', content: 'And where does it stand?' },
  ] as const;
  const open = async (options: DecoderOptions = {}) => {
    const opened = await Decoder.load({
      folder: checkpointFolder('llama'),
      precision: 'float32',
      ...options,
    });
    onTestFinished(() => opened.close());
    return opened;
  };
  const say = async (from: Decoder, turn: readonly ChatMessage[], maxTokens = 20) =>
    from.generate({ messages: turn }, { maxTokens }).result;

  test('is gone on from where they part, as if it had been read whole', async () => {
    const [chat, fresh] = [await open(), await open()];
    const { reuse, promptTokens } = await say(chat, messages);
    expect(reuse).toBeUndefined();
    const next = await say(chat, turns);
    expect(next.reuse!.reused).toBeGreaterThanOrEqual(promptTokens - 1);
    expect(next.reuse).toEqual({
      reused: next.reuse!.reused,
      repaired: 0,
      computed: next.promptTokens - next.reuse!.reused,
    });
    expect(next.text).toBe((await say(fresh, turns)).text);
    const back = await say(chat, messages);
    expect(back.text).toBe((await say(await open(), messages)).text);
  });

  test('is known but for its last token where it is the same', async () => {
    const chat = await open();
    const first = await say(chat, turns, 70);
    const again = await say(chat, turns, 70);
    expect(again.reuse).toEqual({ reused: again.promptTokens - 1, repaired: 0, computed: 1 });
    expect(again.text).toBe(first.text);
  });

  test('is known as well where the one before it was answered in a token, and where there was room for it', async () => {
    const chat = await open();
    const { promptTokens } = await say(chat, turns, 1);
    expect((await say(chat, turns)).reuse!.reused).toBe(promptTokens - 1);
    const narrow = await open({ cacheMegabytes: 0.001 });
    for (let i = 0; i < 2; i++) expect((await say(narrow, turns)).reuse).toBeUndefined();
  });

  test('is gone on from where the one before it was ended early', async () => {
    const [chat, fresh] = [await open(), await open()];
    for await (const piece of chat.generate({ messages: turns }, { maxTokens: 200 })) {
      expect(piece).not.toBe('');
      break;
    }
    const { reuse, promptTokens, text } = await say(chat, turns);
    expect(reuse!.reused).toBe(promptTokens - 1);
    expect(text).toBe((await say(fresh, turns)).text);
  });

  test('is read whole where rows may not be told apart, or a window hides some', async () => {
    const chat = await open();
    const embeds = new Float32Array(3 * chat.width).fill(0.1);
    for (let i = 0; i < 2; i++)
      expect((await chat.generate({ embeds }, { maxTokens: 3 }).result).reuse).toBeUndefined();
    expect((await say(chat, messages)).reuse).toBeUndefined();
    const narrow = await open({ window: 256 });
    for (let i = 0; i < 2; i++) expect((await say(narrow, messages)).reuse).toBeUndefined();
  });
});

describe('a prompt longer than the model was trained for', () => {
  const letters = (length: number, seed = 0) =>
    Array.from({ length }, (_, i) => 3 + ((i * 7 + i * i + seed) % 90));

  test('is read by a window, which changes nothing as long as all is in it', async () => {
    const long = await Decoder.load({ folder: checkpointFolder('llama'), window: 256, precision: 'float32' });
    expect(long.contextTokens).toBe(16 * 256);
    const plain = await Decoder.load({ folder: checkpointFolder('llama'), precision: 'float32' });
    const said = (from: Decoder, tokens: number[]) => from.generate({ tokens }, { maxTokens: 12 }).result;
    expect((await said(long, letters(200))).text).toBe((await said(plain, letters(200))).text);
    await expect(said(plain, letters(700))).rejects.toThrow(/700 tokens/);

    const { text, promptTokens } = await said(long, letters(1500));
    expect(promptTokens).toBe(1500);
    // Two layers look back two windows, and at the first four tokens.
    const changed = letters(1500);
    for (let i = 100; i < 900; i++) changed[i] = 3 + ((i * 11) % 90);
    expect((await said(long, changed)).text).toBe(text);
    const near = letters(1500).map((token, i) => (i > 1300 ? 3 + ((i * 13) % 90) : token));
    expect((await said(long, near)).text).not.toBe(text);
    await plain.close();
    await long.close();
  });
});

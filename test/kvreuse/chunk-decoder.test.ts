import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, onTestFinished, test } from 'vitest';
import { ChunkDecoder, type ReuseOptions } from 'ragpress/kvreuse';
import { ConfigurationError } from 'ragpress';
import { Decoder, ModelRegistry } from 'ragpress/models';
import { chatTemplateOf } from '../../models/decoder/chat-template.js';
import { openCheckpoint } from '../../models/decoder/checkpoint.js';
import { Tokenizer } from '../../models/tokenizer.js';
import { checkpointFolder } from '../models/decoder/checkpoint-folder.js';

const DOCUMENTS = [
  'Fares\nSingle 2.40, return 4.10 but Sunday.',
  'Hours\nThe office opens at seven every day.',
  'Bicycles\nThey travel for free after ten.',
];

const messages = (order: number[], question: string) => [
  { role: 'system' as const, content: 'Be brief.' },
  {
    role: 'user' as const,
    content: `${order.map((place, i) => `[${i + 1}] ${DOCUMENTS[place]!}`).join('\n\n')}\n\n${question}`,
  },
];

/** Of what these tests leave: nothing of it is to be found by the next. */
const cacheFolder = mkdtempSync(join(tmpdir(), 'ragpress-cache-'));
afterAll(() => {
  rmSync(cacheFolder, { recursive: true, force: true });
});

async function load(reuse: ReuseOptions = {}, name = 'llama', cache = cacheFolder): Promise<ChunkDecoder> {
  const registry = new ModelRegistry({ cacheFolder: cache });
  const decoder = await ChunkDecoder.load({ folder: checkpointFolder(name), registry, threads: 1, reuse });
  onTestFinished(() => decoder.close());
  return decoder;
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ragpress-chunks-'));
  onTestFinished(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

async function ask(decoder: Decoder, order: number[], question = 'what does it cost?') {
  return decoder.generate({ messages: messages(order, question) }, { maxTokens: 8 }).result;
}

/** What a decoder said that left its chunks on disk, and is closed. */
async function toldBefore(disk: NonNullable<ReuseOptions['disk']>) {
  const reuse: ReuseOptions = { disk, policy: { name: 'none' } };
  const before = await load(reuse);
  const told = await ask(before, [0, 1, 2]);
  await before.close();
  return told;
}

describe('a decoder that keeps chunks', () => {
  test('reads the same documents in another order from what it kept, and says how many tokens that were', async () => {
    const decoder = await load({ policy: { name: 'none' } });
    const first = await ask(decoder, [0, 1, 2]);
    expect(first.reuse).toEqual({ reused: 0, repaired: 0, computed: first.promptTokens });
    const second = await ask(decoder, [2, 0, 1], 'when does it open?');
    expect(second.reuse!.reused).toBeGreaterThan(0.6 * second.promptTokens);
    expect(second.reuse!.repaired).toBe(0);
    expect(second.reuse!.reused + second.reuse!.computed).toBe(second.promptTokens);
    const { hits, misses } = await decoder.storeStatistics();
    expect([hits.memory + misses > 0, misses]).toEqual([true, 4]);
  });

  test('answers the same whether it has read the documents before or not', async () => {
    const [fresh, used] = [
      await load({ policy: { name: 'none' } }),
      await load({ policy: { name: 'none' } }),
    ];
    for (const order of [[1, 0], [2, 1, 0], [0]]) await ask(used, order, 'who?');
    expect((await ask(used, [0, 1, 2])).text).toBe((await ask(fresh, [0, 1, 2])).text);
  });

  test.each([
    [{ name: 'full' }, 1],
    [{ name: 'legolink', tokens: 4 }, 0.9],
    [{ name: 'cacheblend', share: 0.2 }, 0.9],
    [{ name: 'cachecraft', alpha: 0.5 }, 0.9],
    [{ name: 'cachecraft', alpha: 0.5, carry: 0 }, 0.9],
    [{ name: 'cachecraft', alpha: 0.5, focus: true }, 0.9],
  ] as const)('repairs by policy %j', async (policy, least) => {
    const decoder = await load({ policy });
    await ask(decoder, [0, 1, 2]);
    const { reuse, promptTokens } = await ask(decoder, [2, 1, 0]);
    const { reused, repaired, computed } = reuse!;
    expect(reused + repaired + computed).toBe(promptTokens);
    expect(repaired).toBeGreaterThan(0);
    expect(repaired / promptTokens).toBeLessThanOrEqual(least);
  });

  test('under cachecraft reads documents that are new among known ones alone, as it first read those: whole', async () => {
    const plain = await Decoder.load({ folder: checkpointFolder('llama'), threads: 1 });
    onTestFinished(() => plain.close());
    const decoder = await load({ policy: { name: 'cachecraft', alpha: 0.25 } });
    const first = await ask(decoder, [0, 1]);
    expect(first.reuse).toEqual({ reused: 0, repaired: 0, computed: first.promptTokens });
    expect(first.text).toBe((await ask(plain, [0, 1])).text);
    const { reuse, promptTokens } = await ask(decoder, [0, 1, 2]);
    expect(reuse!.reused).toBeGreaterThan(0.4 * promptTokens);
    expect(reuse!.computed).toBeGreaterThan(0.2 * promptTokens);
    expect(reuse!.reused + reuse!.repaired + reuse!.computed).toBe(promptTokens);
    // What was new is known now.
    const again = await ask(decoder, [0, 1, 2], 'who?');
    expect(again.reuse!.reused).toBeGreaterThan(0.6 * again.promptTokens);
    const together = await Promise.all([3, 4].map((n) => ask(decoder, [2, 1], `number ${n}?`)));
    for (const { reuse } of together) expect(reuse!.reused).toBeGreaterThan(0);
  });

  test('answers as without caches where everything is computed anew', async () => {
    const plain = await Decoder.load({ folder: checkpointFolder('llama'), threads: 1 });
    onTestFinished(() => plain.close());
    const decoder = await load({ policy: { name: 'full' } });
    await ask(decoder, [0, 1, 2]);
    expect((await ask(decoder, [2, 1, 0])).text).toBe((await ask(plain, [2, 1, 0])).text);
  });

  test('makes an edited document from what it was before, where that is asked for', async () => {
    const edited = (decoder: ChunkDecoder) =>
      decoder.generate(
        {
          messages: messages([0, 1], 'when?').map(({ role, content }) => ({
            role,
            content: content.replace('opens at seven', 'opens at eight'),
          })),
        },
        { maxTokens: 4 },
      ).result;
    const decoder = await load({ policy: { name: 'none' }, edits: true });
    await ask(decoder, [0, 1]);
    const { reuse, promptTokens } = await edited(decoder);
    const plain = await load({ policy: { name: 'none' } });
    await ask(plain, [0, 1]);
    const without = await edited(plain);
    expect(reuse!.reused).toBeGreaterThan(without.reuse!.reused + 20);
    expect(reuse!.reused + reuse!.computed).toBe(promptTokens);
  });

  test('finds what an earlier process left on disk', async () => {
    const disk = { folder: temporaryFolder(), bytes: 50e6 };
    const told = await toldBefore(disk);
    const after = await load({ disk, policy: { name: 'none' }, memoryMegabytes: 0 });
    const again = await ask(after, [0, 1, 2]);
    expect(again.reuse!.reused).toBeGreaterThan(0.6 * again.promptTokens);
    expect(again.text).toBe(told.text);
  });

  test('computes anew, and counts, what is damaged on disk', async () => {
    const disk = { folder: temporaryFolder(), bytes: 50e6 };
    const told = await toldBefore(disk);
    const files = readdirSync(disk.folder, { recursive: true, encoding: 'utf8' })
      .map((name) => join(disk.folder, name))
      .filter((path) => statSync(path).isFile() && statSync(path).size > 2_000);
    expect(files.length).toBeGreaterThanOrEqual(3);
    truncateSync(files[0]!, statSync(files[0]!).size - 500);
    const bytes = readFileSync(files[1]!);
    bytes[bytes.length - 700]! ^= 1;
    writeFileSync(files[1]!, bytes);
    const after = await load({ disk, policy: { name: 'none' }, memoryMegabytes: 0 });
    const again = await ask(after, [0, 1, 2]);
    expect(again.text).toBe(told.text);
    const { refused } = await after.storeStatistics();
    expect(Object.values(refused).reduce((sum, count) => sum + count, 0)).toBe(2);
  });

  test('never takes what another model computed', async () => {
    const disk = { folder: temporaryFolder(), bytes: 50e6 };
    const one = await load({ disk, policy: { name: 'none' } }, 'llama');
    await ask(one, [0, 1]);
    const other = await load({ disk, policy: { name: 'none' } }, 'linear');
    expect((await ask(other, [0, 1])).reuse!.reused).toBe(0);
  });

  test('computes a chunk once for requests that come together', async () => {
    const decoder = await load({ policy: { name: 'none' } });
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) => ask(decoder, [0, 1, 2], `number ${i}?`)),
    );
    const fresh = results.filter(({ reuse }) => reuse!.reused === 0);
    expect(fresh).toHaveLength(1);
  });

  test('goes on where a request is aborted while it computes chunks', async () => {
    const decoder = await load({ policy: { name: 'none' } });
    const controller = new AbortController();
    const aborted = decoder.generate(
      { messages: messages([0, 1, 2], 'a?') },
      { signal: controller.signal },
    ).result;
    const waiting = ask(decoder, [0, 1, 2]);
    controller.abort(new Error('enough'));
    await expect(aborted).rejects.toThrow('enough');
    expect((await waiting).completionTokens).toBeGreaterThan(0);
  });

  test('reads ahead, tells what it has, and forgets it', async () => {
    const decoder = await load({ policy: { name: 'none' } });
    expect(await decoder.precompute(messages([0, 1], '?'))).toMatchObject({ reused: 0 });
    const known = await ask(decoder, [1, 0]);
    expect(known.reuse!.reused).toBeGreaterThan(0.6 * known.promptTokens);
    const chunks = await decoder.chunks();
    expect(chunks).toHaveLength(3);
    for (const { key, bytes, tiers, worthMs } of chunks) {
      expect(key).toMatch(/^[0-9a-f]{64}\/[0-9a-f]{64}$/);
      expect([bytes > 500, tiers, worthMs > 0]).toEqual([true, ['memory'], true]);
    }
    await decoder.pin(chunks[0]!.key, 60_000);
    expect((await decoder.chunks())[0]!.pinnedUntil).toBeGreaterThan(Date.now());
    await decoder.unpin(chunks[0]!.key);
    expect(await decoder.forget(chunks[0]!.key.slice(0, 64))).toBe(1);
    expect(await decoder.forget('')).toBe(2);
    expect((await ask(decoder, [0, 1])).reuse!.reused).toBe(0);
    await expect(decoder.pin('../etc/passwd')).rejects.toThrow(/key/);
  });

  test('goes on from what it has just read where the documents and all before them are the same', async () => {
    const turns = [
      ...messages([0, 1, 2], 'what does it cost?'),
      { role: 'assistant' as const, content: 'Two forty.' },
      { role: 'user' as const, content: 'And on Sundays?' },
    ];
    const next = (decoder: Decoder) => decoder.generate({ messages: turns }, { maxTokens: 8 }).result;
    const policy = { name: 'legolink', tokens: 4 } as const;
    const [chat, fresh] = [await load({ policy }), await load({ policy })];
    const { promptTokens } = await ask(chat, [0, 1, 2]);
    const { reuse, text } = await next(chat);
    expect(reuse!.reused).toBeGreaterThan(0.9 * promptTokens);
    expect(reuse!.repaired).toBe(0);
    await ask(fresh, [2, 1]);
    const other = await next(fresh);
    expect(other.reuse!.repaired).toBeGreaterThan(0);
    expect(text).toBe(other.text);
    // What the first question looked at says nothing of the next.
    const focused = await load({ policy: { name: 'cachecraft', focus: true } });
    await ask(focused, [0, 1, 2]);
    expect((await next(focused)).reuse!.reused).toBeLessThan(promptTokens - 'what does it cost?'.length);
  });

  test('reads tokens straight, whatever it has read from caches', async () => {
    const decoder = await load({ policy: { name: 'none' } });
    const checkpoint = await openCheckpoint(checkpointFolder('llama'));
    await checkpoint.close();
    const { json, config } = checkpoint.tokenizer;
    const tokens = chatTemplateOf(checkpoint, new Tokenizer(json, config)).encode(
      messages([2, 1, 0], 'what does it cost?'),
    );
    const { text } = await decoder.generate({ tokens }, { maxTokens: 5 }).result;
    await ask(decoder, [0, 1, 2]);
    await ask(decoder, [2, 1, 0]);
    const straight = await decoder.generate({ tokens }, { maxTokens: 5 }).result;
    expect([straight.text, straight.reuse]).toEqual([text, undefined]);
    const again = await decoder.generate({ tokens }, { maxTokens: 5 }).result;
    expect(again.reuse!.reused).toBe(tokens.length - 1);
  });

  test('reads prompts without documents straight', async () => {
    const decoder = await load();
    const { reuse } = await decoder.generate(
      { messages: [{ role: 'user', content: 'Hello there' }] },
      { maxTokens: 3 },
    ).result;
    expect(reuse).toBeUndefined();
  });

  describe('what the correctness gate found', () => {
    const policy = { name: 'legolink', tokens: 4 } as const;
    const reportsIn = (cache: string) =>
      readdirSync(join(cache, 'reuse')).map((n) => join(cache, 'reuse', n));
    interface Kept {
      subject: string;
      report: { exact: number; moved: number; kl: number; top1: number };
    }
    const read = (path: string) => JSON.parse(readFileSync(path, 'utf8')) as Kept;

    /** A folder where a first start left its report. */
    async function tested() {
      const cache = temporaryFolder();
      await (await load({ policy }, 'llama', cache)).close();
      const paths = reportsIn(cache);
      expect(paths).toHaveLength(1);
      return { cache, path: paths[0]!, kept: read(paths[0]!) };
    }

    test('is kept for the next start: one for each policy and model', async () => {
      const { cache, path, kept } = await tested();
      expect(kept.report.exact).toBeLessThan(0.01);
      // Other figures, with which the model may be used, stay: nobody measured again.
      const other = { ...kept, report: { ...kept.report, kl: 0.987 } };
      writeFileSync(path, JSON.stringify(other));
      await (await load({ policy }, 'llama', cache)).close();
      expect(reportsIn(cache)).toHaveLength(1);
      expect(read(path)).toEqual(other);
      await (await load({ policy: { ...policy, tokens: 5 } }, 'llama', cache)).close();
      expect(reportsIn(cache)).toHaveLength(2);
      await (await load({ policy }, 'linear', cache)).close();
      expect(reportsIn(cache)).toHaveLength(3);
    });

    test.each<[string, (kept: Kept) => string]>([
      ['cut short', (kept) => JSON.stringify(kept).slice(0, -20)],
      ['of something else', (kept) => JSON.stringify({ ...kept, subject: kept.subject.replace('4', '5') })],
      [
        'such that it must not be used',
        (kept) => JSON.stringify({ ...kept, report: { ...kept.report, kl: 5 } }),
      ],
      ['without figures', (kept) => JSON.stringify({ ...kept, report: { ...kept.report, exact: null } })],
    ])('is measured again where the file is %s', async (_, spoilt) => {
      const { cache, path, kept } = await tested();
      writeFileSync(path, spoilt(kept));
      await (await load({ policy }, 'llama', cache)).close();
      expect(read(path)).toEqual(kept);
    });

    test('is not needed to start: the folder may be a place where nothing can be written', async () => {
      const file = join(temporaryFolder(), 'file');
      writeFileSync(file, '');
      const decoder = await load({ policy }, 'llama', file);
      expect((await ask(decoder, [0, 1])).completionTokens).toBeGreaterThan(0);
    });
  });

  test.each([
    [{ policy: { name: 'best' } }, 'decoder.reuse.policy'],
    [{ policy: { name: 'cacheblend', share: 2 } }, 'decoder.reuse.policy.share'],
    [{ codec: 'int3' }, 'decoder.reuse.codec'],
    [{ memoryMegabytes: -1 }, 'decoder.reuse.memoryMegabytes'],
    [{ cache: true }, 'decoder.reuse'],
  ])('settings %j are refused by name', async (reuse, field) => {
    const loading = load(reuse as ReuseOptions);
    await expect(loading).rejects.toThrow(ConfigurationError);
    await expect(loading).rejects.toThrow(field);
  });
});

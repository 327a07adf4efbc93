import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openCheckpoint } from '../../../models/decoder/checkpoint.js';
import { Decoder } from '../../../models/decoder/decoder.js';
import { embeddingMarker } from '../../../models/decoder/embedding-marker.js';
import type { ChatMessage } from '../../../models/decoder/generation.js';
import { checkpointFolder } from './checkpoint-folder.js';

const marker = '\uE000';
let decoder: Decoder;
/** The decoder's own table, [vocabulary, width]. */
let table: Float32Array;

beforeAll(async () => {
  decoder = await Decoder.load({ folder: checkpointFolder('llama'), precision: 'float32' });
  const checkpoint = await openCheckpoint(checkpointFolder('llama'));
  table = checkpoint.embedding.read();
  await checkpoint.close();
});
afterAll(() => decoder.close());

async function rowsOf(text: string): Promise<Float32Array[]> {
  const { width } = decoder;
  return (await decoder.encode(text)).map((id) => table.slice(id * width, (id + 1) * width));
}

const user = (content: string): ChatMessage[] => [{ role: 'user', content }];

describe('embeddings in messages', () => {
  test('that are the rows of tokens are these tokens', async () => {
    // A token a character: what stands beside an embedding is cut from it either way.
    const messages = user('Who lit the lamp?');
    const ids = await decoder.generate({ messages }, { maxTokens: 20 }).result;
    const mixed = await decoder.generate(
      {
        messages: user(`Who lit t${marker}${marker} ${marker}amp?`),
        embeddings: { marker, rows: await rowsOf('hel') },
      },
      { maxTokens: 20 },
    ).result;
    expect({ text: mixed.text, tokens: mixed.promptTokens }).toEqual({
      text: ids.text,
      tokens: ids.promptTokens,
    });
    expect(await decoder.embed({ messages })).toEqual(
      await decoder.embed({
        messages: user(`${marker}ho lit the lam${marker}${marker}`),
        embeddings: { marker, rows: await rowsOf('Wp?') },
      }),
    );
  });

  test('may stand in several messages, and first and last in one', async () => {
    const rows = await rowsOf('abcd');
    const mixed = await decoder.embed({
      messages: [
        { role: 'system', content: marker },
        { role: 'user', content: `${marker}x${marker}` },
        { role: 'assistant', content: 'plain' },
        { role: 'user', content: marker },
      ],
      embeddings: { marker, rows },
    });
    const plain = await decoder.embed({
      messages: [
        { role: 'system', content: 'a' },
        { role: 'user', content: 'bxc' },
        { role: 'assistant', content: 'plain' },
        { role: 'user', content: 'd' },
      ],
    });
    expect(mixed).toEqual(plain);
  });

  test('are another prompt where they are others', async () => {
    const answer = async (row: Float32Array) =>
      (
        await decoder.generate(
          { messages: user(`Say ${marker}`), embeddings: { marker, rows: [row] } },
          { maxTokens: 20 },
        ).result
      ).text;
    const [one, two] = await rowsOf('?Z');
    expect(await answer(one!)).not.toBe(await answer(two!));
  });

  test('can be asked for as rows, and given as rows', async () => {
    const input = { messages: user(`a ${marker} b`), embeddings: { marker, rows: await rowsOf('#') } };
    const embeds = await decoder.embed(input);
    expect(embeds.length).toBe('|a # b||'.length * decoder.width);
    expect((await decoder.generate({ embeds }, { maxTokens: 20 }).result).text).toBe(
      (await decoder.generate(input, { maxTokens: 20 }).result).text,
    );
  });

  test('take no place that a text forges', async () => {
    const rows = await rowsOf('ab');
    const forged = user(`${marker} and ${marker}; a document with ${marker} in it`);
    expect(() => decoder.generate({ messages: forged, embeddings: { marker, rows } })).toThrow(
      /3 times for 2 embeddings/,
    );
    const safe = embeddingMarker([forged[0]!.content]);
    expect(safe).not.toBe(marker);
    const placed = await decoder.generate(
      { messages: user(`${safe}${safe}${forged[0]!.content}`), embeddings: { marker: safe, rows } },
      { maxTokens: 1 },
    ).result;
    const tokens = (await decoder.encode(forged[0]!.content)).length;
    expect(placed.promptTokens).toBe(1 + 2 + tokens + 2);
  });

  test('of another width are refused, with both', () => {
    const rows = [new Float32Array(decoder.width), new Float32Array(7)];
    expect(() => decoder.generate({ messages: user(marker + marker), embeddings: { marker, rows } })).toThrow(
      /7 numbers.*32/,
    );
  });

  test('that a template leaves out are missed', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'ragpress-'));
    cpSync(checkpointFolder('llama'), folder, { recursive: true });
    const path = join(folder, 'tokenizer_config.json');
    const config = JSON.parse(readFileSync(path, 'utf8')) as object;
    writeFileSync(path, JSON.stringify({ ...config, chat_template: "{{ messages[0]['content'] }}" }));
    const other = await Decoder.load({ folder });
    const input = {
      messages: [...user(marker), ...user(marker)],
      embeddings: { marker, rows: [new Float32Array(32), new Float32Array(32)] },
    };
    await expect(other.generate(input).result).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/of 2 embeddings it puts 1/) as string,
    });
    await other.close();
  });
});

test('the length of a token’s embedding is the mean over the table', async () => {
  let sum = 0;
  for (let at = 0; at < table.length; at += decoder.width)
    sum += Math.hypot(...table.subarray(at, at + decoder.width));
  expect(await decoder.embeddingNorm()).toBeCloseTo(sum / (table.length / decoder.width), 5);
});

test('a marker stands in none of the texts', () => {
  expect(embeddingMarker([])).toBe('\uE000');
  expect(embeddingMarker(['\uE000 and', 'or \uE001', '\uE003'])).toBe('\uE002');
});

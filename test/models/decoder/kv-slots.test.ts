import { describe, expect, test } from 'vitest';
import { carryOver } from '../../../models/decoder/carry-over.js';
import { openCheckpoint } from '../../../models/decoder/checkpoint.js';
import { KvSlots, type TokensKv } from '../../../models/decoder/kv-slots.js';
import { checkpointFolder } from './checkpoint-folder.js';

const [START, TOKENS] = [70, 9];

describe.each(['llama', 'yarn'])('slots of %s', (name) => {
  test('carry over at their places what keys and values would be told before their rotation', async () => {
    const checkpoint = await openCheckpoint(checkpointFolder(name));
    await checkpoint.close();
    const { shape } = checkpoint;
    const size = shape.layers * shape.kvHeads * TOKENS * shape.headSize;
    const numbers = (seed: number) => Float32Array.from({ length: size }, (_, i) => Math.sin(seed + i * i));
    const [old, fresh]: TokensKv[] = [1, 2].map((seed) => ({
      tokens: TOKENS,
      keys: numbers(seed),
      values: numbers(seed + 0.5),
    }));
    const isAnew = Array.from({ length: TOKENS }, (_, row) => row % 4 === 1);
    const mixed = (from: Float32Array, to: Float32Array) =>
      from.map((value, i) => (isAnew[Math.floor(i / shape.headSize) % TOKENS] ? to[i]! : value));
    const now = {
      tokens: TOKENS,
      keys: mixed(old!.keys, fresh!.keys),
      values: mixed(old!.values, fresh!.values),
    };
    const slots = new KvSlots(shape);
    slots.place(now, START + 300);
    slots.place(now, START);
    for (const shares of [
      { keys: 0.5, values: 0.25 },
      { keys: 1, values: 1 },
    ]) {
      await slots.carry(old!, START, isAnew, shares, { from: 0, to: 1 });
      await slots.carry(old!, START, isAnew, shares, { from: 1, to: shape.layers });
      carryOver(shape, old!, now, isAnew, shares, { from: 0, to: shape.layers });
      const read = await slots.read(START, TOKENS, START);
      for (const what of ['keys', 'values'] as const)
        read[what].forEach((value, i) => {
          expect(Math.abs(value - now[what][i]!)).toBeLessThan(1e-4);
        });
    }
    const moved = now.values.filter((value, i) => value !== old!.values[i]).length;
    expect(moved).toBe(size);
    // Another prompt that begins alike: what it has is as it was, and there is no room for what it has not.
    const before = await slots.read(START, 3, START);
    slots.truncate(START + 3);
    expect(slots.length).toBe(START + 3);
    expect(slots.capacity).toBeLessThan(START + 3 + 64);
    expect(await slots.read(START, 3, START)).toEqual(before);
    slots.place(old!, START + 200);
    expect(await slots.read(START, 3, START)).toEqual(before);
    slots.place(now, START);
    const none = new Array<boolean>(TOKENS).fill(false);
    await slots.carry(old!, START, none, { keys: 1, values: 1 }, { from: 0, to: shape.layers });
    expect((await slots.read(START, TOKENS, START)).values.every(Number.isFinite)).toBe(true);
  });
});

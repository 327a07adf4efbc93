import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { loadCost, type Load } from '../../../kvreuse/store/load-cost.js';
import { TierSpeed } from '../../../kvreuse/store/tier-speed.js';

/** A chunk of Llama-3-8B in float16 on an A100: 128 KiB and 13.96 GFLOP a token, 150 TFLOP/s. */
const llama = {
  tokens: 512,
  bytes: 512 * 128 * 1_024,
  computeTokensPerSecond: 150e12 / 13.96e9,
};
const at = (bytesPerSecond: number, more: Partial<Load> = {}) =>
  loadCost({ ...llama, speed: { latencyMs: 0, bytesPerSecond }, ...more });

describe('loadCost', () => {
  test('breaks even at the bandwidth bytes × compute / tokens', () => {
    expect(at(1.4e9).loads).toBe(false);
    expect(at(1.42e9).loads).toBe(true);
  });

  test('repair asks for more bandwidth, and hides behind loading layer by layer', () => {
    expect(at(1.5e9, { recomputedShare: 0.15 }).loads).toBe(false);
    expect(at(1.67e9, { recomputedShare: 0.15 }).loads).toBe(true);
    expect(at(1.5e9, { recomputedShare: 0.15, overlappedLayers: 32 }).loads).toBe(true);
    expect(at(Infinity, { recomputedShare: 1 }).loads).toBe(false);
  });

  test('adds latency, calls and decoding', () => {
    const { loadMs, recomputeMs } = loadCost({
      tokens: 100,
      bytes: 2_000_000,
      speed: { latencyMs: 3, bytesPerSecond: 1e9 },
      computeTokensPerSecond: 1_000,
      decodeTokensPerSecond: 10_000,
      callMs: 4,
      recomputedShare: 0.2,
    });
    expect(loadMs).toBeCloseTo(3 + 4 + 2 + 10 + 20, 9);
    expect(recomputeMs).toBe(100);
  });

  test('is never better with more bytes, latency or repair', () => {
    const number = fc.double({ min: 0.001, max: 1e6, noNaN: true });
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(number, number, number, number, share, fc.integer({ min: 1, max: 80 }), (...drawn) => {
        const [tokens, bytes, latencyMs, compute, recomputedShare, overlappedLayers] = drawn;
        const load: Load = {
          tokens,
          bytes,
          speed: { latencyMs, bytesPerSecond: 1e6 },
          computeTokensPerSecond: compute,
          recomputedShare,
          overlappedLayers,
        };
        const { loadMs } = loadCost(load);
        expect(loadCost({ ...load, bytes: 2 * bytes }).loadMs).toBeGreaterThanOrEqual(loadMs);
        expect(
          loadCost({ ...load, speed: { ...load.speed, latencyMs: 2 * latencyMs } }).loadMs,
        ).toBeGreaterThanOrEqual(loadMs);
        expect(
          loadCost({ ...load, recomputedShare: (1 + recomputedShare) / 2 }).loadMs,
        ).toBeGreaterThanOrEqual(loadMs);
        expect(loadCost({ ...load, overlappedLayers: 1 }).loadMs).toBeGreaterThanOrEqual(loadMs);
      }),
    );
  });
});

describe('TierSpeed', () => {
  test('is what was assumed until something was measured', () => {
    const speed = { latencyMs: 1, bytesPerSecond: 5 };
    expect(new TierSpeed(speed).speed).toEqual(speed);
  });

  test('counts the time once for reads at the same time, and follows the newest', async () => {
    const tier = new TierSpeed({ latencyMs: 1, bytesPerSecond: 1 });
    const read = (milliseconds: number) => () => sleep(milliseconds, new Uint8Array(1_000_000));
    await Promise.all(Array.from({ length: 10 }, () => tier.reading(read(50))));
    const { bytesPerSecond } = tier.speed;
    expect(bytesPerSecond).toBeGreaterThan(40e6);
    expect(bytesPerSecond).toBeLessThan(210e6);
    for (let count = 0; count < 3; count++) await tier.reading(read(50));
    expect(tier.speed.bytesPerSecond).toBeLessThan(bytesPerSecond * 0.8);
    tier.opened(10);
    tier.opened(20);
    expect(tier.speed.latencyMs).toBeCloseTo(12);
  });

  test('a read that fails measures nothing', async () => {
    const speed = { latencyMs: 1, bytesPerSecond: 5 };
    const tier = new TierSpeed(speed);
    await tier.reading(() => Promise.resolve(undefined));
    expect(tier.speed).toEqual(speed);
  });
});

import { describe, expect, test } from 'vitest';
import { Readings } from '../../../compressors/exit/readings.js';
import type { Window } from '../../../compressors/exit/windows.js';
import type { EvidenceSettings } from '../../../models/encoder/evidence-encoder.js';

const settings = {
  slope: 2,
  middle: 0.5,
  weightClamp: 15,
  combination: { floor: -8 },
} as unknown as EvidenceSettings;

/** `[CLS] q [SEP] title : s0 s0 s1`, one token of the query. */
const window: Window = {
  ids: [1, 2, 3, 4, 5, 6, 7, 8],
  kinds: [2, 2, 2, 0, 0, 0, 0, 0],
  owners: [-1, -1, -1, -2, -1, 0, 0, 1],
  query: 1,
};

function output(
  tokens: Readonly<Record<number, readonly [value: number, weight: number, relevance: number]>>,
  cosines: Readonly<Record<number, number>>,
) {
  return {
    numbers: Float32Array.from(window.ids.flatMap((_, token) => tokens[token] ?? [0, 0, 0])),
    cosines: Float32Array.from(window.ids, (_, token) => cosines[token] ?? 0),
  };
}

describe('what the encoder says, put together', () => {
  test('is the weighted mean of a sentence’s values and its best match of the query', () => {
    const readings = new Readings(settings);
    const three = Math.log(3);
    readings.add(
      window,
      output(
        { 0: [0, 0, 0.7], 3: [9, 1, 0.25], 5: [1, three, 5], 6: [-1, 0, 5], 7: [0.5, 0, 5] },
        { 5: 0.75, 6: 0.25, 7: -0.5 },
      ),
      [3],
    );
    expect(readings.match(0)).toBeCloseTo(0.25, 6);
    expect(readings.logit(0)).toBeCloseTo((3 * 1 - 1) / 4 + 2 * 0.25, 6);
    expect(readings.logit(1)).toBeCloseTo(0.5 + 2 * (-0.5 - 0.5), 6);
    expect(readings.relevance(3)).toBeCloseTo(0.25, 6);
    expect(readings.windowRelevance).toBeCloseTo(0.7, 6);
  });

  test('counts a sentence over all windows that it stands in', () => {
    const readings = new Readings(settings);
    readings.add(window, output({ 0: [0, 0, -1], 5: [1, 0, 0], 6: [1, 0, 0] }, { 5: 0.5 }), [0]);
    readings.add(window, output({ 0: [0, 0, -2], 5: [4, 0, 0], 6: [4, 0, 0] }, { 6: 1 }), [0]);
    expect(readings.logit(0)).toBeCloseTo(2.5 + 2 * 0.5, 6);
    expect(readings.windowRelevance).toBe(-1);
  });

  test('weighs the tokens of the query by their mean over the windows', () => {
    const two: Window = { ...window, owners: [-1, -1, -1, 0, 0, 0, 0, 0], query: 2 };
    const readings = new Readings(settings);
    const cosines = Float32Array.from({ length: 16 }, (_, at) => (at % 2 === 0 ? 1 : 0));
    for (const weight of [0, 2 * Math.log(3)])
      readings.add(two, { numbers: output({ 1: [0, weight, 0] }, {}).numbers, cosines }, [0]);
    // Softmax of log 3 and 0.
    expect(readings.match(0)).toBeCloseTo(0.75 - 0.5, 6);
  });

  test('holds weights within their limit', () => {
    const readings = new Readings({ ...settings, slope: 0 });
    readings.add(window, output({ 5: [1, 500, 0], 6: [3, 15, 0], 7: [1, -500, 0] }, {}), [0]);
    expect(readings.logit(0)).toBeCloseTo(2, 6);
    expect(readings.logit(1)).toBeCloseTo(1, 6);
  });

  test('is the floor for what was not read, and never below it', () => {
    const readings = new Readings(settings);
    readings.add(window, output({ 5: [-1e6, 0, 0] }, {}), [0]);
    expect([readings.isRead(0), readings.isRead(2)]).toEqual([true, false]);
    expect([readings.logit(0), readings.logit(2)]).toEqual([-8, -8]);
    expect(readings.match(2)).toBe(-0.5);
    expect(readings.relevance(5)).toBe(0);
  });

  test('does without a query', () => {
    const readings = new Readings(settings);
    readings.add(
      { ...window, query: 0 },
      { ...output({ 5: [1, 0, 0], 6: [1, 0, 0] }, {}), cosines: new Float32Array() },
      [0],
    );
    expect(readings.logit(0)).toBeCloseTo(1 - 2 * 0.5, 6);
  });
});

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { promptLookup } from '../../../models/decoder/prompt-lookup.js';

test('is what followed the last tokens where the longest stretch of them stood before, the last such place', () => {
  expect(promptLookup([1, 2, 3, 9, 8, 7, 3, 4, 1, 2, 3], 1, 2)).toEqual([9, 8]);
  expect(promptLookup([5, 2, 3, 9, 2, 3, 6, 7, 2, 3], 2, 3)).toEqual([6, 7, 2]);
  expect(promptLookup([4, 3, 5, 3], 1, 4)).toEqual([5, 3]);
  expect(promptLookup([4, 3, 5, 3], 2, 4)).toEqual([]);
  expect(promptLookup([4, 3, 5, 3], 1, 0)).toEqual([]);
  expect(promptLookup([7, 7, 7], 2, 4)).toEqual([7]);
  expect(promptLookup([], 1, 4)).toEqual([]);
  expect(promptLookup([3], 1, 4)).toEqual([]);
});

test('stands in the tokens, behind as many of the last as are asked for', () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 3 }), { maxLength: 40 }),
      fc.integer({ min: 1, max: 3 }),
      fc.nat({ max: 5 }),
      (tokens, shortest, most) => {
        const found = promptLookup(tokens, shortest, most);
        expect(found.length).toBeLessThanOrEqual(most);
        if (found.length > 0)
          expect(` ${tokens.join(' ')} `).toContain(` ${[...tokens.slice(-shortest), ...found].join(' ')} `);
      },
    ),
  );
});

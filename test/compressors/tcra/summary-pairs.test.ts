import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { SummaryGuard } from '../../../compressors/tcra/summary-guard.js';

interface Document {
  readonly sources: readonly string[];
  readonly pairs: readonly { readonly kind: string; readonly true: string; readonly false: string }[];
}

const documents = JSON.parse(
  readFileSync(new URL('../../fixtures/summary-pairs.json', import.meta.url), 'utf8'),
) as Document[];

const cases = documents.flatMap(({ sources, pairs }) =>
  pairs.map((pair) => ({ ...pair, guard: new SummaryGuard(sources) })),
);

test.each(cases)('refused, $kind: $false', ({ guard, false: sentence }) => {
  expect(guard.verdict(sentence).fault).toBeDefined();
});

test('of what their sources say in more words, four in five stand', () => {
  const standing = cases.filter(({ guard, true: sentence }) => guard.verdict(sentence).fault === undefined);
  expect(standing.length / cases.length).toBeGreaterThan(0.8);
});

import { describe, expect, test } from 'vitest';
import { rankRows } from '../../../compressors/exit/rank-rows.js';
import { readableText } from '../../../compressors/exit/readable-text.js';
import type { Format } from '../../../compressors/page.js';
import { extracted } from '../page-faults.js';

function readable(content: string, format: Format = 'html'): string[] {
  const { page, units } = extracted(content, format);
  return units.map((unit) => readableText(unit, page));
}

const fares = `<h2>Corran</h2><table><caption>Fares in crowns</caption>
<thead><tr><th>Ticket<th>Season<th>Car</thead>
<tr><td rowspan=2>Day return<td>Low<td>61.50<tr><td>High<td>74.30
<tr><td>Single<td>Low<td></table>`;

describe('what an encoder reads', () => {
  test('of a row: each value after the name of its column, with the cells that reach down to it', () => {
    expect(readable(fares)).toEqual([
      'Corran',
      'Fares in crowns',
      'Ticket | Season | Car',
      'Fares in crowns: Ticket Day return, Season Low, Car 61.50',
      'Fares in crowns: Ticket Day return, Season High, Car 74.30',
      'Fares in crowns: Ticket Single, Season Low',
    ]);
  });

  test('of a row in a table without names, or with others than its cells: the cells', () => {
    expect(readable('<table><tr><td>Built<td>1987<tr><td>Cars<td>52</table>').at(-1)).toBe('Cars, 52');
    const uneven = '<table><tr><th>Ship<th>Built<tr><td>Rowan<td>1987<td>Troon</table>';
    expect(readable(uneven).at(-1)).toBe('Rowan, 1987, Troon');
  });

  test('of code: the line that leads in to it, and the code', () => {
    expect(readable('Set the policy on the queue:\n\n```yaml\nmax: 5\n```\n', 'markdown').at(-1)).toMatch(
      /max: 5$/,
    );
  });

  test('of a sentence: itself', () => {
    expect(readable('<p>The Rowan was built in 1987.</p>')).toEqual(['The Rowan was built in 1987.']);
  });
});

describe('rows of tables', () => {
  const { units } = extracted(fares, 'html');

  test('share out their scores in the order of BM25; nothing else moves', () => {
    const scores = Float64Array.of(0, 0.2, 0.9, 0.5, 0.1, 0.3);
    const lexical = [9, 9, 9, 1, 3, 2];
    expect([...rankRows(units, scores, lexical)]).toEqual([0, 0.2, 0.9, 0.1, 0.5, 0.3]);
    expect([...scores]).toEqual([0, 0.2, 0.9, 0.5, 0.1, 0.3]);
  });

  test('that were not read, or say nothing, stay without a score', () => {
    expect([...rankRows(units, Float64Array.of(0, 0, 0, 0.5, 0, 0.3), [0, 0, 0, 1, 5, 2])]).toEqual([
      0, 0, 0, 0.3, 0, 0.5,
    ]);
  });

  test('that BM25 likes alike stay in the encoder’s order', () => {
    const scores = Float64Array.of(0, 0, 0, 0.2, 0.1, 0.3);
    expect([...rankRows(units, scores, new Float64Array(6))]).toEqual([...scores]);
  });
});

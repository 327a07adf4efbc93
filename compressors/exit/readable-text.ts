import type { Unit } from '../contract.js';
import { LAYOUTS, type Page } from '../page.js';
import { blockField, blockText } from '../unit.js';

/**
 * A unit as an encoder of prose can read it: a row with the name of each column before its value and the cells that reach
 * down to it, below the table's caption; code below the line that leads in to it; anything else as it is.
 */
export function readableText({ layout, text, needs }: Unit, page: Page): string {
  if (layout.type === 'code') return [leadIn(needs, page), text].filter((part) => part !== '').join(' ');
  if (layout.type !== 'row' || layout.header) return text;
  const rows = needs.filter((block) => layoutOf(page, block) === 'row');
  const headers = rows.filter((block) => blockField(page, block, 'extra') === 1);
  const above = rows.filter((block) => blockField(page, block, 'extra') !== 1);
  const names = cellsOf(headers.length > 0 ? blockText(page, headers[0]!) : '');
  const cells = cellsOf(text).map(
    (cell, column) =>
      cell || (above.map((block) => cellsOf(blockText(page, block))[column] ?? '').find(Boolean) ?? ''),
  );
  const named = cells
    .map((cell, column) => (cells.length <= names.length && cell !== '' ? `${names[column]!} ${cell}` : cell))
    .filter((cell) => cell !== '')
    .join(', ');
  const caption = leadIn(needs, page);
  return caption === '' ? named : `${caption}: ${named}`;
}

/** The nearest of what a block needs that is neither a row nor a heading. */
function leadIn(needs: readonly number[], page: Page): string {
  const block = needs.find((each) => !['row', 'heading', 'code'].includes(layoutOf(page, each)));
  return block === undefined ? '' : blockText(page, block);
}

function layoutOf(page: Page, block: number): (typeof LAYOUTS)[number] {
  return LAYOUTS[blockField(page, block, 'layout')]!;
}

/** Empty ones have their place: a row that begins with a bar begins with one. */
function cellsOf(row: string): string[] {
  return row.split('|').map((cell) => cell.trim());
}

import type { Unit } from '../contract.js';
import type { Page } from '../page.js';
import { blockField, gapBetween } from '../unit.js';

interface Step {
  /** Two units stand in one element where their steps have the same key. */
  readonly key: string | number;
  readonly name: string;
}

/**
 * Kept units as HTML: the elements that held them, without attributes, each opened once for all that is left in it.
 * Pages without elements get those of their layout.
 */
export function renderHtml(page: Page, units: readonly Unit[]): string {
  const parts: string[] = [];
  const open: Step[] = [];
  const place = new Map<Step['key'], number>();
  const closeTo = (depth: number) => {
    while (open.length > depth) {
      const { key, name } = open.pop()!;
      place.delete(key);
      parts.push(`</${name}>`);
    }
  };
  for (const [index, unit] of units.entries()) {
    const previous = units[index - 1];
    const { shared, below } = pathOf(page, unit, place);
    closeTo(shared);
    if (previous?.block === unit.block) parts.push(escapeHtml(gapBetween(previous, unit)));
    else if (previous) parts.push(below.length === 0 ? '<br>\n' : '\n');
    for (const step of below) {
      place.set(step.key, open.push(step) - 1);
      parts.push(`<${step.name}>`);
    }
    parts.push(unit.layout.type === 'row' ? cells(unit) : escapeHtml(unit.text));
  }
  closeTo(0);
  return parts.join('');
}

/** How many of the open elements hold a unit, and the others that do, from the top. */
function pathOf(
  page: Page,
  unit: Unit,
  place: ReadonlyMap<Step['key'], number>,
): { shared: number; below: Step[] } {
  let node = blockField(page, unit.block, 'node');
  if (node < 0) {
    const path = layoutPath(unit);
    let shared = 0;
    while (shared < path.length && place.get(path[shared]!.key) === shared) shared++;
    return { shared, below: path.slice(shared) };
  }
  const below: Step[] = [];
  for (; node >= 0 && !place.has(node); node = page.nodes[2 * node]!)
    below.push({ key: node, name: page.names[page.nodes[2 * node + 1]!]! });
  return { shared: node < 0 ? 0 : place.get(node)! + 1, below: below.reverse() };
}

function layoutPath({ layout, block }: Unit): Step[] {
  const own = (name: string): Step => ({ key: `block ${block}`, name });
  switch (layout.type) {
    case 'heading':
      return [own(`h${layout.level}`)];
    case 'item': {
      const lists = Array.from({ length: layout.depth + 1 }, (_, depth) => ({
        key: `list ${depth}`,
        name: /\d/.test(layout.marker) ? 'ol' : 'ul',
      }));
      return [...lists, own('li')];
    }
    case 'row':
      return [{ key: `table ${layout.table}`, name: 'table' }, own('tr')];
    case 'code':
      return [own('pre')];
    case 'quote':
      return [own('blockquote')];
    default:
      return [own('p')];
  }
}

/** A row's cells: between two of them stands a joiner with a bar, which is in no span. */
function cells({ text, spans, layout }: Unit): string {
  const name = layout.type === 'row' && layout.header ? 'th' : 'td';
  const parts: string[] = [];
  let cell = '';
  let at = 0;
  for (const span of spans) {
    const joiner = text.slice(at, span.at);
    at = span.at + span.length;
    for (let bars = joiner.split('|').length - 1; bars > 0; bars--) {
      parts.push(cell);
      cell = '';
    }
    cell += (joiner.includes('|') ? '' : joiner) + text.slice(span.at, at);
  }
  parts.push(cell);
  return parts.map((part) => `<${name}>${escapeHtml(part)}</${name}>`).join('');
}

export function escapeHtml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

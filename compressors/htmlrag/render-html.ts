import type { Unit } from '../contract.js';
import type { Page } from '../page.js';
import { blockField, gapBetween } from '../unit.js';

interface Step {
  /** Two units stand in one element where their steps have the same key. */
  readonly key: string;
  readonly name: string;
}

/**
 * Kept units as HTML: the elements that held them, without attributes, each opened once for all that is left in it.
 * Pages without elements get those of their layout.
 */
export function renderHtml(page: Page, units: readonly Unit[]): string {
  let html = '';
  let open: readonly Step[] = [];
  for (const [index, unit] of units.entries()) {
    const previous = units[index - 1];
    const path = pathOf(page, unit);
    let shared = 0;
    while (shared < open.length && shared < path.length && open[shared]!.key === path[shared]!.key) shared++;
    html += closing(open.slice(shared));
    if (previous?.block === unit.block) html += escapeHtml(gapBetween(previous, unit));
    else if (previous) html += '\n';
    html += path
      .slice(shared)
      .map(({ name }) => `<${name}>`)
      .join('');
    html += unit.layout.type === 'row' ? cells(unit) : escapeHtml(unit.text);
    open = path;
  }
  return html + closing(open);
}

function closing(steps: readonly Step[]): string {
  return steps
    .toReversed()
    .map(({ name }) => `</${name}>`)
    .join('');
}

function pathOf(page: Page, unit: Unit): Step[] {
  const steps: Step[] = [];
  for (let node = blockField(page, unit.block, 'node'); node >= 0; node = page.nodes[2 * node]!) {
    steps.push({ key: `node ${node}`, name: page.names[page.nodes[2 * node + 1]!]! });
  }
  return steps.length > 0 ? steps.reverse() : layoutPath(unit);
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
  const parts = [''];
  let at = 0;
  for (const span of spans) {
    const joiner = text.slice(at, span.at);
    const bars = joiner.split('|').length - 1;
    for (let bar = 0; bar < bars; bar++) parts.push('');
    at = span.at + span.length;
    parts[parts.length - 1] += (bars === 0 ? joiner : '') + text.slice(span.at, at);
  }
  return parts.map((part) => `<${name}>${escapeHtml(part)}</${name}>`).join('');
}

export function escapeHtml(text: string): string {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

import type { PolicyFigures } from './kvreuse.js';

const [WIDTH, HEIGHT] = [760, 400];
/** Policies in a row of the legend. */
const IN_A_ROW = 4;
const PANEL = { left: 62, top: 46, width: 280, height: 262, gap: 108 };
const COLOURS = ['#0b7285', '#c92a2a', '#5f3dc4', '#2b8a3e', '#e67700', '#a61e4d', '#495057'];

/** First-token time and KL over the share of chunks' tokens that is computed anew, a line a policy, as SVG. */
export function reusePlot(figures: readonly PolicyFigures[]): string {
  const families = [...new Set(figures.map(({ policy }) => familyOf(policy)))];
  const longest = Math.max(...figures.map(({ kl }) => kl), 0.01);
  const panels = [
    {
      title: 'first token, share of the whole prompt’s time',
      of: (each: PolicyFigures) => 1 / each.ttftVsFull,
      top: 1,
    },
    { title: 'KL of the first token, nats', of: (each: PolicyFigures) => each.kl, top: longest * 1.1 },
  ];
  const parts = panels.map(({ title, of, top }, panel) => {
    const left = PANEL.left + panel * (PANEL.width + PANEL.gap);
    const x = (share: number) => left + share * PANEL.width;
    const y = (value: number) => PANEL.top + PANEL.height * (1 - Math.min(value, top) / top);
    const ticks = [0, 0.25, 0.5, 0.75, 1].map(
      (tick) =>
        `<text x="${x(tick)}" y="${PANEL.top + PANEL.height + 18}" text-anchor="middle">${100 * tick}%</text>` +
        `<line x1="${left}" x2="${left + PANEL.width}" y1="${y(tick * top)}" y2="${y(tick * top)}" stroke="#dee2e6"/>` +
        `<text x="${left - 8}" y="${y(tick * top) + 4}" text-anchor="end">${(tick * top).toFixed(2)}</text>`,
    );
    const lines = families.map((family, i) => {
      const points = figures
        .filter(({ policy }) => familyOf(policy) === family)
        .sort((a, b) => a.recomputed - b.recomputed)
        .map((each) => [x(each.recomputed), y(of(each))] as const);
      const colour = COLOURS[i % COLOURS.length]!;
      return (
        `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map((at) => at.map((n) => n.toFixed(1)).join()).join(' ')}"/>` +
        points
          .map(([cx, cy]) => `<circle cx="${cx.toFixed(1)}" cy="${cy.toFixed(1)}" r="4" fill="${colour}"/>`)
          .join('')
      );
    });
    return `<text x="${left}" y="${PANEL.top - 16}" font-weight="bold">${title}</text>${ticks.join('')}${lines.join('')}`;
  });
  const legend = families.map((family, i) => {
    const row = Math.floor(i / IN_A_ROW);
    const before = families.slice(row * IN_A_ROW, i).reduce((sum, { length }) => sum + 7 * length + 44, 0);
    const [x, y] = [PANEL.left + before, HEIGHT - 42 + 20 * row];
    return `<circle cx="${x}" cy="${y}" r="5" fill="${COLOURS[i % COLOURS.length]!}"/><text x="${x + 10}" y="${y + 4}">${family}</text>`;
  });
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="12" fill="#212529">` +
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>${parts.join('')}${legend.join('')}</svg>\n`
  );
}

function familyOf(policy: string): string {
  return policy.replace(/-[\d.]+$/, '');
}

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { blockTree, MAX_NODE_WORDS } from '../../../compressors/htmlrag/block-tree.js';
import { blockField } from '../../../compressors/unit.js';
import { extracted } from '../page-faults.js';

function blocks(html: string, maxNodeWords?: number): string[] {
  return blockTree(html, maxNodeWords === undefined ? {} : { maxNodeWords }).map(
    ({ path, isLeaf, text }) => `${path.join(' ')}${isLeaf ? '' : ' (own text)'}: ${text}`,
  );
}

const words = (count: number, word = 'ferry') => `${word} `.repeat(count).trimEnd();

describe('cleaning', () => {
  test('what wraps one element gives way to it, what has no text is gone', () => {
    const html =
      '<body><div><section><p>The Rowan</p></section></div><div> <img src="x"><span>\n</span></div></body>';
    expect(blocks(html)).toEqual(['p: The Rowan']);
  });

  test('an element with text of its own stays', () => {
    expect(blocks('<div>The <p>Rowan</p></div>')).toEqual(['div: The Rowan']);
  });

  test('scripts, styles, templates, comments and declarations are no text', () => {
    const html =
      '<!doctype html><script>var x</script><style>p {}</style><template>t</template><p>Rowan</p><!-- c --><?php x ?>';
    expect(blocks(html)).toEqual(['p: Rowan']);
  });

  test('references are decoded, white space is collapsed, and a tag stands between two words', () => {
    expect(blocks('<p>Fish &amp;\n  chips<b>at</b> &#8364;9&nbsp;each</p>')).toEqual([
      'p: Fish & chips at €9 each',
    ]);
  });

  test('nothing gives one empty block', () => {
    expect(blocks('')).toEqual(['html: ']);
    expect(blocks('<div><script>x</script></div>')).toEqual(['html: ']);
  });
});

describe('splitting', () => {
  test('a page of at most so many words is one block, one word more opens it', () => {
    const page = (count: number) => `<div><p>${words(count - 1)}</p>\n<p>Rowan</p></div>`;
    expect(MAX_NODE_WORDS).toBe(256);
    expect(blockTree(page(256)).map(({ path }) => path)).toEqual([['div']]);
    expect(blockTree(page(257)).map(({ path }) => path)).toEqual([
      ['div', 'p0'],
      ['div', 'p1'],
    ]);
  });

  test('siblings of one name are numbered, others are not', () => {
    expect(blocks('<div><h2>one two</h2> <p>three four</p> <p>five six</p></div>', 3)).toEqual([
      'div h2: one two',
      'div p0: three four',
      'div p1: five six',
    ]);
  });

  test('what is too long is opened, from the top and breadth first', () => {
    const html = `<main><section><p>one two</p> <p>three four</p></section>
      <section><p>five</p> <p>six</p></section></main>`;
    expect(blocks(html, 2)).toEqual([
      'main section1: five six',
      'main section0 p0: one two',
      'main section0 p1: three four',
    ]);
  });

  test("an opened element's own text is a block where it is too long itself", () => {
    expect(blocks('<div>one two three four <p>five six</p></div>', 3)).toEqual([
      'div p: five six',
      'div (own text): one two three four five six',
    ]);
    expect(blocks('<div>one two <p>three four</p></div>', 3)).toEqual(['div p: three four']);
  });

  test('an element without elements is a leaf, whatever its length', () => {
    expect(blocks(`<p>${words(1_000)}</p>`)).toEqual([`p: ${words(1_000)}`]);
  });

  test('nothing is opened below a depth of 64', () => {
    const deep = `${Array.from({ length: 100 }, (_, level) => `<div>level${level} `).join('')}${'</div>'.repeat(100)}`;
    const found = blockTree(deep, { maxNodeWords: 3 });
    expect(found).toHaveLength(1);
    expect(found[0]!.path).toHaveLength(64);
    expect(found[0]!.text).toMatch(/^level63 .* level99$/);
  });

  test('offsets are those of the element in the page', () => {
    const html = '<!-- top --><div class="a"><p>one two three</p> <p>four five</p></div>';
    expect(blockTree(html, { maxNodeWords: 3 }).map(({ start, end }) => html.slice(start, end))).toEqual([
      '<p>one two three</p>',
      '<p>four five</p>',
    ]);
  });

  test('end tags left out end where HTML ends them', () => {
    expect(blocks('<ul><li>one <p>two<li>three <b>four<li>five six</ul>', 2)).toEqual([
      'ul li0: one two',
      'ul li1: three four',
      'ul li2: five six',
    ]);
  });

  interface Tree {
    readonly name: string;
    readonly parts: readonly (string | Tree)[];
  }
  const { tree } = fc.letrec<{ tree: Tree; part: string | Tree }>((tie) => ({
    tree: fc.record({
      name: fc.constantFrom('div', 'section', 'span', 'ul', 'b'),
      parts: fc.array(tie('part'), { maxLength: 5 }),
    }),
    part: fc.oneof(
      { depthSize: 'medium', withCrossShrink: true },
      fc.integer({ min: 1, max: 6 }).map(String),
      tie('tree'),
    ),
  }));
  /** Every word of a tree is another one, so that it can be told where it went. */
  const markup = (root: Tree): string => {
    let count = 0;
    const shown = ({ name, parts }: Tree): string =>
      `<${name}>${parts
        .map((part) =>
          typeof part === 'string'
            ? Array.from({ length: Number(part) }, () => ` w${count++} `).join('')
            : shown(part),
        )
        .join(' ')}</${name}>`;
    return shown(root);
  };

  test('no leaf that could be opened is too long, and no word stands in two leaves', () => {
    fc.assert(
      fc.property(tree, fc.integer({ min: 1, max: 8 }), (root, maxNodeWords) => {
        const html = markup(root);
        const all: string[] = html.match(/w\d+/g) ?? [];
        const leaves = blockTree(html, { maxNodeWords }).filter(({ isLeaf }) => isLeaf);
        const seen = leaves.flatMap(({ text }) => text.split(' ').filter((word) => word !== ''));
        expect(new Set(seen).size).toBe(seen.length);
        for (const word of seen) expect(all).toContain(word);
        for (const { text, start, end } of leaves) {
          const isOpenable = /<\w+>[^]*<\w+>[^<]*w\d/.test(html.slice(start, end));
          if (isOpenable) expect(text.split(' ').length).toBeLessThanOrEqual(maxNodeWords);
        }
      }),
      { numRuns: 300 },
    );
  });
});

test("a page's paragraphs belong to the block of 256 words that they stand in", () => {
  const section = (name: string) =>
    `<section><h2>${name}</h2> <p>${words(100, name)}</p> <p>${words(100, name)}</p></section>`;
  const { page, units } = extracted(`<main>${section('rowan')} ${section('alder')}</main>`, 'html');
  const subtrees = units.map(({ block }) => blockField(page, block, 'subtree'));
  expect(subtrees).toEqual([0, 0, 0, 1, 1, 1]);
});

import { describe, expect, test } from 'vitest';
import { REGIONS } from '../../../compressors/page.js';
import { blockField } from '../../../compressors/unit.js';
import { extracted } from '../page-faults.js';

const prose =
  'The Harbour Line runs every day of the year except on the twenty-fourth of December, when both ships are laid up. '.repeat(
    3,
  );

/** The region of the block that begins with each word in capitals. */
function regions(html: string): Record<string, string> {
  const { page, units } = extracted(html, 'html');
  return Object.fromEntries(
    units.flatMap(({ block, text }) => {
      const word = /^[A-Z]+\b/.exec(text)?.[0];
      return word === undefined ? [] : [[word, REGIONS[blockField(page, block, 'region')]!]];
    }),
  );
}

describe('what a part of a page is for', () => {
  test('by landmark elements', () => {
    expect(
      regions(
        `<header><p>LOGO</p><nav><a href="/">MENU</a></nav></header><main><h1>TITLE</h1><p>TEXT ${prose}</p>
         <aside>NOTE</aside></main><form>SEARCH</form><footer><p>IMPRINT</p></footer>`,
      ),
    ).toEqual({
      LOGO: 'header',
      MENU: 'navigation',
      TITLE: 'content',
      TEXT: 'content',
      NOTE: 'complementary',
      SEARCH: 'form',
      IMPRINT: 'footer',
    });
  });

  test('by roles', () => {
    const role = (name: string, text: string) => `<div role="${name}"><p>${text}</p></div>`;
    expect(
      regions(
        `${role('banner', 'LOGO')}${role('navigation', 'MENU')}${role('search', 'SEARCH')}${role('dialog', 'ASK')}
         <p>TEXT ${prose}</p>${role('complementary', 'NOTE')}${role('contentinfo', 'IMPRINT')}`,
      ),
    ).toEqual({
      LOGO: 'header',
      MENU: 'navigation',
      SEARCH: 'form',
      ASK: 'complementary',
      TEXT: 'content',
      NOTE: 'complementary',
      IMPRINT: 'footer',
    });
  });

  test('by what classes and ids say, whole words only', () => {
    expect(
      regions(
        `<div class="main-nav">MENU</div><div id="cookie-banner">COOKIES</div><div class="SiteFooter">IMPRINT</div>
         <ul class="breadcrumbs"><li>PATH</ul><div class="left sidebar">SIDE</div><div id="relatedPosts">RELATED</div>
         <div class="navigator-story">STORY</div><div class="shared-history">HISTORY</div><p>TEXT ${prose}</p>`,
      ),
    ).toEqual({
      MENU: 'navigation',
      COOKIES: 'complementary',
      IMPRINT: 'footer',
      PATH: 'navigation',
      SIDE: 'complementary',
      RELATED: 'complementary',
      STORY: 'content',
      HISTORY: 'content',
      TEXT: 'content',
    });
  });

  test("an article's header is content", () => {
    expect(
      regions(`<article><header><h1>TITLE</h1><p>AUTHOR</p></header><p>TEXT ${prose}</p></article>`),
    ).toEqual({ TITLE: 'content', AUTHOR: 'content', TEXT: 'content' });
  });

  test.each([
    ['an aside', '<aside class="sidebar">', '</aside>'],
    ['a sidebar', '<div class="sidebar">', '</div>'],
    ['a form', '<form action="/">', '</form>'],
    ['a dialog', '<div role="dialog" class="popup">', '</div>'],
    ['asides in asides', '<aside><div class="widget"><aside>', '</aside></div></aside>'],
  ])('a page whose main part stands in %s is content there', (_, open, close) => {
    expect(
      regions(`${open}<main><h1>TITLE</h1><p>TEXT ${prose}</p></main>${close}<aside><p>NOTE</p></aside>`),
    ).toEqual({ TITLE: 'content', TEXT: 'content', NOTE: 'complementary' });
  });

  test('a part that holds most of the prose is content, whatever its class; one that holds little is not', () => {
    expect(
      regions(
        `<body class="has-sidebar"><div class="promo"><p>TEXT ${prose}</p></div>
         <div class="promo"><p>TEASER ${prose.slice(0, 100)}</p></div></body>`,
      ),
    ).toEqual({ TEXT: 'content', TEASER: 'complementary' });
  });
});

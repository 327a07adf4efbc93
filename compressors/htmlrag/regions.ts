import type { Region } from '../page.js';
import { isSpace } from '../words.js';
import { attributeOf, CLOSE, OPEN, type ElementTree } from './element-tree.js';

const LANDMARKS: ReadonlyMap<string, Region> = new Map([
  ['nav', 'navigation'],
  ['aside', 'complementary'],
  ['footer', 'footer'],
  ['header', 'header'],
  ['form', 'form'],
  ['menu', 'navigation'],
  ['dialog', 'complementary'],
]);

const ROLES: ReadonlyMap<string, Region> = new Map([
  ['navigation', 'navigation'],
  ['menu', 'navigation'],
  ['menubar', 'navigation'],
  ['tablist', 'navigation'],
  ['complementary', 'complementary'],
  ['banner', 'header'],
  ['contentinfo', 'footer'],
  ['search', 'form'],
  ['form', 'form'],
  ['dialog', 'complementary'],
  ['alertdialog', 'complementary'],
]);

/** Words of classes and ids that sites use for what stands around their content. */
const BOILERPLATE =
  /(?:^|[\s_-])(nav|navbar|navigation|menu|submenu|breadcrumbs?|pagination|pager|footer|sidebar|side-bar|cookies?|cookie-?(?:bar|banner|consent|law|notice)|consent|gdpr|onetrust|newsletter|subscribe|subscription|signup|sign-up|related|recommend(?:ed|ations?)?|share|sharing|social|promo|advert|advertisement|advertising|ads?|sponsored|popup|modal|toolbar|skip|widget|widgets|most-read|trending|outbrain|taboola|tags?|byline-social|comments?|comment-?list|disqus)(?:$|[\s_-])/i;

/** Elements that are part of a text, whatever they are called. */
const PLAIN = new Set(['article', 'table', 'p', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6']);

/** A text of this many code units or more, outside links, is prose: menus, captions and teasers are made of shorter ones. */
const SHORTEST_PROSE = 60;

/** What holds this share of the page's prose is its content, whatever it is called. */
const MAIN_SHARE = 0.5;

const MAIN_PARTS = new Set(['main', 'article', 'h1']);

/**
 * What the parts of one page are for: by landmark elements, roles, and what classes and ids say, unless a part holds
 * most of the page's prose.
 */
export class Regions {
  readonly #tree: ElementTree;
  /** By element: how much prose comes before it, and before its end. */
  readonly #proseBefore: Int32Array;
  readonly #proseUntil: Int32Array;
  readonly #prose: number;
  /** The same classes stand on many elements of a page. */
  readonly #named = new Map<string, Region | undefined>();

  constructor(source: string, tree: ElementTree) {
    const { events, names, texts } = tree;
    this.#tree = tree;
    this.#proseBefore = new Int32Array(names.length);
    this.#proseUntil = new Int32Array(names.length);
    let prose = 0;
    let links = 0;
    for (let i = 0; i < events.length; i += 2) {
      const value = events[i + 1]!;
      if (events[i] === OPEN) {
        this.#proseBefore[value] = prose;
        if (names[value] === 'a') links++;
      } else if (events[i] === CLOSE) {
        this.#proseUntil[value] = prose;
        if (names[value] === 'a') links--;
      } else {
        let start = texts[value]!;
        let end = texts[value + 1]!;
        if (links > 0 || end - start < SHORTEST_PROSE) continue;
        while (start < end && isSpace(source.charCodeAt(start))) start++;
        while (start < end && isSpace(source.charCodeAt(end - 1))) end--;
        if (end - start >= SHORTEST_PROSE) prose += end - start;
      }
    }
    this.#prose = prose;
  }

  /** Whether an element holds most of the page's prose. */
  isMain(element: number): boolean {
    return this.#proseUntil[element]! - this.#proseBefore[element]! > MAIN_SHARE * this.#prose;
  }

  /** Whether it does, and is marked as what the page is about. */
  isMarkedMain(element: number): boolean {
    if (!this.isMain(element)) return false;
    const { names, after } = this.#tree;
    for (let inside = element; inside < after[element]!; inside++)
      if (MAIN_PARTS.has(names[inside]!)) return true;
    return false;
  }

  /** The region that an element opens in the page's content or header; undefined where it goes on. */
  of(element: number, inArticle: boolean): Region | undefined {
    const name = this.#tree.names[element]!;
    const landmark =
      ROLES.get(attributeOf(this.#tree, element, 'role') ?? '') ??
      // The header of an article is its title.
      (name === 'header' && inArticle ? undefined : LANDMARKS.get(name));
    if (landmark) return this.isMarkedMain(element) ? undefined : landmark;
    if (PLAIN.has(name) || this.isMain(element)) return undefined;
    return (
      this.#byName(attributeOf(this.#tree, element, 'class')) ??
      this.#byName(attributeOf(this.#tree, element, 'id'))
    );
  }

  #byName(names: string | undefined): Region | undefined {
    if (names === undefined || names === '') return undefined;
    if (!this.#named.has(names)) this.#named.set(names, namedRegion(names));
    return this.#named.get(names);
  }
}

function namedRegion(names: string): Region | undefined {
  const word = BOILERPLATE.exec(names.replace(/([a-z])(?=[A-Z])/g, '$1-'))?.[1]?.toLowerCase();
  if (word === undefined) return undefined;
  if (/^(?:nav|menu|submenu|breadcrumb|pag)/.test(word)) return 'navigation';
  return word === 'footer' ? 'footer' : 'complementary';
}

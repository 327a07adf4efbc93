import { indexTerms } from '../words.js';

/** Index terms a shingle (Broder 1997, "On the resemblance and containment of documents"). */
const SHINGLE = 4;

/** Shorter texts are never taken for copies: what they mean depends on where they stand. */
const SHORTEST = 8;

/** How many earlier texts one is compared with: those that were the first to have most of its shingles. */
const COMPARED = 8;

/** Index terms that deny, in many languages. */
export const NEGATIONS: ReadonlySet<number> = new Set(
  indexTerms(
    `no not never none nor neither without t cannot except unless nicht kein keine keinen keiner nie ohne pas jamais aucun aucune sans
     rien no nunca sin ninguno ninguna non mai senza não nunca sem не нет без никогда δεν μην χωρίς değil yok không chưa لا ليس لم لن غير
     नहीं मत बिना 不 没 没有 無 ない ません ไม่`,
  ).terms,
);

/** Scripts without capitals, in which a name looks like any other word. */
const CASELESS = /(?![ªº])\p{Lo}|\p{Script=Georgian}/u;

/** Numbers with their signs and units, and words with a capital. */
const NAMES = /(?:(?<![\p{L}\p{N}])[-−])?\p{N}(?:[.,:/-]?\p{N})*|[\p{Sc}\p{Sm}%‰°]|\p{Lu}[\p{L}\p{N}]*/gu;

interface Text {
  readonly shingles: ReadonlySet<number>;
  readonly length: number;
  readonly terms: ReadonlySet<number>;
  readonly negations: number;
  /** The negations, each with the terms before and after it. */
  readonly negated: ReadonlySet<number>;
  /** In order. */
  readonly names: readonly string[];
  readonly isCaseless: boolean;
}

/** Finds texts that say again what an earlier one has said, in one pass: no pair is compared that shares no shingle. */
export class NearDuplicates {
  readonly #similarity: number;
  /** By shingle: the first text that has it. */
  readonly #firstWith = new Map<number, number>();
  /** Undefined for one that is short, or repeats another. */
  readonly #texts: (Text | undefined)[] = [];

  /** @param similarity share of a text's shingles that one earlier text must hold, 0 to 1 */
  constructor(similarity: number) {
    this.#similarity = similarity;
  }

  /**
   * Adds a text.
   * @returns index of the earlier text that holds it, or -1 where it is new. A text with a word that the earlier one
   * lacks, or with a number, a name or a negation that it has elsewhere, is new, however alike they are; in scripts without capitals, where
   * names cannot be told, every text but the same words again.
   */
  add(text: string, terms: Uint32Array = indexTerms(text).terms): number {
    if (terms.length < SHORTEST) {
      this.#texts.push(undefined);
      return -1;
    }
    const added = describe(text, terms);
    const original = this.#originalOf(added);
    if (original < 0) {
      for (const shingle of added.shingles)
        if (!this.#firstWith.has(shingle)) this.#firstWith.set(shingle, this.#texts.length);
    }
    this.#texts.push(original < 0 ? added : undefined);
    return original;
  }

  #originalOf(added: Text): number {
    const shared = new Map<number, number>();
    let known = 0;
    for (const shingle of added.shingles) {
      const first = this.#firstWith.get(shingle);
      if (first === undefined) continue;
      shared.set(first, (shared.get(first) ?? 0) + 1);
      known++;
    }
    if (known === 0 || known < this.#similarity * added.shingles.size) return -1;
    const likely = [...shared].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, COMPARED);
    return likely.find(([earlier]) => this.#repeats(added, this.#texts[earlier]!))?.[0] ?? -1;
  }

  #repeats(text: Text, original: Text): boolean {
    let held = 0;
    for (const shingle of text.shingles) if (original.shingles.has(shingle)) held++;
    if (text.isCaseless) return held === text.shingles.size && text.length === original.length;
    return held >= this.#similarity * text.shingles.size && saysNothingNew(text, original);
  }
}

/**
 * For each text the index of the earlier one that it repeats, or -1.
 * @param similarity default 0.8
 */
export function nearDuplicates(texts: readonly string[], similarity = 0.8): number[] {
  const known = new NearDuplicates(similarity);
  return texts.map((text) => known.add(text));
}

function describe(text: string, terms: Uint32Array): Text {
  const shingles = new Set<number>();
  for (let at = 0; at + SHINGLE <= terms.length; at++) shingles.add(hashOf(terms, at, at + SHINGLE));
  let negations = 0;
  const negated = new Set<number>();
  for (let at = 0; at < terms.length; at++) {
    if (!NEGATIONS.has(terms[at]!)) continue;
    negations++;
    negated.add(hashOf(terms, Math.max(0, at - 1), Math.min(terms.length, at + 2)));
  }
  return {
    shingles,
    length: terms.length,
    terms: new Set(terms),
    negations,
    negated,
    names: text.match(NAMES) ?? [],
    isCaseless: CASELESS.test(text),
  };
}

function hashOf(terms: Uint32Array, start: number, end: number): number {
  let hash = 0;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ terms[at]!, 0x9e3779b1) + (hash >>> 15);
  return hash >>> 0;
}

function saysNothingNew(text: Text, original: Text): boolean {
  if (text.negations !== original.negations) return false;
  for (const negation of text.negated) if (!original.negated.has(negation)) return false;
  // One other word may be the one that matters: open for closed, before for after.
  for (const term of text.terms) if (!original.terms.has(term)) return false;
  // In the order of the original: the same prices may stand for other tickets.
  let at = 0;
  for (const name of text.names) {
    at = original.names.indexOf(name, at) + 1;
    if (at === 0) return false;
  }
  return true;
}

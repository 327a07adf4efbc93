import { indexTerms } from '../words.js';

/** Index terms a shingle (Broder 1997, "On the resemblance and containment of documents"). */
const SHINGLE = 4;

/** Shorter texts are never taken for copies: what they mean depends on where they stand. */
const SHORTEST = 8;

/** Share of a text's terms that its original may lack, as long as they are no numbers, names or negations. */
const MISSING_SHARE = 0.1;

const NEGATIONS = new Set(
  indexTerms(
    `no not never none nor neither without t cannot except unless nicht kein keine keinen keiner nie ohne pas jamais aucun aucune sans
     rien no nunca sin ninguno ninguna non mai senza não nunca sem не нет без никогда δεν μην χωρίς değil yok không chưa لا ليس لم لن غير
     नहीं मत बिना 不 没 没有 無 ない ません ไม่`,
  ).terms,
);

interface Text {
  readonly terms: ReadonlySet<number>;
  readonly negations: number;
  readonly names: ReadonlySet<string>;
}

/** Finds texts that say again what an earlier one has said, in one pass: no pair is compared that shares no shingle. */
export class NearDuplicates {
  readonly #similarity: number;
  /** By shingle: the first text that has it. */
  readonly #firstWith = new Map<number, number>();
  readonly #texts: Text[] = [];

  /** @param similarity share of a text's shingles that one earlier text must hold, 0 to 1 */
  constructor(similarity: number) {
    this.#similarity = similarity;
  }

  /**
   * Adds a text.
   * @returns index of the earlier text that holds it, or -1 where it is new. A text with a number, a name or a negation
   * that the earlier one lacks is new, however alike they are.
   */
  add(text: string, terms: Uint32Array = indexTerms(text).terms): number {
    const index = this.#texts.length;
    const added = describe(text, terms);
    this.#texts.push(added);
    if (terms.length < SHORTEST) return -1;
    const shared = new Map<number, number>();
    const shingles = shinglesOf(terms);
    for (const shingle of shingles) {
      const first = this.#firstWith.get(shingle);
      if (first === undefined) this.#firstWith.set(shingle, index);
      else if (first !== index) shared.set(first, (shared.get(first) ?? 0) + 1);
    }
    let original = -1;
    let most = 0;
    for (const [earlier, count] of shared) if (count > most) [original, most] = [earlier, count];
    if (original < 0 || most < this.#similarity * shingles.size) return -1;
    return saysNothingNew(added, this.#texts[original]!) ? original : -1;
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

function shinglesOf(terms: Uint32Array): Set<number> {
  const shingles = new Set<number>();
  for (let at = 0; at + SHINGLE <= terms.length; at++) {
    let hash = 0;
    for (let i = 0; i < SHINGLE; i++) hash = Math.imul(hash ^ terms[at + i]!, 0x9e3779b1) + (hash >>> 15);
    shingles.add(hash >>> 0);
  }
  return shingles;
}

function describe(text: string, terms: Uint32Array): Text {
  let negations = 0;
  for (const term of terms) if (NEGATIONS.has(term)) negations++;
  return {
    terms: new Set(terms),
    negations,
    names: new Set(text.match(/\p{N}[\p{N}.,:/-]*|\p{Lu}[\p{L}\p{N}]*/gu) ?? []),
  };
}

function saysNothingNew(text: Text, original: Text): boolean {
  if (text.negations !== original.negations) return false;
  let missing = 0;
  for (const term of text.terms) if (!original.terms.has(term)) missing++;
  if (missing > MISSING_SHARE * text.terms.size) return false;
  for (const name of text.names) if (!original.names.has(name)) return false;
  return true;
}

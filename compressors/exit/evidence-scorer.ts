import type { State, StageContext, Unit } from '../contract.js';
import { placeWeight } from '../unit.js';
import { indexTerms, queryTerms } from '../words.js';
import type { EvidenceEncoder } from '../../models/encoder/evidence-encoder.js';
import { combine } from './combination.js';
import { FEATURES, sentenceFeatures, type Feature } from './features.js';
import { lexicalScorer } from './lexical-scorer.js';
import { pageSections, sectionScores, type PageSection } from './page-sections.js';
import { raiseByStructure } from './raise-by-structure.js';
import { rankRows } from './rank-rows.js';
import { Readings } from './readings.js';
import type { Judgement, SentenceScorer } from './sentence-scorer.js';
import { windows, type EncodedText, type Section, type Window, type WindowRules } from './windows.js';

export interface EvidenceScorerOptions {
  /** The probability from which a sentence is kept where there is no budget. Default the model's own. */
  readonly threshold?: number | undefined;
  /** Tokens that the encoder reads for one request at most: the sections that BM25 finds likeliest. */
  readonly maxTokens: number;
}

/** Of the threshold: less than this share of it is evidence of nothing, whatever room there is. */
const NOTHING_SHARE = 0.1;

/** Part of the time left that the windows read so far must leave for the rest of the pipeline. */
const TIME_SHARE = 0.8;

/** Part of a request's tokens that is left for the second pass where there is one. */
const SECOND_SHARE = 1 / 3;

/** A request's sentences, and what is known of them before the encoder reads any. */
interface Asked {
  readonly query: string;
  readonly terms: Uint32Array;
  readonly units: readonly Unit[];
  /** By unit, by where it stands on its page. */
  readonly placeWeights: readonly number[];
  readonly sections: readonly PageSection[];
  /** By unit. */
  readonly bm25: ArrayLike<number>;
}

/** Sections as the encoder reads them, the likeliest first. */
interface Encoded {
  readonly query: EncodedText;
  readonly sections: readonly Section[];
  /** Their places in `Asked.sections`. */
  readonly places: readonly number[];
}

/** What the encoder said; `second` where there was a second pass. */
interface Passes {
  readonly first: Readings;
  readonly second: Readings | undefined;
  /** Whether the second pass read all that it should have. */
  readonly isWhole: boolean;
  readonly isHurried: boolean;
}

/** What may be read, and how fast that has gone. */
interface Allowance {
  tokens: number;
  readonly began: number;
  windows: number;
  /** Whether the time ended before the tokens did. */
  isHurried: boolean;
}

/**
 * EXIT in one pass: the encoder reads the question with as many sentences as a window holds and judges each in the
 * light of the others. Where there are several documents it reads the likeliest sections again beside the best
 * sentence, which may name what the question only describes. A few more features (features.ts) make of its logits a
 * probability that means the same for any question. A question in a script that the encoder does not know is left to
 * BM25.
 */
export class EvidenceScorer implements SentenceScorer {
  readonly name: string;
  readonly #encoder: EvidenceEncoder;
  readonly #options: EvidenceScorerOptions;
  readonly #lexical = lexicalScorer();
  readonly #rules: WindowRules;

  constructor(encoder: EvidenceEncoder, options: EvidenceScorerOptions) {
    this.#encoder = encoder;
    this.#options = options;
    this.name = encoder.model;
    const { window, tokens, kinds } = encoder.settings;
    this.#rules = { ...window, ...tokens, plain: kinds.plain, asked: kinds.query };
  }

  async score(
    query: string,
    units: readonly Unit[],
    state: State,
    context: StageContext,
  ): Promise<Judgement> {
    if (!isLatin(query)) {
      const lexical = await this.#lexical.score(query, units, state, context);
      return { ...lexical, by: `${this.#lexical.name}, the query's script being none of ${this.name}'s` };
    }
    const terms = queryTerms(query);
    const sections = pageSections(state, units);
    const bm25 = await sectionScores(terms, state, units, sections, context);
    const placeWeights = units.map(({ document, block }) => {
      const page = state.pages[document];
      return page ? placeWeight(page, block) : 1;
    });
    const asked = { query, terms, units, placeWeights, sections, bm25 };
    const judgement = await this.#judge(asked, await this.#passes(asked, context), context);
    if (units.every(({ layout }) => layout.type !== 'row')) return judgement;
    const lexical = await this.#lexical.score(query, units, state, context);
    return {
      ...judgement,
      scores: rankRows(units, judgement.scores, lexical.scores),
      probabilities: rankRows(units, judgement.probabilities, lexical.scores),
    };
  }

  async #passes(asked: Asked, context: StageContext): Promise<Passes> {
    const { settings } = this.#encoder;
    const encoded = await this.#encodeSections(asked, context);
    const isTwice = settings.secondPass && isSeveral(asked.sections);
    const all = this.#options.maxTokens;
    const allowance = {
      tokens: isTwice ? (1 - SECOND_SHARE) * all : all,
      began: performance.now(),
      windows: 0,
      isHurried: false,
    };
    const first = new Readings(settings);
    await this.#read(
      windows(encoded.query, encoded.sections, this.#rules),
      encoded,
      allowance,
      first,
      context,
    );
    if (!isTwice) return { first, second: undefined, isWhole: true, isHurried: allowance.isHurried };
    const again = this.#likeliest(asked, encoded, first);
    const second = new Readings(settings);
    allowance.tokens += SECOND_SHARE * all;
    const isWhole = await this.#read(
      windows(encoded.query, again.sections, this.#rules, again.pinned),
      again,
      allowance,
      second,
      context,
    );
    return { first, second, isWhole, isHurried: allowance.isHurried };
  }

  /** The likeliest sections by BM25, as many as may be read. */
  async #encodeSections({ query, terms, sections, bm25 }: Asked, context: StageContext): Promise<Encoded> {
    const wanted = new Set(terms);
    const best = sections.map((section) => highest(section.units, (index) => bm25[index]!));
    const order = sections.map((_, at) => at).sort((a, b) => best[b]! - best[a]! || a - b);
    const places: number[] = [];
    const encoded: Section[] = [];
    let tokens = 0;
    for (const at of order) {
      const sentences = [];
      for (const [place, index] of sections[at]!.units.entries()) {
        if (tokens >= this.#options.maxTokens) break;
        await context.breathe();
        const text = this.#encode(sections[at]!.texts[place]!, wanted);
        tokens += text.ids.length;
        sentences.push({ index, text });
      }
      if (sentences.length === 0) break;
      places.push(at);
      encoded.push({ title: this.#encode(sections[at]!.title, wanted), sentences });
    }
    return { query: this.#encode(query, new Set()), sections: encoded, places };
  }

  /** The sections that the first pass finds best, and of all sentences the best with its title. */
  #likeliest(
    { sections }: Asked,
    encoded: Encoded,
    first: Readings,
  ): Encoded & { readonly pinned: EncodedText } {
    const { secondDocuments, kinds, tokens } = this.#encoder.settings;
    const best = sections.map(({ units }) => highest(units, (index) => first.logit(index)));
    // In the order of the request, so that of equals the earlier one comes first.
    const chosen = encoded.places
      .map((place, at) => ({ place, section: encoded.sections[at]! }))
      .sort((a, b) => best[b.place]! - best[a.place]! || a.place - b.place)
      .slice(0, secondDocuments);
    const { title, sentences } = chosen[0]!.section;
    const colon = { ids: [tokens.colon], kinds: [kinds.plain] };
    const sentence = sentences.reduce((most, one) =>
      first.logit(one.index) > first.logit(most.index) ? one : most,
    );
    const pinned = joinTexts([title, colon, sentence.text]);
    return {
      query: encoded.query,
      sections: chosen.map(({ section }) => section),
      places: chosen.map(({ place }) => place),
      pinned,
    };
  }

  /**
   * The first window of a request is read whatever is allowed.
   * @returns whether all windows were read before the tokens or the time was used up
   */
  async #read(
    all: readonly Window[],
    { places }: Encoded,
    allowance: Allowance,
    readings: Readings,
    context: StageContext,
  ): Promise<boolean> {
    for (const window of all) {
      const length = window.ids.length;
      const pace = (performance.now() - allowance.began) / Math.max(1, allowance.windows);
      const isLate = pace > TIME_SHARE * (context.deadline - performance.now());
      if (allowance.windows > 0) {
        if (length > allowance.tokens) return false;
        if (isLate && !this.#encoder.isKnown(window)) {
          allowance.isHurried = true;
          return false;
        }
      }
      readings.add(window, await this.#encoder.read(window, context.signal), places);
      allowance.tokens -= length;
      allowance.windows++;
      await context.breathe();
    }
    return true;
  }

  async #judge(
    { terms, units, placeWeights, sections, bm25 }: Asked,
    { first, second, isWhole, isHurried }: Passes,
    context: StageContext,
  ): Promise<Judgement & { readonly scores: Float64Array; readonly probabilities: Float64Array }> {
    const { combination, tau, least, lengthExponent } = this.#encoder.settings;
    const indices = sections.flatMap((section) => section.units);
    const sentences = sections.flatMap(({ units: members, terms: own }, section) =>
      members.map((index, place) => ({
        section,
        terms: own[place]!,
        words: wordsIn(units[index]!.text),
        bm25: bm25[index]!,
        logit: first.logit(index),
        match: first.match(index),
        second: secondLogit(first, second, index, combination.floor),
      })),
    );
    await context.breathe();
    const described = sections.map(({ title }, at) => ({ title, relevance: first.relevance(at) }));
    const features = sentenceFeatures(
      sentences,
      described,
      terms,
      first.windowRelevance ?? 0,
      combination.floor,
    );
    const columns = combination.features.map((name) => features[name as Feature]);
    const threshold = this.#options.threshold ?? tau;
    const probabilities = new Float64Array(units.length);
    let best = 0;
    for (const [at, index] of indices.entries()) {
      if (at % 256 === 0) await context.breathe();
      if (!first.isRead(index)) continue;
      const combined = combine(
        combination,
        columns.map((column) => column[at]!),
      );
      // The encoder has read prose alone: of what a menu or a teaser says it thinks as highly.
      probabilities[index] = sigmoid(combined + Math.log(placeWeights[index]!));
      best = Math.max(best, probabilities[index]);
    }
    raiseByStructure(units, probabilities, threshold);
    const scores = Float64Array.from(probabilities);
    if (context.budget !== undefined) {
      for (const [at, index] of indices.entries()) {
        const probability = probabilities[index]!;
        scores[index] =
          probability < NOTHING_SHARE * threshold
            ? 0
            : sigmoid(logit(probability) - lengthExponent * Math.log(sentences[at]!.words));
      }
    }
    const unread = indices.filter((index) => !first.isRead(index) && units[index]!.text.trim() !== '').length;
    const limits = [
      ...(unread > 0 ? [`read ${indices.length - unread} of ${indices.length} sentences`] : []),
      ...(isWhole ? [] : ['did not end its second pass']),
    ];
    // Documents without an answer have no sentence that stands out, but some above any threshold that suits the others.
    const isHelpful = this.#options.threshold !== undefined || best >= least;
    return {
      scores,
      probabilities,
      floor: threshold,
      zero: 'not read',
      ...(!isHelpful && { nothing: `nothing here helps: the best sentence is at ${best.toFixed(2)}` }),
      ...(isHurried && { isHurried }),
      ...(limits.length > 0 && { by: `${this.name}, which ${limits.join(' and ')}` }),
    };
  }

  /**
   * The tokens of a text, as many as a window holds, and for each whether the word that it stands in is one of the
   * query's.
   */
  #encode(text: string, terms: ReadonlySet<number>): EncodedText {
    const { plain, match } = this.#encoder.settings.kinds;
    const ids: number[] = [];
    const kinds: number[] = [];
    for (const [chunk] of text.matchAll(/\S+/g)) {
      if (ids.length >= this.#rules.tokens) break;
      const kind = terms.size > 0 && indexTerms(chunk).terms.some((term) => terms.has(term)) ? match : plain;
      for (const id of this.#encoder.chunkIds(chunk)) {
        ids.push(id);
        kinds.push(kind);
      }
    }
    return { ids, kinds };
  }
}

/** @throws Error for a combination of features that are not made here */
export function checkFeatures(names: readonly string[]): void {
  const unknown = names.find((name) => !(FEATURES as readonly string[]).includes(name));
  if (unknown !== undefined)
    throw new Error(`the model wants a feature ${unknown}, which this version does not have`);
}

function secondLogit(first: Readings, second: Readings | undefined, index: number, floor: number): number {
  const again = second?.logit(index) ?? floor;
  return again > floor ? again : first.logit(index);
}

function isSeveral(sections: readonly PageSection[]): boolean {
  return sections.some(({ document }) => document !== sections[0]!.document);
}

function highest(indices: readonly number[], scoreOf: (index: number) => number): number {
  return indices.reduce((most, index) => Math.max(most, scoreOf(index)), -Infinity);
}

function joinTexts(texts: readonly EncodedText[]): EncodedText {
  return { ids: texts.flatMap(({ ids }) => ids), kinds: texts.flatMap(({ kinds }) => kinds) };
}

/** Whether most letters of a text are of the script that the encoder was trained on. */
function isLatin(text: string): boolean {
  const letters = text.match(/\p{L}/gu)?.length ?? 0;
  return letters === 0 || 2 * (text.match(/\p{Script=Latin}/gu)?.length ?? 0) >= letters;
}

function wordsIn(text: string): number {
  return Math.max(1, text.match(/\S+/g)?.length ?? 0);
}

function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}

function logit(probability: number): number {
  return Math.log(probability / (1 - probability));
}

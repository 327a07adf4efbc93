import type { State, StageContext, Unit } from '../contract.js';
import { blockText } from '../unit.js';
import { indexTerms, queryTerms } from '../words.js';
import { CHANNELS, type EvidenceEncoder } from '../../models/encoder/evidence-encoder.js';
import { combine } from './combination.js';
import { FEATURES, sentenceFeatures, type Feature } from './features.js';
import { lexicalScorer } from './lexical-scorer.js';
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

/** Weights of a softmax are taken from logits no further out. */
const WEIGHT_LIMIT = 15;

/** Sentences under one title and heading, as the encoder reads them. */
interface PageSection {
  readonly title: string;
  /** Indices of units. */
  readonly units: number[];
  bm25: number;
}

/**
 * EXIT in one pass: the encoder reads the question with as many sentences as a window holds and judges each in the
 * light of the others; a few more features (features.ts) make of its logits a probability that means the same for any
 * question. A question in a script that the encoder does not know is left to BM25.
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
    const lexical = await this.#lexical.score(query, units, state, context);
    if (!isLatin(query))
      return { ...lexical, by: `${this.#lexical.name}, the query's script being none of ${this.name}'s` };
    const sections = sectionsOf(state, units, lexical.scores);
    const read = await this.#read(query, units, sections, context);
    return this.#judge(query, units, sections, lexical.scores, read, context);
  }

  /** Reads the likeliest sections until the tokens or the time is used up. */
  async #read(
    query: string,
    units: readonly Unit[],
    sections: readonly PageSection[],
    context: StageContext,
  ): Promise<Readings> {
    const terms = new Set(queryTerms(query));
    const asked = this.#encode(query, new Set());
    const order = sections.map((_, at) => at).sort((a, b) => sections[b]!.bm25 - sections[a]!.bm25 || a - b);
    const likeliest: number[] = [];
    const encoded: Section[] = [];
    let tokens = 0;
    for (const at of order) {
      if (tokens >= this.#options.maxTokens) break;
      await context.breathe();
      const { title, units: indices } = sections[at]!;
      const sentences = [];
      for (const [place, index] of indices.entries()) {
        if (place % 16 === 15) await context.breathe();
        const text = this.#encode(units[index]!.text, terms);
        tokens += text.ids.length;
        sentences.push({ index, text });
        if (tokens >= this.#options.maxTokens) break;
      }
      likeliest.push(at);
      encoded.push({ title: this.#encode(title, terms), sentences });
    }

    const readings = new Readings(units.length, sections.length);
    const began = performance.now();
    const all = windows(asked, encoded, this.#rules);
    for (const [count, window] of all.entries()) {
      const spent = performance.now() - began;
      const left = TIME_SHARE * (context.deadline - performance.now());
      if (count > 0 && spent / count > left && !this.#encoder.isKnown(window)) break;
      readings.add(window, await this.#encoder.read(window, context.signal), likeliest);
    }
    return readings;
  }

  async #judge(
    query: string,
    units: readonly Unit[],
    sections: readonly PageSection[],
    bm25: ArrayLike<number>,
    readings: Readings,
    context: StageContext,
  ): Promise<Judgement> {
    const { combination, tau, lengthExponent } = this.#encoder.settings;
    const { floor } = combination;
    const indices = sections.flatMap((section) => section.units);
    const sentences = sections.flatMap(({ units: members }, section) =>
      members.map((index) => ({
        section,
        terms: units[index]!.terms,
        words: wordsIn(units[index]!.text),
        bm25: bm25[index]!,
        logit: Math.max(floor, readings.logit(index) ?? floor),
      })),
    );
    await context.breathe();
    const described = sections.map(({ title }, at) => ({ title, relevance: readings.relevance(at) }));
    const features = sentenceFeatures(
      sentences,
      described,
      queryTerms(query),
      readings.windowRelevance,
      floor,
    );
    const columns = combination.features.map((name) => features[name as Feature]);
    const threshold = this.#options.threshold ?? tau;
    const scores = new Float64Array(units.length);
    for (const [at, index] of indices.entries()) {
      if (at % 256 === 0) await context.breathe();
      if (readings.logit(index) === undefined) continue;
      const logit = combine(
        combination,
        columns.map((column) => column[at]!),
      );
      const probability = sigmoid(logit);
      if (context.budget === undefined) scores[index] = probability;
      else if (probability >= NOTHING_SHARE * threshold)
        scores[index] = sigmoid(logit - lengthExponent * Math.log(sentences[at]!.words));
    }
    const unread = indices.filter((index) => readings.logit(index) === undefined).length;
    return {
      scores,
      floor: threshold,
      ...(unread > 0 && {
        by: `${this.name}, which read ${indices.length - unread} of ${indices.length} sentences`,
      }),
    };
  }

  /** The tokens of a text, and for each whether the word that it stands in is one of the query's. */
  #encode(text: string, terms: ReadonlySet<number>): EncodedText {
    const { plain, match } = this.#encoder.settings.kinds;
    const ids: number[] = [];
    const kinds: number[] = [];
    for (const chunk of text.split(/\s+/)) {
      if (chunk === '') continue;
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

/**
 * What the encoder said, token by token: of each sentence the mean of its tokens' values under the softmax of their
 * weights, over all windows that it stands in.
 */
class Readings {
  windowRelevance = -Infinity;
  readonly #weights: Float64Array;
  readonly #values: Float64Array;
  readonly #titleWeights: Float64Array;
  readonly #relevance: Float64Array;

  constructor(sentences: number, sections: number) {
    this.#weights = new Float64Array(sentences);
    this.#values = new Float64Array(sentences);
    this.#titleWeights = new Float64Array(sections);
    this.#relevance = new Float64Array(sections);
  }

  /** @param order the sections as the windows were made of them */
  add({ owners }: Window, outputs: Float32Array, order: readonly number[]): void {
    for (const [token, owner] of owners.entries()) {
      if (owner === -1) continue;
      const [value, logit, relevance] = outputs.subarray(CHANNELS * token, CHANNELS * (token + 1));
      const weight = Math.exp(Math.min(WEIGHT_LIMIT, Math.max(-WEIGHT_LIMIT, logit!)));
      if (owner >= 0) {
        this.#weights[owner]! += weight;
        this.#values[owner]! += weight * value!;
      } else {
        const section = order[-2 - owner]!;
        this.#titleWeights[section]! += weight;
        this.#relevance[section]! += weight * relevance!;
      }
    }
    this.windowRelevance = Math.max(this.windowRelevance, outputs[CHANNELS - 1]!);
  }

  /** Of a unit; undefined where it was not read. */
  logit(index: number): number | undefined {
    const weight = this.#weights[index]!;
    return weight > 0 ? this.#values[index]! / weight : undefined;
  }

  /** Of a section, by its title; 0 where that was not read. */
  relevance(section: number): number {
    const weight = this.#titleWeights[section]!;
    return weight > 0 ? this.#relevance[section]! / weight : 0;
  }
}

/** The units to be read, by document and nearest heading. */
function sectionsOf(state: State, units: readonly Unit[], bm25: ArrayLike<number>): PageSection[] {
  const sections: PageSection[] = [];
  const byKey = new Map<string, PageSection>();
  for (const [index, unit] of units.entries()) {
    const page = state.pages[unit.document];
    if (!page || unit.layout.type === 'heading') continue;
    const heading = unit.needs.at(-1) ?? -1;
    const key = `${unit.document}:${heading}`;
    let section = byKey.get(key);
    if (!section) {
      const title = [
        state.documents[unit.document]!.title ?? page.title ?? '',
        heading < 0 ? '' : blockText(page, heading),
      ];
      section = { title: [...new Set(title.filter((part) => part !== ''))].join(' - '), units: [], bm25: 0 };
      byKey.set(key, section);
      sections.push(section);
    }
    section.units.push(index);
    section.bm25 = Math.max(section.bm25, bm25[index]!);
  }
  return sections;
}

/** Whether most letters of a text are of the script that the encoder was trained on. */
function isLatin(text: string): boolean {
  const letters = text.match(/\p{L}/gu)?.length ?? 0;
  return letters === 0 || 2 * (text.match(/\p{Script=Latin}/gu)?.length ?? 0) >= letters;
}

function wordsIn(text: string): number {
  return Math.max(1, text.split(/\s+/).filter((word) => word !== '').length);
}

function sigmoid(logit: number): number {
  return 1 / (1 + Math.exp(-logit));
}

import {
  CHANNELS,
  type EncoderOutput,
  type EvidenceSettings,
} from '../../models/encoder/evidence-encoder.js';
import type { Window } from './windows.js';

interface ReadSentence {
  weight: number;
  value: number;
  /** By token of the query: the highest cosine of the sentence's tokens with it. */
  readonly highest: Float64Array;
}

/**
 * What the encoder said of sentences, put together over all windows that they stand in. A sentence's logit is in two
 * parts: the mean of its tokens' values under the softmax of their weights, and how well the query's tokens are matched
 * in it: the mean of the highest cosine with each under the softmax of the query's own weights, as in ColBERT (Khattab
 * and Zaharia 2020). As `pass_of` in training/combine.py has it.
 */
export class Readings {
  /** The highest of the windows'; undefined where none was read. */
  windowRelevance: number | undefined;
  readonly #settings: EvidenceSettings;
  readonly #sentences = new Map<number, ReadSentence>();
  readonly #titles = new Map<number, { weight: number; relevance: number }>();
  /** By token of the query: its weight's logit, summed over the windows. */
  readonly #asked: number[] = [];
  #windows = 0;
  #queryWeights: readonly number[] | undefined;

  constructor(settings: EvidenceSettings) {
    this.#settings = settings;
  }

  /** @param sections what the sections of the windows are called outside */
  add({ owners, query }: Window, { numbers, cosines }: EncoderOutput, sections: readonly number[]): void {
    for (let token = 0; token < query; token++)
      this.#asked[token] = (this.#asked[token] ?? 0) + numbers[CHANNELS * (token + 1) + 1]!;
    for (const [token, owner] of owners.entries()) {
      if (owner === -1) continue;
      const [value, logit, relevance] = numbers.subarray(CHANNELS * token, CHANNELS * (token + 1));
      const limit = this.#settings.weightClamp;
      const weight = Math.exp(Math.min(limit, Math.max(-limit, logit!)));
      if (owner >= 0) {
        const sentence = this.#sentence(owner, query);
        sentence.weight += weight;
        sentence.value += weight * value!;
        raise(sentence.highest, cosines, token * query);
      } else {
        const title = this.#title(sections[-2 - owner]!);
        title.weight += weight;
        title.relevance += weight * relevance!;
      }
    }
    this.windowRelevance = Math.max(this.windowRelevance ?? -Infinity, numbers[CHANNELS - 1]!);
    this.#windows++;
    this.#queryWeights = undefined;
  }

  isRead(sentence: number): boolean {
    return this.#sentences.has(sentence);
  }

  /** Of a sentence; the floor where it was not read. */
  logit(index: number): number {
    const { slope, combination } = this.#settings;
    const sentence = this.#sentences.get(index);
    if (!sentence) return combination.floor;
    return Math.max(combination.floor, sentence.value / sentence.weight + slope * this.match(index));
  }

  /** How well the query's tokens are matched in a sentence. */
  match(index: number): number {
    const sentence = this.#sentences.get(index);
    let mean = 0;
    if (sentence) {
      for (const [token, weight] of this.#weights().entries()) mean += weight * sentence.highest[token]!;
    }
    return mean - this.#settings.middle;
  }

  /** Of a section, by its title; 0 where that was not read. */
  relevance(section: number): number {
    const title = this.#titles.get(section);
    return title ? title.relevance / title.weight : 0;
  }

  #weights(): readonly number[] {
    if (!this.#queryWeights) {
      const means = this.#asked.map((sum) => sum / this.#windows);
      const most = means.reduce((most, mean) => Math.max(most, mean), -Infinity);
      const parts = means.map((mean) => Math.exp(mean - most));
      const total = parts.reduce((sum, part) => sum + part, 0);
      this.#queryWeights = parts.map((part) => part / total);
    }
    return this.#queryWeights;
  }

  #sentence(index: number, query: number): ReadSentence {
    let sentence = this.#sentences.get(index);
    if (!sentence) {
      sentence = { weight: 0, value: 0, highest: new Float64Array(query).fill(-1) };
      this.#sentences.set(index, sentence);
    }
    return sentence;
  }

  #title(section: number): { weight: number; relevance: number } {
    let title = this.#titles.get(section);
    if (!title) {
      title = { weight: 0, relevance: 0 };
      this.#titles.set(section, title);
    }
    return title;
  }
}

function raise(highest: Float64Array, cosines: Float32Array, from: number): void {
  for (let column = 0; column < highest.length; column++)
    highest[column] = Math.max(highest[column]!, cosines[from + column]!);
}

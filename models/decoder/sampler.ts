/** How the next token is chosen; see GenerateOptions. */
export interface SamplingSettings {
  readonly temperature: number;
  readonly topK?: number | undefined;
  readonly topP: number;
  readonly seed: number;
  readonly frequencyPenalty: number;
  readonly presencePenalty: number;
}

/** Chooses token after token of one text. */
export class Sampler {
  readonly #settings: SamplingSettings;
  readonly #counts = new Map<number, number>();
  readonly #random: () => number;

  constructor(settings: SamplingSettings) {
    this.#settings = settings;
    this.#random = mulberry32(settings.seed);
  }

  /** @returns the token, or undefined where no logit is a number */
  next(logits: Float32Array): number | undefined {
    const { temperature, frequencyPenalty, presencePenalty } = this.#settings;
    if (frequencyPenalty !== 0 || presencePenalty !== 0)
      for (const [token, count] of this.#counts) logits[token]! -= count * frequencyPenalty + presencePenalty;
    const best = likeliest(logits);
    if (best === undefined) return undefined;
    const token = temperature === 0 ? best : this.#sample(logits, logits[best]!);
    this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
    return token;
  }

  #sample(logits: Float32Array, largest: number): number {
    const { temperature, topK = Infinity, topP } = this.#settings;
    const weights: { readonly token: number; readonly weight: number }[] = [];
    // With a weight below e^-20 of the best's a token is never drawn in practice; leaving it out saves the sorting.
    const least = largest - 20 * temperature;
    for (let token = 0; token < logits.length; token++)
      if (logits[token]! >= least)
        weights.push({ token, weight: Math.exp((logits[token]! - largest) / temperature) });
    weights.sort((a, b) => b.weight - a.weight || a.token - b.token);
    if (weights.length > topK) weights.length = topK;
    const total = weights.reduce((sum, { weight }) => sum + weight, 0);
    let nucleus = 0;
    let count = 0;
    while (count < weights.length && nucleus < topP * total) nucleus += weights[count++]!.weight;
    let drawn = this.#random() * nucleus;
    for (const { token, weight } of weights.slice(0, count)) if ((drawn -= weight) < 0) return token;
    return weights[0]!.token;
  }
}

/** The first of the largest. */
function likeliest(logits: Float32Array): number | undefined {
  let best: number | undefined;
  let largest = -Infinity;
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token]!;
    if (Number.isNaN(logit)) return undefined;
    if (logit > largest) {
      largest = logit;
      best = token;
    }
  }
  return best;
}

/** Numbers from 0 to below 1 (Tommy Ettinger's Mulberry32, in the public domain). */
export function mulberry32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

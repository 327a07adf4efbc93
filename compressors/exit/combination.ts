/** A small network over named features, as training/combine.py fits it. */
export interface Combination {
  readonly features: readonly string[];
  /** By feature: what is taken off, and what it is divided by. */
  readonly mean: readonly number[];
  readonly scale: readonly number[];
  /** [features][units] */
  readonly hiddenWeights: readonly (readonly number[])[];
  readonly hiddenBias: readonly number[];
  readonly outputWeights: readonly number[];
  /** Past the hidden units. */
  readonly directWeights: readonly number[];
  readonly bias: number;
}

/**
 * The logit of a sentence: w · tanh(Wᵀ x + b) + d · x + c over its standardised features x.
 * @param features in the order of `combination.features`
 */
export function combine(combination: Combination, features: readonly number[]): number {
  const { mean, scale, hiddenWeights, hiddenBias, outputWeights, directWeights, bias } = combination;
  const x = features.map((value, index) => (value - mean[index]!) / scale[index]!);
  let logit = bias;
  for (const [index, value] of x.entries()) logit += directWeights[index]! * value;
  for (const [unit, weight] of outputWeights.entries()) {
    let sum = hiddenBias[unit]!;
    for (const [index, value] of x.entries()) sum += hiddenWeights[index]![unit]! * value;
    logit += weight * Math.tanh(sum);
  }
  return logit;
}

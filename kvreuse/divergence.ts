/** Log-probabilities. */
export function logSoftmax(logits: Float32Array): Float64Array {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return Float64Array.from(logits, (logit) => logit - largest - Math.log(sum));
}

/** Kullback-Leibler divergence in nats, of log-probabilities from others. */
export function divergence(of: Float64Array, from: Float64Array): number {
  return of.reduce((sum, log, token) => sum + Math.exp(log) * (log - from[token]!), 0);
}

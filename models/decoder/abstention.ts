import type { Engine } from './engine.js';
import type { Slots } from './kv-slots.js';

/** An Abstention, in tokens. */
export interface AbstentionTokens {
  readonly tokens: readonly number[];
  readonly probability: number;
}

/**
 * Whether the text that stands for no answer is as likely as it must be, right behind a prompt.
 * @param logits of the prompt's last row
 * @param slots of the whole prompt; they stay as they are
 * @param maskAt as `StepInput` has it, of rows at some positions. Default they see all before them
 */
export async function isAsLikely(
  { tokens, probability }: AbstentionTokens,
  logits: Float32Array,
  engine: Engine,
  slots: Slots,
  maskAt: (positions: readonly number[]) => Float32Array | undefined = () => undefined,
): Promise<boolean> {
  const [first, ...rest] = tokens;
  let likely = probabilityOf(first!, logits);
  // The whole is not likelier: mostly this is the end of it.
  if (likely < probability || rest.length === 0) return likely >= probability;
  const positions = rest.map((_, row) => slots.length + row);
  const mask = maskAt(positions);
  const { hidden, kv } = await engine.step({
    rows: engine.embed(tokens.slice(0, -1)),
    positions,
    past: slots,
    ...(mask && { mask }),
  });
  slots.put(kv, [], rest.length);
  const { width } = engine.shape;
  for (const [row, token] of rest.entries())
    likely *= probabilityOf(token, await engine.logits(hidden.subarray(row * width, (row + 1) * width)));
  return likely >= probability;
}

function probabilityOf(token: number, logits: Float32Array): number {
  const largest = logits.reduce((most, logit) => Math.max(most, logit), -Infinity);
  const sum = logits.reduce((total, logit) => total + Math.exp(logit - largest), 0);
  return Math.exp(logits[token]! - largest) / sum;
}

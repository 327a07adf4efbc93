import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Engine } from '../models/decoder/engine.js';
import { ModelError } from '../models/model-error.js';
import type { ChunkEngine } from './chunk-engine.js';
import { divergence, logSoftmax } from './divergence.js';
import { computeAlone, prefillBy } from './prefill-by.js';
import type { PromptLayout } from './prompt-layout.js';
import { full } from './selection/full.js';
import type { SelectionPolicy } from './selection/selection-policy.js';
import { finish } from './steps.js';

/** What reuse does to a model under a policy. */
export interface GateReport {
  /** Nats, of the first token of a prompt computed anew out of caches from the same read straight: the most. */
  readonly exact: number;
  /** Of a chunk's keys, taken back from their rotation, between two places: relative, root mean square. */
  readonly moved: number;
  /** Nats, of the first token, mean. */
  readonly kl: number;
  /** Share of prompts whose likeliest first token is the same. */
  readonly top1: number;
}

/** What 8 bits make of another order of the same sums; a wrong mask or rotation is far beyond. */
const EXACT = 0.1;
const MOVED = 0.1;
/** The answers would be of another model. */
const KL = 1;
/** A chunk's second place. */
const FAR = 700;

/** With the model: reports by policy, as `npm run eval -- kvreuse --record` writes them. */
export const GATE_FILE = 'reuse.json';

export const reportSchema = z.object({
  exact: z.number(),
  moved: z.number(),
  kl: z.number(),
  top1: z.number(),
});

const fileSchema = z.record(z.string(), reportSchema);

/** What is known of a model in a folder; undefined where nobody has measured the policy on it. */
export async function recordedGate(folder: string, policy: string): Promise<GateReport | undefined> {
  const text = await readFile(join(folder, GATE_FILE), 'utf8').catch(() => '{}');
  try {
    return fileSchema.parse(JSON.parse(text))[policy];
  } catch {
    return undefined; // Measured again.
  }
}

/**
 * Whether a model's chunks can be reused at all, and what a policy makes of its answers.
 * @param path of the model, for errors
 * @throws ModelError `unsupported` where reuse would change what the model says beyond recognition
 */
export async function checkReuse(
  path: string,
  decoder: Engine,
  engine: ChunkEngine,
  policy: SelectionPolicy,
  layouts: readonly PromptLayout[],
): Promise<GateReport> {
  const reports: GateReport[] = [];
  for (const layout of layouts) reports.push(await checkPrompt(decoder, engine, policy, layout));
  const mean = (of: (report: GateReport) => number) =>
    reports.reduce((sum, report) => sum + of(report), 0) / reports.length;
  const report = {
    exact: Math.max(...reports.map(({ exact }) => exact)),
    moved: Math.max(...reports.map(({ moved }) => moved)),
    kl: mean(({ kl }) => kl),
    top1: mean(({ top1 }) => top1),
  };
  if (!isFit(report)) {
    throw new ModelError(
      'unsupported',
      path,
      `chunks of ${path} cannot be reused by policy ${policy.name}: its first token is ${report.exact.toFixed(3)} nats ` +
        `off where all is computed anew, ${report.kl.toFixed(3)} by the policy, and moved keys differ by ${report.moved.toFixed(3)}; ` +
        'give another policy, or load it as a Decoder',
    );
  }
  return report;
}

/** Whether a model may be used so. */
export function isFit({ exact, moved, kl }: GateReport): boolean {
  // Of numbers that are none no comparison holds.
  return exact <= EXACT && moved <= MOVED && kl <= KL;
}

async function checkPrompt(
  decoder: Engine,
  engine: ChunkEngine,
  policy: SelectionPolicy,
  layout: PromptLayout,
): Promise<GateReport> {
  const straight = await engine.logits(await readStraight(decoder, layout.ids));
  const { prefix, chunks } = await finish(computeAlone(engine, layout));
  const anew = await finish(prefillBy(engine, full(), layout, prefix, chunks));
  const reused = await finish(prefillBy(engine, policy, layout, prefix, chunks));
  const said = await engine.logits(reused.hidden);
  for (const { slots } of [anew, reused]) slots.release();
  return {
    exact: divergence(logSoftmax(straight), logSoftmax(await engine.logits(anew.hidden))),
    moved: await movedBy(decoder, layout.chunks[0]!.tokens),
    kl: divergence(logSoftmax(straight), logSoftmax(said)),
    top1: Number(best(straight) === best(said)),
  };
}

async function readStraight(decoder: Engine, ids: readonly number[]): Promise<Float32Array> {
  const positions = ids.map((_, i) => i);
  const past = decoder.slots();
  const { hidden } = await decoder.step({ rows: decoder.embed(ids), positions, past });
  past.release();
  return hidden.slice(-decoder.shape.width);
}

async function movedBy(decoder: Engine, tokens: readonly number[]): Promise<number> {
  const [near, far] = [0, FAR].map((start) => tokens.map((_, i) => start + i));
  const keysAt = async (positions: readonly number[]) => {
    const slots = decoder.slots();
    const { kv } = await decoder.step({ rows: decoder.embed(tokens), positions, past: slots });
    slots.append(kv, tokens.length);
    const { keys } = await slots.read(0, tokens.length, positions[0]!);
    slots.release();
    return keys;
  };
  const [here, there] = [await keysAt(near!), await keysAt(far!)];
  let [difference, size] = [0, 0];
  here.forEach((key, i) => {
    difference += (key - there[i]!) ** 2;
    size += key ** 2;
  });
  return Math.sqrt(difference / size);
}

function best(logits: Float32Array): number {
  return logits.indexOf(logits.reduce((a, b) => Math.max(a, b), -Infinity));
}

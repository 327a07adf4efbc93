import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeWhole } from '../models/write-whole.js';
import { isFit, reportSchema, type GateReport } from './correctness-gate.js';

/** Raised where the gate measures otherwise, or keys and values are computed otherwise: older reports are not read. */
const VERSION = 1;

/** What a report is of. */
export interface Gated {
  /** Hash of the model, its precision and its device. */
  readonly weights: string;
  /** A selection policy and its parameters. */
  readonly policy: Readonly<Record<string, unknown>>;
}

/** What the correctness gate found on this machine, so that a model is tested once and not at each start. */
export class KeptGate {
  readonly #folder: string;
  readonly #subject: string;

  constructor(folder: string, { weights, policy }: Gated) {
    this.#folder = folder;
    this.#subject = JSON.stringify([VERSION, weights, Object.entries(policy).sort()]);
  }

  /** @returns undefined where there is none, or none that can be read, is of the same and lets the model through */
  async read(): Promise<GateReport | undefined> {
    try {
      const schema = z.strictObject({ subject: z.literal(this.#subject), report: reportSchema });
      const { report } = schema.parse(JSON.parse(await readFile(this.#path, 'utf8')));
      return isFit(report) ? report : undefined;
    } catch {
      return undefined;
    }
  }

  /** Where it cannot be written the model is tested again. */
  async write(report: GateReport): Promise<void> {
    try {
      await mkdir(this.#folder, { recursive: true });
      await writeWhole(this.#path, `${JSON.stringify({ subject: this.#subject, report }, null, 2)}\n`);
    } catch {
      return;
    }
  }

  get #path(): string {
    return join(this.#folder, `${createHash('sha256').update(this.#subject).digest('hex')}.json`);
  }
}

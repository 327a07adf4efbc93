import { codeOf } from './error-code.js';
import type { Tier } from './tier.js';

/** Reasons that are counted apart; those of more kinds are counted as `other`. */
const REASONS = 64;

/** What the tiers count. */
export class Counters {
  readonly hits: Record<Tier, number> = { memory: 0, disk: 0, redis: 0 };
  misses = 0;
  readonly refused = new Map<string, number>();
  evicted = 0;
  degraded = 0;
  demoted = 0;
  promoted = 0;
  readonly turnedAway: Record<Tier, number> = { memory: 0, disk: 0, redis: 0 };
  readonly errors: Record<Tier, number> = { memory: 0, disk: 0, redis: 0 };
  readonly lastError: Partial<Record<Tier, string>> = {};

  refuse(reason: string): void {
    const name = this.refused.has(reason) || this.refused.size < REASONS ? reason : 'other';
    this.refused.set(name, (this.refused.get(name) ?? 0) + 1);
  }

  failed(tier: Tier, error: unknown): void {
    this.errors[tier]++;
    this.lastError[tier] = codeOf(error);
  }
}

import { Counter, Histogram, Registry } from 'prom-client';
import type { Reuse } from '../models/decoder/generation.js';

/** Figures of one proxy, in a registry of its own. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #requests = new Counter({
    name: 'ragpress_requests_total',
    help: 'Requests by what became of them: compressed, unchanged, bypassed or passed through.',
    labelNames: ['outcome'],
    registers: [this.#registry],
  });
  readonly #tokens = new Counter({
    name: 'ragpress_context_tokens_total',
    help: 'Tokens of the contexts found in requests, before and after compression, by tokenizer.',
    labelNames: ['when', 'counter'],
    registers: [this.#registry],
  });
  readonly #milliseconds = new Histogram({
    name: 'ragpress_compression_milliseconds',
    help: 'Time from a request read to its contexts compressed.',
    buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000],
    registers: [this.#registry],
  });
  readonly #promptTokens = new Counter({
    name: 'ragpress_prompt_tokens_total',
    help: 'Tokens of prompts that the local model read, by where their keys and values came from: reused, repaired or computed.',
    labelNames: ['source'],
    registers: [this.#registry],
  });
  readonly #failures = new Counter({
    name: 'ragpress_failures_total',
    help: 'Failures by where they happened: compression (the original went out), latency_budget or upstream.',
    labelNames: ['where'],
    registers: [this.#registry],
  });

  readonly contentType: string = this.#registry.contentType;

  countRequest(outcome: 'compressed' | 'unchanged' | 'bypassed' | 'passed'): void {
    this.#requests.inc({ outcome });
  }

  countCompression(before: number, after: number, counter: string, milliseconds: number): void {
    this.#tokens.inc({ when: 'before', counter }, before);
    this.#tokens.inc({ when: 'after', counter }, after);
    this.#milliseconds.observe(milliseconds);
  }

  countPrompt({ reused, repaired, computed }: Reuse): void {
    this.#promptTokens.inc({ source: 'reused' }, reused);
    this.#promptTokens.inc({ source: 'repaired' }, repaired);
    this.#promptTokens.inc({ source: 'computed' }, computed);
  }

  countFailure(where: 'compression' | 'latency_budget' | 'upstream'): void {
    this.#failures.inc({ where });
  }

  /** In Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}

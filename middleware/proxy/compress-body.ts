import { isUtf8 } from 'node:buffer';
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import type { StageReport } from '../../compressors/index.js';
import type { Pipelines } from '../pipelines.js';
import { compressContexts, type CompressedContexts } from '../requests/compress-contexts.js';
import { findContexts, type FindOptions } from '../requests/find-contexts.js';
import { spliceJson } from '../requests/splice-json.js';
import { readOverrides } from './overrides.js';

export interface CompressedBody {
  /** The bytes given, where nothing is changed. */
  readonly body: Buffer;
  readonly outcome: 'compressed' | 'unchanged' | 'bypassed' | 'passed';
  readonly report?: CompressionReport;
}

export interface CompressionReport extends CompressedContexts {
  /** Name of the counter that counted the tokens. */
  readonly counter: string;
  readonly milliseconds: number;
  readonly isLate: boolean;
}

export interface CompressBodyOptions extends FindOptions {
  readonly pipelines: Pipelines;
  /** Milliseconds, past which what is not compressed goes out as it was. */
  readonly latencyBudget: number;
  /** Aborted when the client goes away. */
  readonly signal: AbortSignal;
}

/**
 * Compresses the contexts in the body of a chat completion, responses or messages request. Everything else in it stays
 * as it is, byte for byte, but for the field `ragpress`, which is taken out. A body that is not JSON is the upstream's to refuse.
 * @throws ConfigurationError for overrides that cannot be used
 */
export async function compressBody(
  bytes: Buffer,
  headers: IncomingHttpHeaders,
  options: CompressBodyOptions,
): Promise<CompressedBody> {
  const started = performance.now();
  const json = isUtf8(bytes) ? bytes.toString('utf8') : '';
  const request = parseObject(json);
  if (!request) return { body: bytes, outcome: 'passed' };

  const overrides = readOverrides(headers, request.ragpress);
  const body = request.ragpress === undefined ? bytes : Buffer.from(spliceJson(json, [], 'ragpress'));
  if (overrides.bypass) return { body, outcome: 'bypassed' };
  const contexts = findContexts(request, options);
  if (contexts.length === 0) return { body, outcome: 'unchanged' };

  const model = typeof request.model === 'string' && request.model !== '' ? request.model : undefined;
  const pipeline = await options.pipelines.choose({ model, preset: overrides.preset });
  const limit = timeLimit(options.latencyBudget);
  const signal = AbortSignal.any([options.signal, limit.signal]);
  const compressed = await compressContexts(contexts, pipeline, overrides.budget, signal).finally(
    limit.clear,
  );
  options.signal.throwIfAborted();
  const report = {
    ...compressed,
    counter: pipeline.counter.name,
    milliseconds: performance.now() - started,
    isLate: limit.signal.aborted,
  };
  if (compressed.edits.length === 0) return { body, outcome: 'unchanged', report };
  return { body: Buffer.from(spliceJson(json, compressed.edits, 'ragpress')), outcome: 'compressed', report };
}

function timeLimit(milliseconds: number): { signal: AbortSignal; clear: () => void } {
  const controller = new AbortController();
  const timer = setTimeout(() => {
    controller.abort(new Error(`latency budget of ${milliseconds} ms passed`));
  }, milliseconds);
  return {
    signal: controller.signal,
    clear: () => {
      clearTimeout(timer);
    },
  };
}

/** What a response says of the compression of its request. */
export function reportHeaders(report: CompressionReport): OutgoingHttpHeaders {
  return {
    'x-ragpress-tokens-before': report.before,
    'x-ragpress-tokens-after': report.after,
    'x-ragpress-counter': report.counter,
    'x-ragpress-milliseconds': report.milliseconds.toFixed(1),
    'x-ragpress-stages': report.stages.map(stageItem).join(', '),
    ...(report.errors.length > 0 && errorHeader(report.errors.join('; '))),
  };
}

export function errorHeader(reason: string): OutgoingHttpHeaders {
  return { 'x-ragpress-error': reason.replace(/[^\x20-\x7e]+/g, ' ').slice(0, 500) };
}

/** A list of items with parameters (RFC 8941 §3.1). */
function stageItem({ name, tokensBefore, tokensAfter, milliseconds }: StageReport): string {
  const item = name.replace(/[^\w.-]+/g, '-');
  return `${item};before=${tokensBefore};after=${tokensAfter};ms=${milliseconds.toFixed(1)}`;
}

function parseObject(json: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

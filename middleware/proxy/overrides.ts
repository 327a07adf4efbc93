import type { IncomingHttpHeaders } from 'node:http';
import { z } from 'zod';
import { checkBudget } from '../../compressors/budget.js';
import { ConfigurationError, type Budget } from '../../compressors/index.js';
import { validate } from '../../settings/validate.js';

/** What a caller asks for this one request. */
export interface Overrides {
  readonly bypass: boolean;
  readonly budget?: Budget | undefined;
  readonly preset?: string | undefined;
}

const fieldSchema = z.strictObject({
  bypass: z.boolean('give true or false').optional(),
  budget: z.unknown().optional(),
  preset: z.string('give the name of a preset').optional(),
});

/**
 * Reads the headers `x-ragpress-bypass: 1`, `x-ragpress-budget: 400`, `x-ragpress-preset: fast`, and the field
 * `ragpress: { bypass, budget, preset }` of the body, where a budget is a number of tokens or `{ tokens, ratio }`.
 * A header outweighs the field.
 * @throws ConfigurationError
 */
export function readOverrides(headers: IncomingHttpHeaders, field: unknown): Overrides {
  const given = validate(fieldSchema, field ?? {}, 'ragpress');
  const budget = readBudget(headers, given.budget);
  return {
    bypass: readBypass(headers) ?? given.bypass ?? false,
    ...(budget && { budget }),
    preset: single(headers, 'x-ragpress-preset') ?? given.preset,
  };
}

function readBypass(headers: IncomingHttpHeaders): boolean | undefined {
  const bypass = single(headers, 'x-ragpress-bypass');
  if (bypass === undefined) return undefined;
  if (bypass === '1' || bypass === 'true') return true;
  if (bypass === '0' || bypass === 'false') return false;
  throw new ConfigurationError('x-ragpress-bypass', bypass, 'give 1 or 0');
}

function readBudget(headers: IncomingHttpHeaders, field: unknown): Budget | undefined {
  const header = single(headers, 'x-ragpress-budget');
  if (header !== undefined) {
    if (/^\d{1,15}$/.test(header)) return { tokens: Number(header) };
    throw new ConfigurationError('x-ragpress-budget', header, 'give a whole number of tokens, 0 or more');
  }
  const budget = (typeof field === 'number' ? { tokens: field } : field) as Budget | undefined;
  checkBudget(budget, 'ragpress.budget');
  return budget;
}

function single(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value[0] : value;
}

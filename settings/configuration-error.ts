import { inspect } from 'node:util';

/** A setting or argument that cannot work. Thrown at start or before any work is done, never from within it. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';

  /**
   * @param field path of the setting, e.g. `budget.tokens`
   * @param value what was given
   * @param remedy what would be accepted
   */
  constructor(
    readonly field: string,
    readonly value: unknown,
    readonly remedy: string,
  ) {
    super(`${field}: ${describe(value)} cannot be used; ${remedy}`);
  }
}

function describe(value: unknown): string {
  if (typeof value === 'function') return 'a function';
  const text =
    typeof value === 'string' ? JSON.stringify(value) : inspect(value, { depth: 1, breakLength: Infinity });
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

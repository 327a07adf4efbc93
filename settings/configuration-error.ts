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
  const text = shown(value);
  return text.length > 80 ? `${text.slice(0, 80)}…` : text;
}

/** Without `util.inspect`, which a browser has not. */
function shown(value: unknown): string {
  switch (typeof value) {
    case 'function':
      return 'a function';
    case 'object':
    case 'string':
      try {
        return JSON.stringify(value);
      } catch {
        return 'an object'; // It holds itself, or a number that JSON has not.
      }
    default:
      return String(value);
  }
}

import { z } from 'zod';
import { ConfigurationError } from './configuration-error.js';

/**
 * Checks settings against a schema and returns them with its defaults filled in.
 * @param root what the settings are called where they are given, e.g. `htmlrag`; the path of a field follows it
 * @throws ConfigurationError for the first field that does not fit
 */
export function validate<Schema extends z.ZodType>(
  schema: Schema,
  settings: unknown,
  root = '',
): z.output<Schema> {
  const parsed = schema.safeParse(settings);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const path = [...issue.path];
  if (issue.code === 'unrecognized_keys') path.push(issue.keys[0]!);
  const value = path.reduce<unknown>(
    (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
    settings,
  );
  const field = [root, ...path.map(String)].filter((part) => part !== '').join('.');
  throw new ConfigurationError(field === '' ? 'options' : field, value, remedyOf(issue, schema));
}

function remedyOf(issue: z.core.$ZodIssue, schema: z.ZodType): string {
  if (issue.code !== 'unrecognized_keys') return issue.message;
  const known = schema instanceof z.ZodObject && issue.path.length === 0 ? Object.keys(schema.shape) : [];
  return known.length > 0
    ? `there is no such option; known are ${known.join(', ')}`
    : 'there is no such option';
}

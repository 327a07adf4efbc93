import { z } from 'zod';
import { ApiError } from './api-error.js';

/**
 * Reads the fields of a request.
 * @throws ApiError with the first field that does not fit, its path as OpenAI writes it: `messages[0].role`
 */
export function parseFields<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const param = issue.path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index > 0 ? '.' : ''}${String(part)}`))
    .join('');
  const code = issue.code === 'custom' ? (issue.params?.code as string | undefined) : undefined;
  throw new ApiError({
    status: 400,
    type: 'invalid_request_error',
    code: code ?? 'invalid_value',
    message: param === '' ? issue.message : `${param}: ${issue.message}`,
    ...(param !== '' && { param }),
  });
}

/** A code such as `ENOSPC` or `WRONGPASS`. Not the message: Redis's may quote a command, with a password in it. */
export function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'UNKNOWN';
  if ('code' in error && typeof error.code === 'string') return error.code;
  return /^[A-Z]{2,20}(?= )/.exec(error.message)?.[0] ?? error.name;
}

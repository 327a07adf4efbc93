/** The form of a request and of its answer: OpenAI's older and newer one, Anthropic's. */
export type ApiForm = 'chat' | 'responses' | 'messages';

/** Of `/input_tokens` and `/count_tokens`, tokens are counted of what would be sent. */
const FORMS: readonly [ApiForm, RegExp][] = [
  ['chat', /\/chat\/completions$/],
  ['responses', /\/responses(?:\/input_tokens)?$/],
  ['messages', /\/v1\/messages(?:\/count_tokens)?$/],
];

/** @returns undefined for a path that has no conversation */
export function apiFormOf(path: string): ApiForm | undefined {
  const pathname = path.split('?', 1)[0]!;
  return FORMS.find(([, form]) => form.test(pathname))?.[0];
}

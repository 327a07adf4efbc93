import { z } from 'zod';

/** What a message says: a text, or parts of text, which are put together. */
export function textContent(...types: [string, ...string[]]) {
  const error = `give a text, or a list of parts { type: ${types.map((type) => `"${type}"`).join(' or ')}, text }: nothing else is read`;
  return z
    .union([z.string(), z.array(z.object({ type: z.enum(types), text: z.string() }))], error)
    .transform((content) =>
      typeof content === 'string' ? content : content.map(({ text }) => text).join('\n'),
    );
}

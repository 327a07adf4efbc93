import { z } from 'zod';

/**
 * A field that would change the answer's form, which only some values leave as it is. It may be null or left out.
 * @param remedy said of any other value
 */
export function supportedField(isSupported: (value: unknown) => boolean, remedy: string) {
  return z
    .unknown()
    .refine((value) => value == null || isSupported(value), {
      error: `${remedy}, or leave it out`,
      params: { code: 'unsupported_value' },
    })
    .optional();
}

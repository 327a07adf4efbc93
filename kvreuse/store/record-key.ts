import { ConfigurationError } from '../../settings/configuration-error.js';

const KEY = /^[0-9a-f]{1,64}\/[0-9a-f]{1,64}$/;
const PREFIX = /^[0-9a-f]{0,64}(?:\/[0-9a-f]{0,64})?$/;

/** Whether this is CHUNK/VERSION, each at most 64 hexadecimal digits in lower case. */
export function isKey(key: string): boolean {
  return KEY.test(key);
}

/** @throws ConfigurationError */
export function checkKey(key: string): void {
  if (typeof key !== 'string' || !isKey(key))
    throw new ConfigurationError(
      'key',
      key,
      'give CHUNK/VERSION, each 1 to 64 hexadecimal digits in lower case',
    );
}

/** @throws ConfigurationError */
export function checkPrefix(prefix: string): void {
  if (typeof prefix !== 'string' || !PREFIX.test(prefix))
    throw new ConfigurationError('prefix', prefix, 'give the beginning of a key, e.g. CHUNK/');
}

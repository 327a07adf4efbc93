import { ConfigurationError } from '../../settings/configuration-error.js';

/** @throws ConfigurationError where a setting is not more than 0 and at most `most` */
export function positive(field: string, value: number, most = Infinity): void {
  if (!(value > 0 && value <= most))
    throw new ConfigurationError(
      field,
      value,
      `give a number above 0${most < Infinity ? `, ${most} at most` : ''}`,
    );
}

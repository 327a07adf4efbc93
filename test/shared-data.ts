import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../shared/data', import.meta.url));

/** The folder of public data beside the project; undefined where it is absent, and its tests skip. */
export const sharedData: string | undefined = existsSync(folder) ? folder : undefined;

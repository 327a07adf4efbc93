import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The folder of models made for tests: `tiny`, an encoder 16 wide. */
export const fixtures = fileURLToPath(new URL('../fixtures/models', import.meta.url));

/** Whether the weights of an embedded model are here; where they are not, its tests skip. */
export function hasWeights(name: string): boolean {
  return existsSync(new URL(`../../models/weights/${name}/model.json`, import.meta.url));
}

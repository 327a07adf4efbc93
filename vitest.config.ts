import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import packageJson from './package.json' with { type: 'json' };

// Tests of the public entries run what is published: the package's own exports, as built into dist/.
const entries = Object.entries(packageJson.exports).flatMap(([entry, target]) =>
  typeof target === 'string'
    ? []
    : [
        {
          find: new RegExp(`^${entry.replace('.', packageJson.name)}$`),
          replacement: fileURLToPath(new URL(target.default, import.meta.url)),
        },
      ],
);

export default defineConfig({
  resolve: { alias: entries },
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/seed.ts'],
    testTimeout: 30_000,
    pool: 'forks',
  },
});

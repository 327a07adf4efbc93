import { expect, test } from 'vitest';
import { ThreadPool } from '../../models/thread-pool.js';

test('a module that cannot be loaded is what its tasks are told, not waited for', async () => {
  // It takes what it needs from its pool, which gives it nothing here.
  const pool = new ThreadPool('models/session-worker.js', { minThreads: 1, maxThreads: 1 });
  await expect(pool.run({})).rejects.toThrow(/turns/);
  await expect(pool.run({})).rejects.toThrow(/turns/);
  await pool.destroy();
});

test('one that is not there is refused, with the way out', () => {
  expect(() => new ThreadPool('models/none.js', { minThreads: 0, maxThreads: 1 })).toThrow(
    /none\.js: that copy of it is not whole \(in a checkout: npm run build; .*outputFileTracingIncludes/,
  );
});

import { ChunkStore } from '../../../kvreuse/store/chunk-store.js';
import { isRecordOf, keyOf, readWhole, recordOf } from './records.js';
import type { Outcome, Task } from './store-process.js';

const { folder, bytes, sizes, chunks, puts, reads } = JSON.parse(process.argv[2]!) as Task;
const store = await ChunkStore.open({ memoryBytes: 0, disk: { folder, bytes } });
console.log('ready');
let found = 0;
let damaged = 0;
for (let index = 0; index < puts; index++) {
  const key = keyOf(chunks[index % chunks.length]!);
  await store.put(key, recordOf(key, sizes[index % sizes.length]!), { savedMs: 100 });
  if (!reads) continue;
  const wanted = keyOf(chunks[(index * 7) % chunks.length]!);
  const record = await readWhole(store, wanted);
  if (!record) continue;
  found++;
  if (!isRecordOf(wanted, record)) damaged++;
}
const { errors, lastError, evicted, turnedAway, refused } = store.statistics();
await store.close();
const outcome: Outcome = {
  damaged,
  found,
  errors: errors.disk,
  lastError: lastError.disk,
  evicted,
  turnedAway: turnedAway.disk,
  refused,
};
console.log(JSON.stringify(outcome));

export { ChunkDecoder, type ChunkDecoderOptions, type ReuseOptions } from './chunk-decoder.js';
export type { PolicySettings } from './selection/policy-named.js';
export {
  ChunkStore,
  type RecordReport,
  type RecordValue,
  type StoreStatistics,
} from './store/chunk-store.js';
export type { ChunkStoreOptions } from './store/chunk-store-options.js';

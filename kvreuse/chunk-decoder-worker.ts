import { workerData } from 'node:worker_threads';
import { serveDecoder, type WorkerSettings } from '../models/decoder/serve-decoder.js';
import { chunkReader, type ChunkReaderSettings } from './chunk-reader.js';

const { reading } = workerData as WorkerSettings;
await serveDecoder(chunkReader(reading as ChunkReaderSettings));

import { serveDecoder } from './serve-decoder.js';

await serveDecoder();

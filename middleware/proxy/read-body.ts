import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';

/**
 * Reads a request's body, unless it is larger than a limit.
 * @param limit in bytes
 * @returns the body, or where it is over the limit a stream of all of it
 */
export async function readBody(request: IncomingMessage, limit: number): Promise<Buffer | Readable> {
  if (Number(request.headers['content-length'] ?? 0) > limit) return request;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > limit) return Readable.from(joined(chunks, request), { objectMode: false });
  }
  return Buffer.concat(chunks);
}

async function* joined(read: readonly Buffer[], rest: IncomingMessage): AsyncGenerator<Buffer> {
  yield* read;
  yield* rest as AsyncIterable<Buffer>;
}

import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface HubServer {
  readonly url: string;
  /** Path and `Range` of each request so far. */
  readonly requests: { path: string; range: string | undefined }[];
  close(): Promise<void>;
}

export interface HubBehaviour {
  /** By path in the repository `acme/tiny`. */
  readonly files: Readonly<Record<string, Buffer>>;
  /** What is announced where it differs from what is sent. */
  readonly announced?: Readonly<Record<string, Buffer>>;
  /** Answers in place of the server; returns whether it did. */
  readonly intercept?: (request: IncomingMessage, response: ServerResponse, nth: number) => boolean;
  readonly ignoresRange?: boolean;
  /** Bytes sent at once, with a pause after each. */
  readonly chunk?: number;
}

/** A hub of one repository, `acme/tiny`, that speaks the protocol of huggingface.co. */
export async function hubServer(behaviour: HubBehaviour): Promise<HubServer> {
  const requests: HubServer['requests'] = [];
  const counts = new Map<string, number>();
  const server = createServer((request, response) => {
    const { pathname: path } = new URL(request.url ?? '/', 'http://hub');
    const nth = (counts.get(path) ?? 0) + 1;
    counts.set(path, nth);
    requests.push({ path, range: request.headers.range });
    if (behaviour.intercept?.(request, response, nth)) return;
    if (path === '/api/models/acme/tiny/tree/main') {
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(listing({ ...behaviour.files, ...behaviour.announced })));
      return;
    }
    const file = behaviour.files[decodeURIComponent(path.replace('/acme/tiny/resolve/main/', ''))];
    if (file) void sendFile(file, request, response, behaviour);
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    close: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
        server.closeAllConnections();
      }),
  };
}

function listing(files: Readonly<Record<string, Buffer>>) {
  return Object.entries(files).map(([path, content]) => ({
    type: 'file',
    path,
    size: content.length,
    oid: createHash('sha1').update(`blob ${content.length}\0`).update(content).digest('hex'),
    ...(path.endsWith('.onnx') && {
      lfs: {
        oid: createHash('sha256').update(content).digest('hex'),
        size: content.length,
        pointerSize: 130,
      },
    }),
  }));
}

async function sendFile(
  file: Buffer,
  request: IncomingMessage,
  response: ServerResponse,
  { ignoresRange = false, chunk = file.length }: HubBehaviour,
): Promise<void> {
  const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
  if (start >= file.length && start > 0 && !ignoresRange) {
    response.writeHead(416).end();
    return;
  }
  const from = ignoresRange ? 0 : start;
  response.writeHead(from > 0 ? 206 : 200, {
    'content-length': file.length - from,
    ...(from > 0 && { 'content-range': `bytes ${from}-${file.length - 1}/${file.length}` }),
  });
  for (let at = from; at < file.length && !response.destroyed; at += chunk) {
    response.write(file.subarray(at, at + chunk));
    if (chunk < file.length) await new Promise((resolve) => setTimeout(resolve, 5));
  }
  response.end();
}

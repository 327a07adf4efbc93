import type { IncomingHttpHeaders, IncomingMessage, OutgoingHttpHeaders } from 'node:http';

/**
 * "Intermediaries SHOULD remove or replace fields that are known to require removal before forwarding", whether or
 * not Connection names them (RFC 9110 §7.6.1).
 */
const HOP_BY_HOP = ['connection', 'proxy-connection', 'keep-alive', 'te', 'transfer-encoding', 'upgrade'];

/** What the HTTP client writes by itself, and what Node's server has answered (100 Continue). */
const ANSWERED_HERE = ['host', 'expect'];

/** What describes a body as it came, and not the decoded one that is sent in its place. */
const OF_THE_BODY = ['content-length', 'content-encoding'];

/**
 * The fields of a request that go on to the upstream, in their order and spelling.
 * @param replaced whether another body goes on than the one that came
 */
export function requestHeaders({ rawHeaders, headers }: IncomingMessage, replaced: boolean): string[] {
  const dropped = droppedFields(headers.connection);
  for (const name of replaced ? [...ANSWERED_HERE, ...OF_THE_BODY] : ANSWERED_HERE) dropped.add(name);
  const forwarded: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]!;
    const known = name.toLowerCase();
    if (!dropped.has(known) && !known.startsWith('x-ragpress-')) forwarded.push(name, rawHeaders[index + 1]!);
  }
  return forwarded;
}

/** The fields of a response that go back to the client. */
export function responseHeaders(headers: IncomingHttpHeaders): OutgoingHttpHeaders {
  const forwarded: OutgoingHttpHeaders = { ...headers };
  for (const name of droppedFields(headers.connection)) Reflect.deleteProperty(forwarded, name);
  return forwarded;
}

function droppedFields(connection: string | undefined): Set<string> {
  const named = (connection ?? '').split(',').map((name) => name.trim().toLowerCase());
  return new Set([...HOP_BY_HOP, ...named]);
}

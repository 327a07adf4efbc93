import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { serve } from 'ragpress/proxy';
import { startUpstream, type Answer } from '../integration/upstream.js';

/** A proxy before an upstream that answers so, until the test is over. */
export async function startProxy(answer: Answer, tokens: number) {
  const upstream = await startUpstream(answer);
  onTestFinished(() => upstream.close());
  const proxy = await serve({
    upstream: upstream.url,
    port: 0,
    logger: pino({ level: 'silent' }),
    pipeline: { budget: { tokens } },
  });
  onTestFinished(() => proxy.close());
  return { upstream, url: proxy.url };
}

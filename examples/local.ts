import OpenAI from 'openai';
import { serve } from 'ragpress/proxy';
import { isMain } from './is-main.js';
import { pages } from './pages.js';

/** Asks the embedded model about the pages, offline: it reads no more of them than the question needs. */
export async function ask(question: string): Promise<string> {
  const server = await serve({ upstream: 'local', port: 0, pipeline: { budget: { tokens: 120 } } });
  const client = new OpenAI({ baseURL: `${server.url}/v1`, apiKey: 'none' });
  const sources = pages.map(({ id, content }) => `<source id="${id}">${content}</source>`).join('\n');
  const messages = [{ role: 'user' as const, content: `${sources}\n\n${question}` }];
  const answer = await client.chat.completions.create({ model: 'local', messages });
  await server.close();
  return answer.choices[0]?.message.content ?? '';
}

// npx tsx examples/local.ts
if (isMain(import.meta)) console.log(await ask('How much is a day return for an adult?'));

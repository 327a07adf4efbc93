import OpenAI from 'openai';
import { serve } from 'ragpress/proxy';
import { isMain } from './is-main.js';
import { pages } from './pages.js';

/** Asks a model through the proxy. The client knows nothing of it but the address. */
export async function ask(upstream: string, apiKey: string, question: string): Promise<string> {
  const proxy = await serve({ upstream, port: 0, pipeline: { budget: { tokens: 120 } } });
  try {
    const client = new OpenAI({ baseURL: `${proxy.url}/v1`, apiKey });
    const sources = pages.map(({ id, content }) => `<source id="${id}">${content}</source>`).join('\n');
    const { data, response } = await client.chat.completions
      .create({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: `${sources}\n\n${question}` }] })
      .withResponse();
    const tokens = ['before', 'after'].map((when) => response.headers.get(`x-ragpress-tokens-${when}`));
    return `${data.choices[0]?.message.content} (${tokens.join(' → ')} tokens of context)`;
  } finally {
    await proxy.close();
  }
}

// OPENAI_API_KEY=… npx tsx examples/proxy.ts
if (isMain(import.meta)) {
  const { OPENAI_BASE_URL = 'https://api.openai.com/v1', OPENAI_API_KEY = '' } = process.env;
  console.log(await ask(OPENAI_BASE_URL, OPENAI_API_KEY, 'How much is a day return for an adult?'));
}

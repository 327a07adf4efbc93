import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, wrapLanguageModel } from 'ai';
import { ragpressMiddleware } from 'ragpress/ai';
import { isMain } from './is-main.js';
import { pages } from './pages.js';

/** Asks a model about the pages; it reads no more of them than the question needs. */
export async function ask(baseURL: string, apiKey: string, question: string): Promise<string> {
  const provider = createOpenAICompatible({ name: 'openai', baseURL, apiKey });
  const middleware = ragpressMiddleware({ pipeline: { budget: { tokens: 120 } } });
  const model = wrapLanguageModel({ model: provider('gpt-4o-mini'), middleware });
  const sources = pages.map(({ id, content }) => `<source id="${id}">${content}</source>`).join('\n');
  const { text } = await generateText({ model, prompt: `${sources}\n\n${question}` });
  await middleware.close();
  return text;
}

// OPENAI_API_KEY=… npx tsx examples/ai.ts
if (isMain(import.meta)) {
  const { OPENAI_BASE_URL = 'https://api.openai.com/v1', OPENAI_API_KEY = '' } = process.env;
  console.log(await ask(OPENAI_BASE_URL, OPENAI_API_KEY, 'How much is a day return for an adult?'));
}

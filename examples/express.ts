import express, { type Express, type RequestHandler } from 'express';
import type { CompressionResult } from 'ragpress';
import { compress, ragpress } from 'ragpress/express';
import { isMain } from './is-main.js';
import { pages } from './pages.js';

/** Puts what the question needs on `res.locals`; here, everything there is. */
const retrieve: RequestHandler = (_request, response, next) => {
  response.locals.documents = pages;
  next();
};

/** Where a model would be asked; here, the prompt is the answer. */
const answer: RequestHandler = (request, response) => {
  const { query } = request.body as { query: string };
  const { context, tokens } = response.locals.ragpress as CompressionResult;
  response.json({ prompt: `${context}\n\nQuestion: ${query}`, tokens });
};

/** An application with a route of its own, and one that forwards to a model's API. */
export function createApp(upstream: string): Express {
  const pipeline = { model: 'gpt-4o', budget: { tokens: 120 } };
  const app = express();
  app.post('/ask', express.json(), retrieve, compress({ pipeline }), answer);
  app.use('/v1', ragpress({ upstream, pipeline }));
  return app;
}

// npx tsx examples/express.ts, then
// curl localhost:3000/ask -H 'content-type: application/json' -d '{"query":"When was the Rowan built?"}'
if (isMain(import.meta)) {
  createApp(process.env.OPENAI_BASE_URL ?? 'https://api.openai.com/v1').listen(3000);
}

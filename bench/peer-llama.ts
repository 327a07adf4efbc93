import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

// llama.cpp by node-llama-cpp, in a process of its own: a line in, a measurement out.
// node --import tsx bench/peer-llama.ts PEERS MODEL THREADS

/** As much of node-llama-cpp 3 as this uses; it is not among the project's dependencies. */
interface Peer {
  readonly getLlama: (options: object) => Promise<{
    loadModel(options: object): Promise<{
      createContext(options: object): Promise<{
        getSequence(): {
          clearHistory(): Promise<void>;
          evaluate(tokens: number[], options: object): AsyncGenerator<number>;
        };
      }>;
    }>;
  }>;
}

const [peers, modelPath, threads] = process.argv.slice(2) as [string, string, string];
const entry = pathToFileURL(createRequire(`${peers}/`).resolve('node-llama-cpp')).href;
const { getLlama } = (await import(entry)) as Peer;
const llama = await getLlama({ gpu: false, build: 'never', maxThreads: Number(threads), logLevel: 'error' });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 2048, batchSize: 1024, threads: Number(threads) });
const sequence = context.getSequence();

for await (const line of createInterface({ input: process.stdin })) {
  const { tokens, generate } = JSON.parse(line) as { tokens: number[]; generate: number };
  await sequence.clearHistory();
  const began = performance.now();
  const evaluation = sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true });
  await evaluation.next();
  const first = performance.now();
  for (let i = 0; i < generate; i++) await evaluation.next();
  console.log(JSON.stringify({ prefill: first - began, decode: (performance.now() - first) / generate }));
}
process.exit(0);

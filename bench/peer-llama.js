// llama.cpp by node-llama-cpp, in a process of its own: a line in, a measurement out. node peer-llama.js PEERS MODEL THREADS
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const [peers, modelPath, threads] = process.argv.slice(2);
const { getLlama } = await import(pathToFileURL(createRequire(`${peers}/`).resolve('node-llama-cpp')).href);
const llama = await getLlama({ gpu: false, build: 'never', maxThreads: Number(threads), logLevel: 'error' });
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({ contextSize: 2048, batchSize: 1024, threads: Number(threads) });
const sequence = context.getSequence();

for await (const line of createInterface({ input: process.stdin })) {
  const { tokens, generate } = JSON.parse(line);
  await sequence.clearHistory();
  const began = performance.now();
  const evaluation = sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true });
  await evaluation.next();
  const first = performance.now();
  for (let i = 0; i < generate; i++) await evaluation.next();
  const prefill = first - began;
  console.log(JSON.stringify({ prefill, decode: (performance.now() - first) / generate }));
}
process.exit(0);

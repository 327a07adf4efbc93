import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { benchDecoder } from './decoder.js';
import { benchExit } from './exit.js';
import { benchFast } from './fast.js';
import { benchHtmlrag } from './htmlrag.js';
import { benchKernels } from './kernels.js';
import { benchKvCodecs } from './kv-codecs.js';
import { benchKvreuse } from './kvreuse.js';
import { benchPreset } from './preset.js';
import { benchRetrieval } from './retrieval.js';
import { benchTcra } from './tcra.js';
import { benchTokenCounter } from './token-counter.js';
import { benchZipfit } from './zipfit.js';

const BENCHES: Readonly<Record<string, () => Promise<unknown>>> = {
  htmlrag: benchHtmlrag,
  zipfit: benchZipfit,
  fast: benchFast,
  exit: benchExit,
  tcra: benchTcra,
  preset: benchPreset,
  retrieval: benchRetrieval,
  tokens: benchTokenCounter,
  decoder: benchDecoder,
  kvreuse: benchKvreuse,
  'kv-codecs': benchKvCodecs,
  kernels: benchKernels,
};

const { positionals, values } = parseArgs({ allowPositionals: true, options: { json: { type: 'string' } } });
const names = positionals.length > 0 ? positionals : Object.keys(BENCHES);
const unknown = names.find((name) => !Object.hasOwn(BENCHES, name));
if (unknown !== undefined) {
  console.error(`bench: there is no ${unknown}; known are ${Object.keys(BENCHES).join(', ')}`);
  process.exit(2);
}

console.log(
  `Node ${process.version}, ${cpus()[0]?.model ?? 'unknown processor'}, ${availableParallelism()} cores`,
);
const figures: Record<string, unknown> = {};
for (const name of names) figures[name] = await BENCHES[name]!();
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);

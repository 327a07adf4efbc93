import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DecoderInput } from '../models/decoder/generation.js';
import type { PromptReader, Reading, ReaderMaker, ReaderParts } from '../models/decoder/serve-decoder.js';
import { chatLayout } from './chat-layout.js';
import { ChunkCaches } from './chunk-caches.js';
import { ChunkEngine } from './chunk-engine.js';
import { ChunkIdentity, fingerprintsOf } from './chunk-identity.js';
import { checkReuse, recordedGate } from './correctness-gate.js';
import { GATE_PROMPTS } from './gate-prompts.js';
import { degradeRecord } from './chunk-record.js';
import { codecNamed } from './codecs/codec-named.js';
import { KeptGate } from './kept-gate.js';
import { policyNamed, type PolicySettings } from './selection/policy-named.js';
import type { SelectionPolicy } from './selection/selection-policy.js';
import { ChunkStore } from './store/chunk-store.js';
import type { ChunkStoreOptions } from './store/chunk-store-options.js';

/** ReuseOptions, filled in. */
export interface ChunkReaderSettings {
  readonly policy: PolicySettings;
  readonly codec: string;
  readonly memoryMegabytes: number;
  readonly readyMegabytes: number;
  readonly edits: boolean;
  /** Where it is kept which models were tested. */
  readonly gates: string;
  readonly disk?: ChunkStoreOptions['disk'];
  readonly redis?: ChunkStoreOptions['redis'];
}

/** What a ChunkDecoder asks the store in its thread. */
export type ChunkQuestion =
  | { readonly type: 'statistics' | 'chunks' }
  | { readonly type: 'pin'; readonly key: string; readonly ttlMs: number | undefined }
  | { readonly type: 'unpin'; readonly key: string }
  | { readonly type: 'forget'; readonly prefix: string };

/** Layers that CacheBlend looks at before it chooses rows. */
const FIRST_LAYERS = 2;
/**
 * Share of the layers after which most questions have found the chunks that they look at (Cache-Craft, section 2.4), and
 * below which layers are read before the computing begins.
 */
const LOWER = 0.4;

/** Reads prompts from caches of their chunks, in the decoder's thread. */
export function chunkReader(settings: ChunkReaderSettings): ReaderMaker {
  const policy = policyNamed(settings.policy);
  return {
    engine: ({ layers }) => ({
      cuts: cutOf(policy, layers, settings.disk !== undefined),
      masses: policy.versions === 'in-context',
    }),
    async make({ folder, precision, checkpoint, engine, template }: ReaderParts): Promise<PromptReader> {
      const { disk, redis, codec, memoryMegabytes, readyMegabytes } = settings;
      const store = await ChunkStore.open({
        memoryBytes: Math.round(memoryMegabytes * 1e6),
        ...(disk && { disk }),
        ...(redis && { redis }),
        degrade: degradeRecord,
      });
      // Of other products than a CPU's, so near them and not the same.
      const on = engine.device === 'cpu' ? '' : ` ${engine.device}`;
      const weights = `${await weightsHash(folder)} ${precision}${on}`;
      const fingerprints = fingerprintsOf(weights, checkpoint, engine.rope);
      const chunks = new ChunkEngine(engine);
      const kept = new KeptGate(settings.gates, {
        weights,
        // Its name tells defaults that settings leave out.
        policy: { ...settings.policy, name: policy.name },
      });
      const isKnown = async () => (await recordedGate(folder, policy.name)) ?? (await kept.read());
      if (checkpoint.chatTemplate !== undefined && !(await isKnown())) {
        const layouts = GATE_PROMPTS.map((messages) => chatLayout(template(), messages));
        await kept.write(await checkReuse(checkpoint.path, engine, chunks, policy, layouts));
      }
      const caches = new ChunkCaches({
        engine: chunks,
        identity: new ChunkIdentity(fingerprints),
        fingerprints,
        store,
        codec: codecNamed(codec),
        policy,
        readyBytes: readyMegabytes * 1e6,
        edits: settings.edits,
      });
      return {
        read(input: DecoderInput): Reading | undefined {
          if (!('messages' in input) || input.embeddings) return undefined;
          const layout = chatLayout(template(), input.messages);
          const last = layout.chunks.at(-1);
          if (!last) return undefined;
          return {
            tokens: layout.ids,
            // What a question does not look at is not repaired for the next one.
            resumesFrom: policy.focus ? Infinity : last.start + last.tokens.length,
            steps: caches.prefill(layout),
          };
        },
        ask: (question) => answer(store, caches, question as ChunkQuestion),
        close: () => store.close(),
      };
    },
  };
}

/**
 * Where rows are held back: for what a policy wants to see before it goes on, or for layers that come from a disk while those
 * below are computed. None where there are too few.
 */
export function cutOf(
  { selectByDeviation, focus }: SelectionPolicy,
  layers: number,
  isOnDisk = false,
): number[] {
  const cut = selectByDeviation ? FIRST_LAYERS : focus || isOnDisk ? Math.round(LOWER * layers) : 0;
  return cut > 0 && layers > 1 ? [Math.min(cut, layers - 1)] : [];
}

async function answer(store: ChunkStore, caches: ChunkCaches, question: ChunkQuestion): Promise<unknown> {
  switch (question.type) {
    case 'statistics':
      return store.statistics();
    case 'chunks':
      return Promise.all((await store.keys()).map((key) => store.inspect(key)));
    case 'pin':
      store.pin(question.key, question.ttlMs);
      return undefined;
    case 'unpin':
      store.unpin(question.key);
      return undefined;
    case 'forget':
      return caches.forget(question.prefix);
  }
}

/** Of all that the keys and values come from. */
async function weightsHash(folder: string): Promise<string> {
  const sum = createHash('sha256');
  const names = (await readdir(folder)).filter((name) => /\.(gguf|safetensors|json)$/.test(name)).sort();
  for (const name of names) {
    sum.update(`${name}\n`);
    for await (const piece of createReadStream(join(folder, name), { highWaterMark: 2 ** 20 }))
      sum.update(piece as Buffer);
  }
  return sum.digest('hex');
}

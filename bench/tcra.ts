import type { State, StageContext, Unit } from '../compressors/contract.js';
import { exit } from '../compressors/exit/exit.js';
import { createPipeline } from '../compressors/pipeline.js';
import { dropWords } from '../compressors/tcra/drop-words.js';
import { WordEncoder, type WeighedSentence, type WordWeigher } from '../compressors/tcra/word-encoder.js';
import { Embedder } from '../models/encoder/embedder.js';
import { ModelRegistry } from '../models/registry.js';
import { loadTokenizer } from '../models/load-tokenizer.js';
import { sharedData } from '../test/shared-data.js';
import { contextOf } from '../test/compressors/exit/given-sentences.js';
import { EVIDENCE_SETS, type EvidenceSet } from './evidence.js';
import { evidenceDocuments } from './evidence-documents.js';
import { printTable } from './table.js';

/** Of each set, for how many words are dropped alike; and the first of them for times and for int8. */
const QUESTIONS = 8;
const TIMED_QUESTIONS = 2;
const RATIO = 0.8;
const ALL_TOKENS = 1_000_000;

export interface TcraFigures {
  /** Processor time of the exact mode over the fast one's, the same sentences. */
  readonly exactVsFast: number;
  /** The same where every word is left out in turn, protected or not: the paper's way. */
  readonly everyWordVsFast: number;
  /** The same by wall clock. */
  readonly wall: { readonly exactVsFast: number; readonly everyWordVsFast: number };
  /** Of the words that the exact mode drops, the share that the fast one drops, too. */
  readonly agreement: number;
  readonly agreementBySet: Readonly<Partial<Record<EvidenceSet, number>>>;
  /** What dropping as many of the same words at random would agree by. */
  readonly chance: number;
  /** The agreement of leave-one-out by minilm as it is, with int8 activations, on the timed questions. */
  readonly int8Agreement: number;
  /** Of the tokens that went in, the share that was left. */
  readonly kept: Readonly<Record<string, number>>;
}

interface Way {
  readonly weigher: WordWeigher;
  cpu: number;
  wall: number;
  tokensAfter: number;
}

/** TCRA's fast mode beside the exact one, on what EXIT keeps of dev questions. */
export async function benchTcra(): Promise<TcraFigures | undefined> {
  if (sharedData === undefined) {
    console.log('tcra: shared/data is not here; nothing is measured');
    return undefined;
  }
  const exact = await WordEncoder.load('exact');
  const fast = await WordEncoder.load('fast');
  const embedder = await Embedder.load({ cacheSize: 0 });
  await Promise.all([exact.warm(), fast.warm(), embedder.embed([''])]);
  const way = (weigher: WordWeigher): Way => ({ weigher, cpu: 0, wall: 0, tokensAfter: 0 });
  const every = way(everyWord(await WordEncoder.load('exact')));
  const ways = { exact: way(exact), fast: way(fast), every, int8: way(await oneAtATime(embedder)) };
  const untimed = { exact: way(exact), fast: way(fast) };

  const agreed = new Map<string, { both: number; exact: number }>();
  let [tokensBefore, tokensTimed, candidates] = [0, 0, 0];
  const compare = (name: string, ours: ReadonlySet<string>, theirs: ReadonlySet<string>) => {
    const sum = agreed.get(name) ?? { both: 0, exact: 0 };
    agreed.set(name, {
      both: sum.both + [...theirs].filter((key) => ours.has(key)).length,
      exact: sum.exact + theirs.size,
    });
  };
  for (const set of EVIDENCE_SETS) {
    for (const [at, state] of (await afterExit(set)).entries()) {
      const isTimed = at < TIMED_QUESTIONS;
      const chosen = isTimed ? ways : untimed;
      const tokens = tokensOf(state.units);
      tokensBefore += tokens;
      if (isTimed) tokensTimed += tokens;
      const dropped = await droppedBy(chosen, state);
      compare(set, dropped.fast!, dropped.exact!);
      compare('all', dropped.fast!, dropped.exact!);
      if (isTimed) compare('int8', dropped.int8!, dropped.exact!);
      candidates += (await droppedFrom(fast, state, 0.001)).size;
    }
  }
  await Promise.all([exact.close(), fast.close(), embedder.close()]);
  const share = (name: string) => agreed.get(name)!.both / agreed.get(name)!.exact;
  const figures: TcraFigures = {
    exactVsFast: ways.exact.cpu / ways.fast.cpu,
    everyWordVsFast: ways.every.cpu / ways.fast.cpu,
    wall: {
      exactVsFast: ways.exact.wall / ways.fast.wall,
      everyWordVsFast: ways.every.wall / ways.fast.wall,
    },
    agreement: share('all'),
    agreementBySet: Object.fromEntries(EVIDENCE_SETS.map((set) => [set, share(set)])),
    chance: agreed.get('all')!.exact / candidates,
    int8Agreement: share('int8'),
    kept: {
      exact: (ways.exact.tokensAfter + untimed.exact.tokensAfter) / tokensBefore,
      fast: (ways.fast.tokensAfter + untimed.fast.tokensAfter) / tokensBefore,
    },
  };
  const line = (name: string, { cpu, wall }: Way) => [
    name,
    (cpu / 1_000).toFixed(0),
    wall.toFixed(0),
    `${(cpu / ways.fast.cpu).toFixed(1)} ×`,
  ];
  printTable(
    `tcra: words of what EXIT keeps, ${TIMED_QUESTIONS} questions of each set, ${tokensTimed} tokens; nothing remembered`,
    ['way', 'processor ms', 'wall ms', 'of fast'],
    [
      line('fast: one pass', ways.fast),
      line('exact: each word that may go left out in turn', ways.exact),
      line('every word left out in turn, as the paper', ways.every),
      line('the same with int8 activations, one text a run', ways.int8),
    ],
  );
  printTable(
    `of the words that the exact mode drops for ${(100 * RATIO).toFixed(0)}% of the tokens, those that are dropped`,
    ['by', 'words', 'agreed'],
    [
      ...EVIDENCE_SETS.map((set) => [`fast, ${set}`, String(agreed.get(set)!.exact), share(set).toFixed(3)]),
      ['fast, all', String(agreed.get('all')!.exact), share('all').toFixed(3)],
      ['int8 activations', String(agreed.get('int8')!.exact), share('int8').toFixed(3)],
      ['chance', '', figures.chance.toFixed(3)],
    ],
  );
  return figures;
}

/** What reaches the stage after EXIT, without a budget. */
async function afterExit(set: EvidenceSet): Promise<State[]> {
  const states: State[] = [];
  const pipeline = await createPipeline({
    stages: [
      exit(),
      {
        name: 'capture',
        compress: (state) => {
          states.push(state);
          return Promise.resolve(state);
        },
      },
    ],
    deadline: Infinity,
  });
  for (const { question, documents } of evidenceDocuments(set).slice(0, QUESTIONS))
    await pipeline.compress({ query: question, documents });
  await pipeline.close();
  return states;
}

/** By name of the way, the words that went; ways take turns, so that whatever slows the machine slows all of them. */
async function droppedBy(
  ways: Readonly<Record<string, Way>>,
  state: State,
): Promise<Record<string, ReadonlySet<string>>> {
  const dropped: Record<string, ReadonlySet<string>> = {};
  for (const [name, way] of Object.entries(ways)) {
    const began = performance.now();
    const before = process.cpuUsage();
    const after = await dropWords(
      'tcra',
      way.weigher,
      { ratio: RATIO, maxTokens: ALL_TOKENS },
      state,
      CONTEXT,
    );
    const { user, system } = process.cpuUsage(before);
    way.cpu += user + system;
    way.wall += performance.now() - began;
    way.tokensAfter += tokensOf(after.units);
    dropped[name] = wordsDropped(after);
  }
  return dropped;
}

async function droppedFrom(weigher: WordWeigher, state: State, ratio: number): Promise<Set<string>> {
  return wordsDropped(await dropWords('tcra', weigher, { ratio, maxTokens: ALL_TOKENS }, state, CONTEXT));
}

function wordsDropped({ decisions }: State): Set<string> {
  return new Set(
    decisions
      .filter(({ stage, action }) => stage === 'tcra' && action === 'dropped')
      .map(({ document, spans }) => `${document} ${spans[0]!.start}`),
  );
}

const CONTEXT: StageContext = contextOf();

function tokensOf(units: readonly Unit[]): number {
  return units.reduce((sum, { tokens }) => sum + tokens, 0);
}

/** Leaves out protected words, too, whose weights it then does not give. */
function everyWord(exact: WordWeigher): WordWeigher {
  return {
    model: exact.model,
    maxTokens: exact.maxTokens,
    tokenIds: (word) => exact.tokenIds(word),
    weigh: async (sentences, signal) => {
      const all = sentences.map(({ words }) => ({ words, wanted: words.map(() => true) }));
      return asWanted(await exact.weigh(all, signal), sentences);
    },
  };
}

/** Leave-one-out by the embedder as it is: int8 activations, one text a run. */
async function oneAtATime(embedder: Embedder): Promise<WordWeigher> {
  const { folder } = await new ModelRegistry().resolve('minilm');
  const tokenizer = await loadTokenizer(folder);
  const texts = new Map<string, string>();
  return {
    model: embedder.model,
    maxTokens: embedder.maxTokens - 2,
    tokenIds: (word) => {
      const ids = tokenizer.encode(word);
      texts.set(ids.join(), word);
      return ids;
    },
    weigh: async (sentences) => {
      const all: Float64Array[] = [];
      for (const { words } of sentences) {
        const spelled = words.map((ids) => texts.get(ids.join())!);
        const without = spelled.map((_, left) => spelled.filter((_, word) => word !== left).join(' '));
        const [whole, ...vectors] = await embedder.embed([spelled.join(' '), ...without]);
        all.push(
          Float64Array.from(vectors, (vector) => 1 - vector.reduce((sum, x, at) => sum + x * whole![at]!, 0)),
        );
      }
      return asWanted(all, sentences);
    },
  };
}

function asWanted(weights: readonly Float64Array[], sentences: readonly WeighedSentence[]): Float64Array[] {
  return weights.map((of, at) => of.map((weight, word) => (sentences[at]!.wanted[word] ? weight : NaN)));
}

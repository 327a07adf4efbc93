import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { SourceDocument } from '../compressors/contract.js';
import { Embedder } from '../models/encoder/embedder.js';
import { ModelRegistry } from '../models/registry.js';
import { Session, type ModelTensors } from '../models/session.js';
import { Bm25Retriever } from '../retrievers/bm25.js';
import { DenseRetriever } from '../retrievers/dense.js';
import { HybridRetriever } from '../retrievers/hybrid.js';
import type { Retriever } from '../retrievers/retriever.js';
import { Vectors } from '../retrievers/vectors.js';
import { sharedData } from '../test/shared-data.js';
import { evidenceQuestions } from './evidence.js';
import { median, printTable } from './table.js';

const LIMIT = 10;
const BATCH = 8;
const SETS = ['nq', 'qed', 'hotpot'] as const;
const DISTRACTORS = 1_500;

/**
 * Retrieval of the answering paragraphs of dev questions among those of all of them and others: recall at 10 and time
 * a query of BM25, dense and hybrid; what int8 vectors lose against float32, and hnswlib's graph against an exact scan.
 * Before that, what it costs to embed texts one a run and what a batch would change.
 */
export async function benchRetrieval(): Promise<unknown> {
  const embedding = await benchEmbedding();
  const scan = await benchScan(20_000);
  const { documents, questions } = questionsAndParagraphs();
  if (questions.length === 0) {
    console.log('retrieval: shared/data is not here; nothing is retrieved');
    return { embedding, scan };
  }
  const embedder = await Embedder.load({ cacheSize: 100_000 });
  const started = performance.now();
  const bm25 = new Bm25Retriever();
  await bm25.add(documents);
  const dense = async (precision: 'int8' | 'float32', hnswFrom: number) => {
    const retriever = new DenseRetriever({ embedder, precision, hnswFrom });
    await retriever.add(documents);
    return retriever;
  };
  const int8 = await dense('int8', Infinity);
  const seconds = (performance.now() - started) / 1000;
  const float32 = await dense('float32', Infinity);
  const retrievers: Record<string, Retriever> = {
    BM25: bm25,
    'dense, float32, exact': float32,
    'dense, int8, exact': int8,
    'dense, int8, hnsw': await dense('int8', 1),
    'hybrid, BM25 and dense': new HybridRetriever({ retrievers: [bm25, int8] }),
  };
  await embedder.embed(questions.map(({ text }) => text));
  const exact = await Promise.all(questions.map(({ text }) => float32.retrieve(text, { limit: LIMIT })));
  const rows: string[][] = [];
  const figures: Record<string, { recall: number; overlap: number; milliseconds: number }> = {};
  for (const [name, retriever] of Object.entries(retrievers)) {
    let found = 0;
    let same = 0;
    const times: number[] = [];
    for (const [index, { text, answers }] of questions.entries()) {
      const start = performance.now();
      const ids = (await retriever.retrieve(text, { limit: LIMIT })).map(({ id }) => id);
      times.push(performance.now() - start);
      found += answers.filter((id) => ids.includes(id)).length / answers.length;
      same += exact[index]!.filter(({ id }) => ids.includes(id)).length;
    }
    const figure = {
      recall: found / questions.length,
      overlap: same / questions.length / LIMIT,
      milliseconds: median(times),
    };
    figures[name] = figure;
    rows.push([name, figure.recall.toFixed(3), figure.overlap.toFixed(3), figure.milliseconds.toFixed(2)]);
  }
  await embedder.close();
  printTable(
    `${questions.length} questions over ${documents.length} paragraphs (${int8.passages} passages, embedded in ${seconds.toFixed(0)} s)`,
    ['retriever', 'recall at 10', 'same as float32, exact', 'ms a query, its embedding cached'],
    rows,
  );
  return { embedding, scan, retrieval: figures };
}

function questionsAndParagraphs(): {
  documents: SourceDocument[];
  questions: { text: string; answers: string[] }[];
} {
  const documents = new Map<string, SourceDocument>();
  const add = (title: string, content: string): string => {
    const id = `${title}: ${content}`;
    documents.set(id, { id, title, content, format: 'text' });
    return id;
  };
  const questions = SETS.flatMap((set) => evidenceQuestions(set)).map(({ question, sentences }) => {
    const paragraphs = new Map<number, { title: string; texts: string[]; answers: boolean }>();
    for (const { document, title, text, isEvidence } of sentences) {
      const paragraph = paragraphs.get(document) ?? { title, texts: [], answers: false };
      paragraph.texts.push(text);
      paragraph.answers ||= isEvidence;
      paragraphs.set(document, paragraph);
    }
    const answers: string[] = [];
    for (const { title, texts, answers: holds } of paragraphs.values()) {
      const id = add(title, texts.join(' '));
      if (holds) answers.push(id);
    }
    return { text: question, answers };
  });
  if (sharedData !== undefined) {
    const lines = gunzipSync(readFileSync(join(sharedData, 'passages.jsonl.gz')))
      .toString('utf8')
      .split('\n');
    for (const line of lines.slice(0, DISTRACTORS)) {
      const { title, text } = JSON.parse(line) as { title: string; text: string };
      add(title, text);
    }
  }
  return {
    documents: [...documents.values()],
    questions: questions.filter(({ answers }) => answers.length > 0),
  };
}

/** One text a run against padded batches, in processor time of the whole process; and how far a neighbour moves a text. */
async function benchEmbedding(): Promise<unknown> {
  const { folder } = await new ModelRegistry().resolve('minilm');
  const session = await Session.open(join(folder, 'model.onnx'), { threads: 1 });
  const rows: string[][] = [];
  const figures: { tokens: number; single: number; batch: number; cosine: number }[] = [];
  for (const tokens of [16, 32, 64, 128, 256]) {
    const inputs = Array.from({ length: BATCH }, (_, index) => input(tokens, index));
    const [single, batch] = [inputs.map((ids) => feeds([ids])), [feeds(inputs)]];
    const times = { single: [] as number[], batch: [] as number[] };
    for (let run = 0; run < 5; run++) {
      times.single.push(await processorTime(() => session.run(single)));
      times.batch.push(await processorTime(() => session.run(batch)));
    }
    const [alone] = await session.run([feeds([input(tokens, 0)])]);
    const [beside] = await session.run([feeds([input(tokens, 0), input(tokens, 1)])]);
    const [a, b] = [alone!.embedding!.data as Float32Array, beside!.embedding!.data as Float32Array];
    const cosine = a.reduce((sum, value, index) => sum + value * b[index]!, 0);
    const figure = {
      tokens,
      single: Math.min(...times.single) / BATCH,
      batch: Math.min(...times.batch) / BATCH,
      cosine,
    };
    figures.push(figure);
    rows.push([
      String(tokens),
      figure.single.toFixed(1),
      figure.batch.toFixed(1),
      (figure.single / figure.batch).toFixed(2),
      cosine.toFixed(4),
    ]);
  }
  await session.close();
  printTable(
    'minilm, one thread: processor ms a text',
    ['tokens', 'one a run', `${BATCH} a run`, 'ratio', 'cosine to itself beside another'],
    rows,
  );
  return figures;
}

async function processorTime(action: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await action();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

/** Token ids without a meaning: of a kind for each seed. */
function input(tokens: number, seed: number): number[] {
  return Array.from({ length: tokens }, (_, index) =>
    index === 0 ? 101 : index === tokens - 1 ? 102 : 1_996 + ((index * 7_919 * (seed + 3)) % 20_000),
  );
}

function feeds(rows: readonly (readonly number[])[]): ModelTensors {
  const dims = [rows.length, rows[0]!.length];
  const ids = rows.flat();
  return {
    input_ids: { data: BigInt64Array.from(ids, BigInt), dims },
    attention_mask: { data: new BigInt64Array(ids.length).fill(1n), dims },
  };
}

/** What an exact scan costs: the size from which a graph is worth building. */
async function benchScan(count: number): Promise<unknown> {
  const query = scattered(count);
  const rows: string[][] = [];
  const figures: Record<string, number> = {};
  for (const precision of ['int8', 'float32'] as const) {
    const vectors = new Vectors(384, precision);
    for (let slot = 0; slot < count; slot++) vectors.set(slot, scattered(slot));
    const times: number[] = [];
    for (let run = 0; run < 10; run++) {
      const start = performance.now();
      await vectors.nearest(query, LIMIT, () => true);
      times.push(performance.now() - start);
    }
    figures[precision] = median(times);
    rows.push([precision, median(times).toFixed(1)]);
  }
  printTable(`An exact scan of ${count} vectors, 384 wide`, ['vectors', 'ms'], rows);
  return figures;
}

function scattered(seed: number): Float32Array {
  return Float32Array.from({ length: 384 }, (_, index) => Math.sin((seed + 1) * (index + 1)));
}

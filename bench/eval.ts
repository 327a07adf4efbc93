import { basename } from 'node:path';
import { parseArgs } from 'node:util';
import { readEvidence, shareLeft, type EvidenceQuestion, type Recalls } from './evidence.js';
import { openEvidence, recallsOf, scoresOf, type QuestionScores } from './evidence-model.js';
import { printTable } from './table.js';

const USAGE = 'npm run eval -- evidence FILE... --keep 0.3 [--json]    (FILE: rows of questions, .jsonl.gz)';

/** Prints how much of the evidence in files of questions is kept with a share of their words. */
async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { keep: { type: 'string', default: '0.3' }, json: { type: 'boolean', default: false } },
  });
  const [what, ...files] = positionals;
  const keep = Number(values.keep);
  if (what !== 'evidence' || files.length === 0 || !(keep > 0 && keep <= 1)) {
    refuse(USAGE);
    return;
  }
  const sets = new Map<string, EvidenceQuestion[]>();
  for (const file of files) {
    try {
      sets.set(file, readEvidence(file));
    } catch (error) {
      refuse(`${file} cannot be read: ${(error as Error).message}`);
      return;
    }
  }
  const encoder = await openEvidence();
  if (!encoder) {
    process.exitCode = 1;
    return;
  }
  const figures: Record<string, Recalls & { questions: number; left: number }> = {};
  for (const [file, questions] of sets) {
    const scores: QuestionScores[] = [];
    for (const question of questions) scores.push(await scoresOf(encoder, question));
    const recalls = recallsOf(questions, scores, keep);
    figures[file] = { questions: questions.length, ...recalls, left: shareLeft(recalls) };
  }
  await encoder.close();
  if (values.json) {
    console.log(JSON.stringify({ model: encoder.model, keep, files: figures }, null, 2));
    return;
  }
  printTable(
    `${encoder.model}: evidence recall with ${(100 * keep).toFixed(0)}% of the words kept, whole sentences; left: of what BM25 misses and the oracle does not, the share still missed`,
    ['file', 'questions', 'BM25', 'model', 'oracle', 'left'],
    Object.entries(figures).map(([file, { questions, bm25, model, oracle, left }]) => [
      basename(file),
      String(questions),
      ...[bm25, model, oracle].map((recall) => recall.toFixed(3)),
      left.toFixed(2),
    ]),
  );
}

function refuse(reason: string): void {
  console.error(`eval: ${reason}`);
  process.exitCode = 2;
}

await main();

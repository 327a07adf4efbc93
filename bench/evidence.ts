import { join } from 'node:path';
import { sharedData } from '../test/shared-data.js';
import { jsonLines } from './json-lines.js';

export const EVIDENCE_SETS = ['hotpot', 'hotpot-answer', 'selqa', 'nq', 'qed'] as const;

export type EvidenceSet = (typeof EVIDENCE_SETS)[number];

export interface EvidenceSentence {
  /** Title of its document. */
  readonly title: string;
  readonly text: string;
  /** Index of its document. */
  readonly document: number;
  /** Between white space, without the title's. */
  readonly words: number;
  readonly isEvidence: boolean;
}

export interface EvidenceQuestion {
  readonly question: string;
  /** Of all documents, in order. */
  readonly sentences: readonly EvidenceSentence[];
}

interface Row {
  readonly question: string;
  readonly documents: readonly { readonly title: string; readonly sentences: readonly string[] }[];
  readonly evidence: readonly (readonly [document: number, sentence: number])[];
}

/** The questions of a set of the shared data whose evidence sentences are marked; none where the data is absent. */
export function evidenceQuestions(set: EvidenceSet, split: 'train' | 'dev' = 'dev'): EvidenceQuestion[] {
  if (sharedData === undefined) return [];
  return readEvidence(join(sharedData, 'evidence', `${set}.${split}.jsonl.gz`));
}

/**
 * The questions of a file, a row a line, compressed by gzip.
 * @throws Error for a file that cannot be read
 */
export function readEvidence(file: string): EvidenceQuestion[] {
  return jsonLines<Row>(file).map(({ question, documents, evidence }) => {
    const marked = new Set(evidence.map((place) => place.join()));
    const sentences = documents.flatMap(({ title, sentences }, document) =>
      sentences.map((sentence, index) => {
        const text = sentence.trim();
        return {
          title,
          text,
          document,
          words: text.split(/\s+/).length,
          isEvidence: marked.has(`${document},${index}`),
        };
      }),
    );
    return { question, sentences };
  });
}

/**
 * Evidence recall: the share of all evidence sentences of a set that are among the best of their question that fit
 * into a share of its words, whole sentences only.
 * @param scores by question and sentence, higher is better; ties go to the earlier one
 */
export function evidenceRecall(
  questions: readonly EvidenceQuestion[],
  scores: readonly ArrayLike<number>[],
  share: number,
): number {
  let found = 0;
  let all = 0;
  for (const [at, { sentences }] of questions.entries()) {
    const score = scores[at]!;
    let left = share * sentences.reduce((sum, { words }) => sum + words, 0);
    for (const index of [...sentences.keys()].sort((a, b) => score[b]! - score[a]! || a - b)) {
      const { words, isEvidence } = sentences[index]!;
      if (isEvidence) all++;
      if (words > left) continue;
      left -= words;
      if (isEvidence) found++;
    }
  }
  return found / all;
}

/** The highest recall that any ranking could reach: the shortest evidence sentences first. */
export function oracleRecall(questions: readonly EvidenceQuestion[], share: number): number {
  const scores = questions.map(({ sentences }) =>
    sentences.map(({ isEvidence, words }) => (isEvidence ? 1 / words : 0)),
  );
  return evidenceRecall(questions, scores, share);
}

/** Of what BM25 misses and an oracle does not, the share that is still missed: 0 is the oracle, 1 is BM25. */
export function shareLeft({ bm25, model, oracle }: Recalls): number {
  return (oracle - model) / (oracle - bm25);
}

export interface Recalls {
  readonly bm25: number;
  readonly model: number;
  readonly oracle: number;
}

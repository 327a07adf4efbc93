import { join } from 'node:path';
import type { SourceDocument } from '../compressors/contract.js';
import { sharedData } from '../test/shared-data.js';
import type { EvidenceSet } from './evidence.js';
import { jsonLines } from './json-lines.js';

export interface AskedDocuments {
  readonly question: string;
  /** None where the set has no short answers. */
  readonly answers: readonly string[];
  readonly documents: readonly SourceDocument[];
}

interface Row {
  readonly question: string;
  readonly answers: readonly string[];
  readonly documents: readonly { readonly title: string; readonly sentences: readonly string[] }[];
}

/** The dev questions of a set with their documents as texts; none where the data is absent. */
export function evidenceDocuments(set: EvidenceSet): AskedDocuments[] {
  if (sharedData === undefined) return [];
  const rows = jsonLines<Row>(join(sharedData, 'evidence', `${set}.dev.jsonl.gz`));
  return rows.map(({ question, answers, documents }) => ({
    question,
    answers,
    documents: documents.map(({ title, sentences }, index) => ({
      id: String(index),
      title,
      content: sentences.map((sentence) => sentence.trim()).join(' '),
      format: 'text' as const,
    })),
  }));
}

/** The paragraphs of XQuAD in a language (`de`), each once; none where the data is absent. */
export function multilingualDocuments(language: string): SourceDocument[] {
  if (sharedData === undefined) return [];
  const path = join(sharedData, 'multilingual', `xquad.${language}.dev.jsonl.gz`);
  const texts = new Set(jsonLines<{ context: string }>(path).map(({ context }) => context));
  return [...texts].map((content, index) => ({ id: String(index), content, format: 'text' as const }));
}

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { SourceDocument } from '../compressors/contract.js';
import { sharedData } from '../test/shared-data.js';
import type { EvidenceSet } from './evidence.js';

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
  return gunzipSync(readFileSync(join(sharedData, 'evidence', `${set}.dev.jsonl.gz`)))
    .toString('utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const { question, answers, documents } = JSON.parse(line) as Row;
      return {
        question,
        answers,
        documents: documents.map(({ title, sentences }, index) => ({
          id: String(index),
          title,
          content: sentences.map((sentence) => sentence.trim()).join(' '),
          format: 'text' as const,
        })),
      };
    });
}

/** The paragraphs of XQuAD in a language (`de`), each once; none where the data is absent. */
export function multilingualDocuments(language: string): SourceDocument[] {
  if (sharedData === undefined) return [];
  const lines = gunzipSync(readFileSync(join(sharedData, 'multilingual', `xquad.${language}.dev.jsonl.gz`)))
    .toString('utf8')
    .trim()
    .split('\n');
  const texts = new Set(lines.map((line) => (JSON.parse(line) as { context: string }).context));
  return [...texts].map((content, index) => ({ id: String(index), content, format: 'text' as const }));
}

import { join } from 'node:path';
import type { ChatTemplate } from '../models/decoder/chat-template.js';
import type { ChatMessage } from '../models/decoder/generation.js';
import { readerMessages } from '../models/decoder/reader-prompt.js';
import { chatLayout } from '../kvreuse/chat-layout.js';
import type { PromptLayout } from '../kvreuse/prompt-layout.js';
import { sharedData } from '../test/shared-data.js';
import { jsonLines } from './json-lines.js';
import type { ReaderQuestion } from './reader.js';

const CHUNKS = 6;
/** Tokens of a chunk. */
const [SHORTEST, LONGEST] = [100, 400];

/** A question over six documents. */
export interface KvQuestion {
  readonly answers: readonly string[];
  readonly messages: readonly ChatMessage[];
  readonly layout: PromptLayout;
  /** The same chunks in another order, as an earlier request had them, with another question. */
  readonly earlier: PromptLayout;
  readonly earlierMessages: readonly ChatMessage[];
}

/** Train questions are for choosing by: what is claimed is of dev questions. */
export const KV_SPLITS = ['dev', 'train'] as const;

export type KvSplit = (typeof KV_SPLITS)[number];

/**
 * Questions of nq and hotpot by turns whose documents make six chunks of 100 to 400 tokens, those that answer among them.
 */
export function kvQuestions(template: ChatTemplate, count: number, split: KvSplit = 'dev'): KvQuestion[] {
  const sets = ['nq', 'hotpot', 'hotpot-answer', 'qed'].map((set) =>
    jsonLines<ReaderQuestion>(join(sharedData!, 'evidence', `${set}.${split}.jsonl.gz`)).filter(
      ({ answers }) => answers.length > 0,
    ),
  );
  const questions: KvQuestion[] = [];
  for (let i = 0; questions.length < count && sets.some((rows) => i < rows.length); i++)
    for (const rows of sets) {
      const question = rows[i] && questionOf(template, rows[i]!, rows[(i + 1) % rows.length]!.question);
      if (question && questions.length < count) questions.push(question);
    }
  return questions;
}

function questionOf(template: ChatTemplate, row: ReaderQuestion, other: string): KvQuestion | undefined {
  const gold = new Set(row.evidence.map(([document]) => document));
  const texts = row.documents.map(({ title, sentences }) => {
    const text = sentences.map((sentence) => sentence.trim()).join(' ');
    return `${title}\n${text}`;
  });
  const messagesOf = (places: readonly number[], question: string) =>
    readerMessages(question, places.map((place, i) => `[${i + 1}] ${texts[place]!}`).join('\n\n'));
  const fits = (place: number) => {
    const { length } = chatLayout(template, messagesOf([place], '?')).chunks[0]?.tokens ?? [];
    return length >= SHORTEST && length <= LONGEST;
  };
  const fitting = [...texts.keys()].filter(fits);
  if ([...gold].some((place) => !fitting.includes(place))) return undefined;
  const others = fitting.filter((place) => !gold.has(place)).slice(0, CHUNKS - gold.size);
  const chosen = [...gold, ...others].sort((a, b) => a - b);
  if (chosen.length !== CHUNKS) return undefined;
  const turned = [3, 0, 5, 1, 4, 2].map((i) => chosen[i]!);
  const messages = messagesOf(chosen, row.question);
  const earlierMessages = messagesOf(turned, other);
  return {
    answers: row.answers,
    messages,
    layout: chatLayout(template, messages),
    earlier: chatLayout(template, earlierMessages),
    earlierMessages,
  };
}

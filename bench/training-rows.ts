import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Decoder } from '../models/decoder/decoder.js';
import { readerMessages } from '../models/decoder/reader-prompt.js';
import { sharedData } from '../test/shared-data.js';
import { jsonLines } from './json-lines.js';
import type { ReaderQuestion } from './reader.js';

// What training/reader.py is given beside shared/data, said by models themselves:
//   npx tsx bench/training-rows.ts labels FILE.jsonl           answers of train rows that have none, by the reader
//   npx tsx bench/training-rows.ts chat FILE.jsonl CHECKPOINT  the untouched model's own chat

/** Every so many of SQuAD's questions: they are far more than the others. */
const EVERY = 3;
const LABEL_TOKENS = 17;
const CHAT_TOKENS = 90;
const EVIDENCE_SENTENCES = 3;

const CHAT = [
  'What is photosynthesis?',
  'Write a short poem about rain.',
  'Give me three tips for better sleep.',
  'Explain what a database index is.',
  'Tell me a joke.',
  'What is the difference between a virus and a bacterium?',
  'Write a polite email asking for a meeting next week.',
  'How can I learn to play the guitar?',
  'Name five fruits that are rich in vitamin C.',
  'Translate "good morning" into French.',
  'Why is the sky blue?',
  'Write a Python function that adds two numbers.',
  'What are the benefits of exercise?',
  'Suggest a name for a coffee shop.',
  'How do I remove a coffee stain?',
  'Describe the water cycle.',
  'What is machine learning?',
  'Give me a recipe for pancakes.',
  'What should I pack for a hike?',
  'Explain gravity to a child.',
  'How do vaccines work?',
  'Write a haiku about the sea.',
  'How do I write a CV?',
  'List three programming languages and what they are used for.',
  'Hello! How are you today?',
  'Can you help me plan a birthday party?',
  'What makes a good leader?',
  'Why do cats purr?',
  'Write one sentence about friendship.',
  'How do I save money each month?',
  'What causes earthquakes?',
  'How do I start a garden?',
  'Write a short story about a lost dog.',
];

type Row = ReaderQuestion & { readonly id: string };

/** Questions whose answer the reader finds, word for word, in the sentences that are marked. */
async function labels(path: string): Promise<void> {
  const decoder = await Decoder.load();
  const out = createWriteStream(path);
  const rows = ['selqa', 'squad'].flatMap((set) =>
    jsonLines<Row>(join(sharedData!, 'evidence', `${set}.train.jsonl.gz`))
      .map((row) => ({ ...row, set }))
      .filter((_, i) => set !== 'squad' || i % EVERY === 0),
  );
  for (const { id, set, question, documents, evidence } of rows) {
    if (evidence.length === 0 || evidence.length > EVIDENCE_SENTENCES) continue;
    const text = evidence
      .map(([document, sentence]) => documents[document]!.sentences[sentence]!.trim())
      .join(' ');
    const messages = readerMessages(question, `[1] ${documents[evidence[0]![0]]!.title}\n${text}`);
    const { text: said, finishReason } = await decoder.generate({ messages }, { maxTokens: LABEL_TOKENS })
      .result;
    const at = text.toLowerCase().indexOf(said.trim().toLowerCase());
    if (finishReason !== 'stop' || at < 0 || said.trim().length < 2) continue;
    // Questions on one article share an id in SelQA.
    out.write(`${JSON.stringify({ set, id, question, answer: text.slice(at, at + said.trim().length) })}\n`);
  }
  out.end();
  await decoder.close();
}

async function chat(path: string, folder: string): Promise<void> {
  const decoder = await Decoder.load({ folder });
  const out = createWriteStream(path);
  for (const prompt of CHAT) {
    const generation = decoder.generate(
      { messages: [{ role: 'user', content: prompt }] },
      { maxTokens: CHAT_TOKENS },
    );
    const { text, finishReason } = await generation.result;
    out.write(`${JSON.stringify({ prompt, answer: text, stop: finishReason === 'stop' })}\n`);
  }
  out.end();
  await decoder.close();
}

const [what, path, folder] = process.argv.slice(2);
if (what === 'labels' && path !== undefined && sharedData !== undefined) await labels(path);
else if (what === 'chat' && path !== undefined && folder !== undefined) await chat(path, folder);
else {
  console.error(
    'npx tsx bench/training-rows.ts labels FILE | chat FILE CHECKPOINT; labels needs shared/data',
  );
  process.exitCode = 2;
}

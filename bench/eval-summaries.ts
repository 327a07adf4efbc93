import { readFileSync } from 'node:fs';
import type { CompressionResult, SourceDocument } from '../compressors/contract.js';
import { exit } from '../compressors/exit/exit.js';
import { createPipeline } from '../compressors/pipeline.js';
import { splitSentences } from '../compressors/sentences.js';
import { decoderSummaries } from '../compressors/tcra/decoder-summaries.js';
import { summarise } from '../compressors/tcra/summarise.js';
import type { SummaryGenerator } from '../compressors/tcra/summary-generator.js';
import { SummaryGuard } from '../compressors/tcra/summary-guard.js';
import type { Decoder } from '../models/decoder/decoder.js';
import { alterations, alterationsIn, type AlteredLanguage } from './alterations.js';
import { corruptions } from './corruptions.js';
import { EVIDENCE_SETS } from './evidence.js';
import { evidenceDocuments, multilingualDocuments } from './evidence-documents.js';
import type { TcraSet } from './eval-tcra.js';
import { holdsAnswer } from './reader.js';

export interface GuardFigures {
  /** Whether the sentences say what their document says. */
  readonly isTrue: boolean;
  readonly cases: number;
  /** Those that the guard takes for true. */
  readonly passed: number;
  readonly examples: readonly string[];
}

/** A document of ours, with a true and a false sentence a pair, and true ones in other words. */
interface SummaryPairs {
  readonly sources: readonly string[];
  readonly pairs: readonly { readonly kind: string; readonly true: string; readonly false: string }[];
  readonly reworded?: readonly string[];
}

/** How many sentences are taken of a document. */
const SENTENCES = 3;

/**
 * By kind: sentences of dev documents rewritten as the guard was built on (corruptions.ts) and otherwise (alterations.ts),
 * what it should let pass of the same documents, and the sentences written by hand.
 */
export function guardFigures(count: number): Record<string, GuardFigures> {
  const figures: Record<string, { isTrue: boolean; cases: number; passed: number; examples: string[] }> = {};
  const judge = (guard: SummaryGuard, kind: string, text: string, isTrue: boolean) => {
    const figure = (figures[kind] ??= { isTrue, cases: 0, passed: 0, examples: [] });
    figure.cases++;
    const passes = guard.verdict(text).fault === undefined;
    if (passes) figure.passed++;
    if (passes !== isTrue && figure.examples.length < 5) figure.examples.push(text);
  };
  const documents = EVIDENCE_SETS.flatMap((set) =>
    evidenceDocuments(set)
      .slice(0, count)
      .flatMap(({ documents }) => documents.slice(0, 2)),
  );
  for (const { content } of documents) {
    const sentences = sentencesOf(content);
    const guard = new SummaryGuard(sentences);
    for (const [at, sentence] of sentences.slice(0, SENTENCES).entries()) {
      const others = sentences.filter((_, index) => index !== at);
      for (const [kind, text] of corruptions(sentence, others)) judge(guard, kind, text, false);
      for (const [kind, text] of alterations(sentence, others)) judge(guard, `other: ${kind}`, text, false);
      for (const [kind, text] of shorterForms(sentence)) judge(guard, kind, text, true);
    }
  }
  for (const [language, code] of Object.entries(LANGUAGES)) {
    for (const { content } of multilingualDocuments(code).slice(0, count)) {
      const sentences = sentencesOf(content);
      const guard = new SummaryGuard(sentences);
      for (const sentence of sentences) {
        for (const text of alterationsIn(language as AlteredLanguage, sentence))
          if (!sentences.includes(text)) judge(guard, `other: ${language}`, text, false);
        judge(guard, `${language}, as it is`, sentence, true);
      }
    }
  }
  const pairs = JSON.parse(
    readFileSync(new URL('../test/fixtures/summary-pairs.json', import.meta.url), 'utf8'),
  ) as SummaryPairs[];
  for (const { sources, pairs: each, reworded = [] } of pairs) {
    const guard = new SummaryGuard(sources);
    for (const pair of each) {
      judge(guard, 'by hand: false', pair.false, false);
      judge(guard, 'by hand: shorter', pair.true, true);
    }
    for (const text of reworded) judge(guard, 'by hand: in other words', text, true);
  }
  return figures;
}

const LANGUAGES: Readonly<Record<AlteredLanguage, string>> = {
  German: 'de',
  Spanish: 'es',
  Russian: 'ru',
  Chinese: 'zh',
};

/** A sentence as it is, and in fewer of its words. */
function shorterForms(sentence: string): Map<string, string> {
  const forms = new Map([['verbatim', sentence]]);
  const add = (kind: string, text: string) => {
    if (text !== sentence) forms.set(kind, text);
  };
  add('without brackets', sentence.replace(/ ?\([^()]*\)/g, ''));
  add('first clause', sentence.replace(/^([^,;()]{40,})[,;].*$/s, '$1.'));
  add(
    'without its lead',
    sentence.replace(
      /^(?:In|On|After|During|Since|By|As|Although|However|Later|Today|Originally)\b[^,;()]*, (?=\p{L}[^,;]{30,})(\p{L})/u,
      (_, letter: string) => letter.toUpperCase(),
    ),
  );
  add(
    'without its last aside',
    sentence.replace(/^(.{40,}?), (?:which|who|where|whose|while|including|with|making)\b[^,;]*\.$/s, '$1.'),
  );
  return forms;
}

export interface SummaryFigures {
  readonly model: string;
  readonly questions: number;
  readonly summaries: number;
  /** Of the tokens of what was summarised, the share that is left. */
  readonly tokens: number;
  /** Share of the questions whose answer stands in EXIT's extract, and in what is left of it. */
  readonly extract: number;
  readonly summary: number;
  /** Generated sentences that stand, and those of the generator that its sources took the place of. */
  readonly standing: number;
  readonly refused: number;
  /** Numbers and names of generated text that its sources lack: of what stands, and of all that was written. */
  readonly unsupported: number;
  readonly unsupportedRaw: number;
  /** Milliseconds a summary. */
  readonly milliseconds: number;
}

/** What a decoder's summaries of EXIT's extracts are worth: the answers and tokens left, and what the guard let pass. */
export async function summaryFigures(
  set: TcraSet,
  decoder: Decoder,
  count: number,
  ratio: number,
): Promise<SummaryFigures> {
  const writer = decoderSummaries({ decoder });
  const sums = { summaries: 0, milliseconds: 0, raw: 0 };
  const generator: SummaryGenerator = {
    ...writer,
    async generate(task, signal) {
      const began = performance.now();
      const summary = await writer.generate(task, signal);
      sums.milliseconds += performance.now() - began;
      sums.summaries++;
      sums.raw += unsupported(summary.text, `${task.title} ${task.text}`).length;
      return summary;
    },
  };
  const selection = exit();
  const options = { deadline: Infinity, cache: false };
  const before = await createPipeline({ ...options, stages: [selection] });
  const after = await createPipeline({ ...options, stages: [selection, summarise({ generator, ratio })] });
  const asked = evidenceDocuments(set)
    .filter(({ answers }) => answers.length > 0)
    .slice(0, count);
  const totals = { extract: 0, summary: 0, before: 0, after: 0, standing: 0, refused: 0, unsupported: 0 };
  for (const { question, answers, documents } of asked) {
    const extract = await before.compress({ query: question, documents });
    const result = await after.compress({ query: question, documents });
    totals.extract += Number(holdsAnswer(extract.context, answers));
    totals.summary += Number(holdsAnswer(result.context, answers));
    const stage = result.stages.find(({ name }) => name === 'summarise')!;
    totals.before += stage.tokensBefore;
    totals.after += stage.tokensAfter;
    const { standing, faults } = generatedText(result, documents);
    totals.standing += standing;
    totals.unsupported += faults.length;
    totals.refused += result.decisions.filter(({ reason }) => reason.startsWith('in place of')).length;
  }
  await before.close();
  await after.close();
  return {
    model: writer.model,
    questions: asked.length,
    summaries: sums.summaries,
    tokens: totals.after / totals.before,
    extract: totals.extract / asked.length,
    summary: totals.summary / asked.length,
    standing: totals.standing,
    refused: totals.refused,
    unsupported: totals.unsupported,
    unsupportedRaw: sums.raw,
    milliseconds: sums.milliseconds / sums.summaries,
  };
}

export interface HostileFigures {
  readonly summaries: number;
  /** Sentences that were written false, and those of them that stand in a context. */
  readonly written: number;
  readonly standing: number;
  /** Numbers and names in generated text that its sources lack. */
  readonly unsupported: number;
  readonly examples: readonly string[];
}

/** Summaries by a generator that rewrites each sentence so that it is false, through the whole stage. */
export async function hostileFigures(count: number): Promise<HostileFigures> {
  let summaries = 0;
  const written = new Set<string>();
  const generator: SummaryGenerator = {
    model: 'hostile',
    maxWords: 600,
    generate({ text }) {
      summaries++;
      const sentences = sentencesOf(text.replaceAll('\n', ' '));
      const lies = sentences.flatMap((sentence, at) => {
        // Shorter than its source, so that it is worth taking.
        const short = sentence.replace(/ ?\([^()]*\)/g, '').replace(/\b(?:the|a|an) /i, '');
        const others = sentences.filter((_, index) => index !== at);
        // Another kind each time.
        const kinds = [...corruptions(short, others).values()];
        const lie = kinds[summaries % Math.max(1, kinds.length)];
        if (lie === undefined) return [];
        written.add(lie);
        return [lie];
      });
      return Promise.resolve({ text: lies.join(' ') });
    },
  };
  const pipeline = await createPipeline({
    stages: [summarise({ generator, ratio: 0.9 })],
    deadline: Infinity,
    cache: false,
  });
  const standing: string[] = [];
  let unsupported = 0;
  for (const set of EVIDENCE_SETS) {
    for (const { question, documents } of evidenceDocuments(set)) {
      if (summaries >= count) break;
      const result = await pipeline.compress({ query: question, documents: documents.slice(0, 2) });
      standing.push(
        ...result.documents
          .flatMap(({ content, generated = [] }) =>
            generated.map(({ start, end }) => content.slice(start, end)),
          )
          .filter((text) => written.has(text)),
      );
      unsupported += generatedText(result, documents).faults.length;
    }
  }
  await pipeline.close();
  return {
    summaries,
    written: written.size,
    standing: standing.length,
    unsupported,
    examples: standing.slice(0, 5),
  };
}

/** Generated stretches of a result, and the numbers and names in them that stand in none of their spans. */
function generatedText(
  { documents: kept }: CompressionResult,
  documents: readonly SourceDocument[],
): { standing: number; faults: string[] } {
  let standing = 0;
  const faults: string[] = [];
  for (const { id, content, generated = [] } of kept) {
    const source = documents.find((document) => document.id === id)!.content;
    for (const { start, end, sources } of generated) {
      standing++;
      const said = sources.map((span) => source.slice(span.start, span.end)).join(' ');
      faults.push(...unsupported(content.slice(start, end), said));
    }
  }
  return { standing, faults };
}

/** By rules of this file alone, with no regard to case: numbers, and words with a capital behind one in small letters. */
function unsupported(text: string, source: string): string[] {
  const facts = [
    ...(text.match(/\p{N}+(?:[.,]\p{N}+)*/gu) ?? []),
    ...(text.match(/(?<=[\p{Ll},] )\p{Lu}[\p{L}\p{N}]*/gu) ?? []),
  ];
  return facts.filter(
    (fact) =>
      !new RegExp(`(?<![\\p{L}\\p{N}])${fact.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`, 'u').test(source),
  );
}

function sentencesOf(text: string): string[] {
  const bounds = splitSentences(text);
  return Array.from({ length: bounds.length / 2 }, (_, index) =>
    text.slice(bounds[2 * index], bounds[2 * index + 1]),
  );
}

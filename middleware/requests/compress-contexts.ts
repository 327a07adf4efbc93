import type {
  Budget,
  CompressionResult,
  Pipeline,
  SourceDocument,
  StageReport,
} from '../../compressors/index.js';
import type { Context } from './find-contexts.js';
import { replacePassages, type Replaced } from './passage.js';
import type { StringEdit } from './splice-json.js';

export interface CompressedContexts {
  /** The request's strings as they are to be; none for a context that compression would not make smaller. */
  readonly edits: readonly StringEdit[];
  /** Tokens of the contexts with their markers, before and after; nothing for one that failed. */
  readonly before: number;
  readonly after: number;
  /** Each stage's figures, summed over the contexts. */
  readonly stages: readonly StageReport[];
  /** Why a stage, or a context as a whole, went through as it was. */
  readonly errors: readonly string[];
}

/**
 * Compresses each context on its own. One that fails goes through as it was, and the others are compressed.
 * @param budget a ceiling for each context, with its markers
 * @param signal when aborted, contexts that are not done go through as they were
 */
export async function compressContexts(
  contexts: readonly Context[],
  pipeline: Pipeline,
  budget: Budget | undefined,
  signal: AbortSignal,
): Promise<CompressedContexts> {
  const all = await Promise.all(
    contexts.map((context) => compressContext(context, pipeline, budget, signal).catch(passedThrough)),
  );
  return {
    edits: all.flatMap(({ edits }) => edits),
    before: all.reduce((sum, { before }) => sum + before, 0),
    after: all.reduce((sum, { after }) => sum + after, 0),
    stages: sumStages(all.flatMap(({ stages }) => stages)),
    errors: all.flatMap(({ errors }) => errors),
  };
}

async function compressContext(
  context: Context,
  pipeline: Pipeline,
  budget: Budget | undefined,
  signal: AbortSignal,
): Promise<CompressedContexts> {
  const { query } = context;
  const documents = sourceDocuments(context);
  let result = await pipeline.compress({ query, documents, ...(budget && { budget }), signal });
  const before = result.tokens.before + markerTokens(context, pipeline);
  let written = write(context, result, pipeline);

  // The markers that stand around documents here are not those that the pipeline counted.
  const ceiling = result.tokens.budget ?? Infinity;
  for (let tokens = ceiling, step = 1; written.tokens > ceiling && tokens > 0; step *= 2) {
    tokens = Math.max(0, tokens - step * (written.tokens - ceiling));
    result = await pipeline.compress({ query, documents, budget: { tokens }, signal });
    written = write(context, result, pipeline);
  }

  const { stages } = result;
  const errors = stages.flatMap(({ name, error }) => (error === undefined ? [] : [`${name}: ${error}`]));
  if (!canBeReread(context, written.texts, result)) {
    return {
      edits: [],
      before,
      after: before,
      stages,
      errors: [...errors, 'a document holds the markers of another'],
    };
  }
  if (written.tokens >= before) return { edits: [], before, after: before, stages, errors };
  const edits = context.texts.map(({ path }, index) => ({ path, text: written.texts[index]!.text }));
  return { edits, before, after: written.tokens, stages, errors };
}

function sourceDocuments({ texts }: Context): SourceDocument[] {
  return texts
    .flatMap(({ text, passages }) => passages.map((passage) => ({ text, passage })))
    .map(({ text, passage: { inner, title, url } }, index) => ({
      id: String(index),
      content: text.slice(inner.start, inner.end),
      ...(title !== undefined && { title }),
      ...(url !== undefined && { url }),
    }));
}

/** What was kept of each document of each text; undefined for one of which nothing was. */
function keptContents({ texts }: Context, result: CompressionResult): (string | undefined)[][] {
  const kept = new Map(result.documents.map(({ id, content }) => [id, content]));
  let id = 0;
  return texts.map(({ passages }) => passages.map(() => kept.get(String(id++))));
}

function write(
  context: Context,
  result: CompressionResult,
  { counter }: Pipeline,
): { texts: Replaced[]; tokens: number } {
  const contents = keptContents(context, result);
  const texts = context.texts.map(({ text, passages }, index) =>
    replacePassages(text, passages, contents[index]!),
  );
  return { texts, tokens: texts.reduce((sum, { region }) => sum + counter.count(region), 0) };
}

function markerTokens({ texts }: Context, { counter }: Pipeline): number {
  return texts.reduce((sum, { text, passages }) => {
    const markers = replacePassages(
      text,
      passages,
      passages.map(() => ''),
    );
    return sum + counter.count(markers.region);
  }, 0);
}

/**
 * Whether the documents that were written are the ones that a reader would find: decoded character references can
 * spell the markers of the next document.
 */
function canBeReread(context: Context, written: readonly Replaced[], result: CompressionResult): boolean {
  const contents = keptContents(context, result);
  return context.texts.every((source, index) => {
    const { text } = written[index]!;
    const expected = contents[index]!.filter((content) => content !== undefined).map((content) =>
      content.trim(),
    );
    if (expected.length === 0) return true;
    const found = source.reread(text).map(({ inner }) => text.slice(inner.start, inner.end));
    return found.length === expected.length && found.every((content, at) => content === expected[at]);
  });
}

function passedThrough(error: unknown): CompressedContexts {
  const reason = error instanceof Error ? error.message : String(error);
  return { edits: [], before: 0, after: 0, stages: [], errors: [reason] };
}

function sumStages(stages: readonly StageReport[]): StageReport[] {
  const sums = new Map<string, StageReport>();
  for (const stage of stages) {
    const sum = sums.get(stage.name);
    sums.set(stage.name, {
      name: stage.name,
      tokensBefore: stage.tokensBefore + (sum?.tokensBefore ?? 0),
      tokensAfter: stage.tokensAfter + (sum?.tokensAfter ?? 0),
      milliseconds: stage.milliseconds + (sum?.milliseconds ?? 0),
    });
  }
  return [...sums.values()];
}

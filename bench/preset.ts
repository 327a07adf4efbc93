import { createPipeline, type Budget, type Span } from 'ragpress';
import { EVIDENCE_SETS, evidenceQuestions, type EvidenceQuestion, type EvidenceSet } from './evidence.js';
import { printTable } from './table.js';

const BUDGETS: readonly (readonly [name: string, budget: Budget | undefined])[] = [
  ['10%', { ratio: 0.1 }],
  ['20%', { ratio: 0.2 }],
  ['30%', { ratio: 0.3 }],
  ['none', undefined],
];

const STAGES: Readonly<Record<string, readonly string[]>> = {
  'sentences alone': ['sentences'],
  'preset fast': ['htmlrag', 'zipfit', 'sentences'],
  'preset balanced': ['htmlrag', 'zipfit', 'exit'],
};

interface Kept {
  /** Share of the evidence sentences that stand whole in the context. */
  readonly recall: number;
  /** Share of the tokens that came in. */
  readonly tokens: number;
}

/** What whole pipelines keep of the evidence in the shared data, by budget, counted in the context itself. */
export async function benchPreset(): Promise<Record<string, Record<string, Record<EvidenceSet, Kept>>>> {
  const questions = EVIDENCE_SETS.map((set) => [set, evidenceQuestions(set)] as const);
  if (questions[0]![1].length === 0) return {};
  const figures: Record<string, Record<string, Record<EvidenceSet, Kept>>> = {};
  for (const [name, stages] of Object.entries(STAGES)) {
    const pipeline = await createPipeline({
      stages,
      model: 'gpt-4o',
      deadline: Infinity,
      output: 'text',
      cache: false,
    });
    for (const [budgetName, budget] of BUDGETS) {
      const row: Partial<Record<EvidenceSet, Kept>> = {};
      for (const [set, rows] of questions) row[set] = await kept(rows, budget, pipeline);
      (figures[budgetName] ??= {})[name] = row as Record<EvidenceSet, Kept>;
    }
    await pipeline.close();
  }
  printTable(
    'evidence sentences that stand whole in the context, by budget as a share of the tokens that came in',
    ['budget', 'stages', ...questions.map(([set, rows]) => `${set} (${rows.length})`)],
    Object.entries(figures).flatMap(([budget, byStages]) =>
      Object.entries(byStages).map(([stages, bySet]) => [
        budget,
        stages,
        ...EVIDENCE_SETS.map((set) => {
          const { recall, tokens } = bySet[set];
          return budget === 'none' ? `${recall.toFixed(3)}, ${percent(tokens)} kept` : recall.toFixed(3);
        }),
      ]),
    ),
  );
  return figures;
}

async function kept(
  questions: readonly EvidenceQuestion[],
  budget: Budget | undefined,
  pipeline: Awaited<ReturnType<typeof createPipeline>>,
): Promise<Kept> {
  let found = 0;
  let all = 0;
  let before = 0;
  let after = 0;
  for (const question of questions) {
    const { documents, places } = sources(question);
    const result = await pipeline.compress({
      query: question.question,
      documents,
      ...(budget && { budget }),
    });
    before += result.tokens.before;
    after += result.tokens.after;
    const spans = new Map(result.documents.map((document) => [document.id, document.spans]));
    for (const [index, { document, isEvidence }] of question.sentences.entries()) {
      if (!isEvidence) continue;
      all++;
      if (covers(spans.get(String(document)) ?? [], places[index]!)) found++;
    }
  }
  return { recall: found / all, tokens: after / before };
}

/** The documents of a question as plain text, and where each of its sentences stands. */
function sources({ sentences }: EvidenceQuestion) {
  const documents: { id: string; title: string; content: string; format: 'text' }[] = [];
  const places = sentences.map(({ document, title, text }): Span => {
    const source = (documents[document] ??= { id: String(document), title, content: '', format: 'text' });
    const start = source.content === '' ? 0 : source.content.length + 1;
    source.content += source.content === '' ? text : ` ${text}`;
    return { start, end: start + text.length };
  });
  return { documents: documents.filter(Boolean), places };
}

/** Whether every character of a place but white space is in the spans; those are in order. */
function covers(spans: readonly Span[], place: Span): boolean {
  let at = place.start;
  for (const { start, end } of spans) {
    if (end <= at) continue;
    // Between two spans of one text lies white space alone.
    if (start > at + 1) return false;
    at = end;
    if (at >= place.end - 1) return true;
  }
  return false;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)}%`;
}

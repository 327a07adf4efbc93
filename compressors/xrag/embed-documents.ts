import type { DocumentEncoder } from '../../models/decoder/document-encoder.js';
import { embeddingMarker } from '../../models/decoder/embedding-marker.js';
import { fitBudget } from '../budget.js';
import type { Decision, Span, StageContext, State, Unit } from '../contract.js';
import { mergeSpans } from '../render.js';
import { blockKey, gapBetween } from '../unit.js';

/** A document that does not answer, or not within the budget. */
interface Candidate {
  readonly document: number;
  readonly units: readonly Unit[];
  /** Of its best unit. */
  readonly score: number;
}

/**
 * Leaves as text what answers and fits, makes an embedding of each of the documents that come next, and drops the rest.
 * @param stage its name in decisions
 * @param most documents that become embeddings
 */
export async function embedDocuments(
  stage: string,
  encoder: Pick<DocumentEncoder, 'encode'>,
  most: number,
  state: State,
  context: StageContext,
): Promise<State> {
  const { units } = state;
  if (context.budget === undefined) return handedOn(stage, state, 'no budget was given to make room in');
  if (units.every(({ score }) => score === undefined))
    return handedOn(stage, state, 'no stage before it scored sentences, as exit does');
  if (units.reduce((tokens, unit) => tokens + unit.tokens, 0) <= context.budget)
    return handedOn(stage, state, 'all of it fits as text');
  if (!units.some(({ answers }) => answers))
    return handedOn(stage, state, 'nothing answers that could stand as text beside embeddings');

  const text = fitBudget({ ...state, units: answeringUnits(state) }, context.budget, 'text', context.counter);
  const texts = new Set(text.units);
  const inText = new Set(text.units.map(({ document }) => document));
  const chosen = candidates(state, inText)
    .sort((a, b) => b.score - a.score || a.document - b.document)
    .slice(0, most);
  const embeddings = await encoder.encode(
    chosen.map(({ document, units }) => ({
      title: state.documents[document]!.title ?? state.pages[document]?.title,
      text: textOf(units),
    })),
    { signal: context.signal },
  );
  const marker = embeddingMarker(textsOf(state));
  // Text that answers has its room before embeddings.
  const least = text.units.reduce((least, { score = Infinity }) => Math.min(least, score), Infinity);
  const decisions = [...state.decisions];
  const embedded = new Map<number, Unit>();
  for (const [index, candidate] of chosen.entries()) {
    const score = Math.min(candidate.score, least);
    const unit = embeddedUnit({ ...candidate, score }, marker, embeddings[index]!);
    embedded.set(candidate.document, unit);
    const tokens = candidate.units.reduce((sum, { tokens }) => sum + tokens, 0);
    decisions.push(decision(state, stage, 'replaced', unit, `${tokens} tokens became an embedding`));
  }

  const kept: Unit[] = [];
  const placed = new Set<number>();
  for (const unit of units) {
    const { document } = unit;
    const embedding = embedded.get(document);
    if (embedding) {
      if (!placed.has(document)) kept.push(embedding);
      placed.add(document);
    } else if (texts.has(unit) || !state.pages[document]) {
      kept.push(unit);
    } else {
      const reason =
        unit.score === undefined
          ? 'leads in to nothing kept'
          : unit.answers
            ? 'no room for it as text'
            : 'it does not answer, and others come first';
      decisions.push(decision(state, stage, 'dropped', unit, reason));
    }
  }
  return { ...state, units: kept, decisions };
}

/** The state as it is, each document's record saying why. */
export function handedOn(stage: string, state: State, reason: string): State {
  const documents = [...new Set(state.units.map(({ document }) => document))];
  const decisions = documents.map((document): Decision => ({
    document: state.documents[document]!.id,
    action: 'kept',
    stage,
    spans: [],
    reason: `handed on: ${reason}`,
  }));
  return { ...state, decisions: [...state.decisions, ...decisions] };
}

/** What answers, with what it needs, and what could not be read and scored. */
function answeringUnits({ units, pages }: State): Unit[] {
  const needed = new Set<number>();
  for (const { answers, document, needs } of units)
    if (answers) for (const block of needs) needed.add(blockKey(document, block));
  return units.filter(
    ({ answers, document, block }) =>
      answers === true || !pages[document] || needed.has(blockKey(document, block)),
  );
}

/** Documents that have to do with the query, but for those of which there is text. */
function candidates({ units, pages }: State, inText: ReadonlySet<number>): Candidate[] {
  const byDocument = new Map<number, Unit[]>();
  for (const unit of units) {
    const members = byDocument.get(unit.document);
    if (members) members.push(unit);
    else byDocument.set(unit.document, [unit]);
  }
  return [...byDocument]
    .map(([document, members]) => ({
      document,
      units: members,
      score: members.reduce((best, { score = 0 }) => Math.max(best, score), 0),
    }))
    .filter(({ document, score }) => pages[document] && score > 0 && !inText.has(document));
}

function embeddedUnit({ document, units, score }: Candidate, marker: string, embedding: Float32Array): Unit {
  return {
    document,
    block: units[0]!.block,
    kind: 'block',
    layout: { type: 'paragraph' },
    text: marker,
    spans: mergeSpans(units).map(({ start, end }) => ({ start, end, at: 0, length: marker.length })),
    tokens: 1,
    terms: new Uint32Array(),
    score,
    needs: [],
    origin: 'embedding',
    embedding,
  };
}

function textOf(units: readonly Unit[]): string {
  let text = '';
  for (const [index, unit] of units.entries()) {
    const previous = units[index - 1];
    if (previous) text += previous.block === unit.block ? gapBetween(previous, unit) : '\n';
    text += unit.text;
  }
  return text;
}

/** All that may stand in the prompt: what the documents say may be written with character references. */
function textsOf({ query, documents, pages, units }: State): string[] {
  return [
    query,
    ...documents.flatMap(({ title = '', content }) => [title, content]),
    ...pages.flatMap((page) => [page?.title ?? '', ...(page?.names ?? [])]),
    ...units.map(({ text }) => text),
  ];
}

function decision(
  state: State,
  stage: string,
  action: Decision['action'],
  { document, spans, score }: Unit,
  reason: string,
): Decision {
  return {
    document: state.documents[document]!.id,
    action,
    stage,
    spans: spans.map(({ start, end }): Span => ({ start, end })),
    ...(score !== undefined && { score }),
    reason,
  };
}

import { z } from 'zod';
import { bm25 } from '../bm25.js';
import type { EmbeddingModel } from '../../models/encoder/embedding-model.js';
import { ModelRegistry } from '../../models/registry.js';
import type { Compressor, Decision, State, StageContext, Unit } from '../contract.js';
import type { Page, Region } from '../page.js';
import { blockField, blockKey, blockTerms, linkedShare, placeWeight, regionOf } from '../unit.js';
import { validate } from '../../settings/validate.js';
import { indexTerms, joinTerms, queryTerms } from '../words.js';
import { BlockEmbedding } from './block-embedding.js';

export interface HtmlragOptions {
  /** How many times the token budget the kept subtrees may hold, for later stages to choose from. Default 4. */
  readonly breadth?: number;
  /** Share of the best subtree's score below which one is dropped where there is no budget. Default 0.1. */
  readonly threshold?: number;
  /**
   * Scores subtrees by their cosine with the query, beside BM25: `minilm`, another model of kind `embedder`, or one of
   * your own. Default none: BM25 alone.
   */
  readonly embedder?: string | EmbeddingModel;
  /** Where an embedder is looked for by its name. */
  readonly registry?: ModelRegistry;
  /** How many subtrees of a request are embedded at most, the likeliest by BM25 first. Default 96. */
  readonly maxSubtrees?: number;
}

const optionsSchema = z.strictObject({
  breadth: z.number().min(1, 'give a number of 1 or more').default(4),
  threshold: z.number().min(0).max(1).default(0.1),
  embedder: z
    .union(
      [
        z.string().min(1),
        z.custom<EmbeddingModel>((value) => typeof (value as EmbeddingModel | null)?.embed === 'function'),
      ],
      'give the name of a model, or { dimensions, embed }',
    )
    .optional(),
  registry: z.instanceof(ModelRegistry, { error: 'give a ModelRegistry' }).optional(),
  maxSubtrees: z.int().min(1).default(96),
});

interface Subtree {
  readonly document: number;
  readonly units: Unit[];
  readonly tokens: number;
  readonly terms: Uint32Array;
  /** 0 to 1, by region and share of links. */
  readonly weight: number;
  readonly region: Region;
  /** Share of its text that stands in links. */
  readonly linked: number;
}

/**
 * Prunes the block trees of all pages by relevance, as HtmlRAG's first pruning does (Tan et al. 2024, arXiv
 * 2411.02959, section 3.4), by BM25 or by an embedder: subtrees of at most 256 words, each read with its title and
 * headings, are kept from the best on. What a kept block cannot be read without stays with it. The second pruning, of
 * what is finer, is left to the stages that come after.
 * @throws ConfigurationError
 */
export function htmlrag(options: HtmlragOptions = {}): Compressor {
  const { breadth, threshold, embedder, registry, maxSubtrees } = validate(optionsSchema, options, 'htmlrag');
  const embedding = embedder === undefined ? undefined : new BlockEmbedding(embedder, registry);
  return {
    name: 'htmlrag',
    ...(embedding && { open: () => embedding.open(), close: () => embedding.close() }),
    async compress(state, context) {
      const subtrees = await collectSubtrees(state, context);
      const relevance = await bm25(queryTerms(state.query), subtrees, () => context.breathe());
      const best = relevance.reduce((highest, score) => Math.max(highest, score), 0);
      await context.breathe();
      // Where nothing answers, what a page is about still beats its menus.
      const lexical = subtrees.map(({ weight }, index) => (best > 0 ? relevance[index]! * weight : weight));
      const { scores, isHurried } = embedding
        ? await nearness(embedding, state, subtrees, lexical, maxSubtrees, context)
        : { scores: lexical, isHurried: false };
      const order = subtrees.map((_, index) => index).sort((a, b) => scores[b]! - scores[a]! || a - b);
      const rankOf = new Int32Array(order.length);
      for (const [rank, index] of order.entries()) rankOf[index] = rank;
      const kept =
        context.budget === undefined
          ? aboveThreshold(scores, threshold)
          : bestWithin(order, subtrees, scores, breadth * context.budget);
      const why = (index: number) => {
        const { region, linked } = subtrees[index]!;
        const place = region === 'content' ? '' : `${region}, `;
        const links = linked > 0.5 ? `${Math.round(100 * linked)}% links, ` : '';
        if (best > 0 && relevance[index] === 0) return `${place}${links}nothing of the query in it`;
        const rank = `rank ${rankOf[index]! + 1} of ${subtrees.length}`;
        return `${place}${links}${context.budget === undefined ? `below ${threshold} of the best` : `${rank}, beyond ${breadth} × the budget`}`;
      };
      await context.breathe();
      const isScored = best > 0 || embedding !== undefined;
      const pruned = await prune(context, state, subtrees, scores, kept, isScored, why);
      return isHurried ? { ...pruned, isHurried } : pruned;
    },
  };
}

/** What BM25's best match adds to a cosine. */
const LEXICAL_SHARE = 0.3;

/**
 * By subtree: its cosine with the query and what BM25 says; 0 for one that was not read. Hurried where the deadline left no
 * time for some.
 */
async function nearness(
  embedding: BlockEmbedding,
  state: State,
  subtrees: readonly Subtree[],
  lexical: readonly number[],
  maxSubtrees: number,
  context: StageContext,
): Promise<{ scores: number[]; isHurried: boolean }> {
  const order = subtrees
    .map((_, index) => index)
    .sort((a, b) => lexical[b]! - lexical[a]! || subtrees[b]!.weight - subtrees[a]!.weight || a - b)
    .slice(0, maxSubtrees);
  const best = lexical.reduce((highest, score) => Math.max(highest, score), 0) || 1;
  const texts = order.map((index) => textOf(state, subtrees[index]!));
  const cosines = await embedding.cosines(state.query, texts, context);
  const scores = new Array<number>(subtrees.length).fill(0);
  for (const [at, cosine] of cosines.entries()) {
    const index = order[at]!;
    const share = LEXICAL_SHARE * (lexical[index]! / best);
    scores[index] = Math.max(0, cosine) * subtrees[index]!.weight + share;
  }
  return { scores, isHurried: cosines.length < texts.length };
}

/** What an embedder reads of a subtree: its text below the title of its document. */
function textOf({ documents, pages }: State, { document, units }: Subtree): string {
  const title = documents[document]!.title ?? pages[document]!.title ?? '';
  return [title, ...units.map(({ text }) => text)].join('\n');
}

async function collectSubtrees(state: State, context: StageContext): Promise<Subtree[]> {
  const groups = new Map<number, Unit[]>();
  for (const [index, unit] of state.units.entries()) {
    const page = state.pages[unit.document];
    if (!page) continue;
    if (index % 512 === 0) await context.breathe();
    const key = blockKey(unit.document, blockField(page, unit.block, 'subtree'));
    const group = groups.get(key);
    if (group) group.push(unit);
    else groups.set(key, [unit]);
  }
  const titles = state.documents.map(
    (document, index) => indexTerms(document.title ?? state.pages[index]?.title ?? '').terms,
  );
  const subtrees: Subtree[] = [];
  for (const units of groups.values()) {
    if (subtrees.length % 16 === 0) await context.breathe();
    const { document } = units[0]!;
    const page = state.pages[document]!;
    const subtree = blockField(page, units[0]!.block, 'subtree');
    const above = new Set<number>();
    for (const { needs } of units) {
      for (const block of needs) if (blockField(page, block, 'subtree') !== subtree) above.add(block);
    }
    const terms = [
      titles[document]!,
      ...[...above].map((block) => blockTerms(page, block)),
      ...units.map((unit) => unit.terms),
    ];
    subtrees.push({
      document,
      units,
      terms: joinTerms(terms),
      tokens: tokensOf(units),
      ...placeOf(page, units),
    });
  }
  return subtrees;
}

function placeOf(page: Page, units: readonly Unit[]): Pick<Subtree, 'weight' | 'region' | 'linked'> {
  let linked = 0;
  let length = 0;
  let weight = 0;
  const lengths = new Map<Region, number>();
  for (const { block, text } of units) {
    const region = regionOf(page, block);
    linked += linkedShare(page, block) * text.length;
    length += text.length;
    weight += text.length * placeWeight(page, block);
    lengths.set(region, (lengths.get(region) ?? 0) + text.length);
  }
  const share = linked / (length || 1);
  const [region] = [...lengths].reduce((most, entry) => (entry[1] > most[1] ? entry : most));
  return { weight: weight / (length || 1), region, linked: share };
}

function aboveThreshold(scores: readonly number[], threshold: number): Set<number> {
  const floor = threshold * scores.reduce((highest, score) => Math.max(highest, score), 0);
  return new Set(scores.flatMap((score, index) => (score > 0 && score >= floor ? [index] : [])));
}

/** The best subtrees until they hold the tokens asked for: the last may overshoot, the budget is kept at the end. */
function bestWithin(
  order: readonly number[],
  subtrees: readonly Subtree[],
  scores: readonly number[],
  tokens: number,
): Set<number> {
  const kept = new Set<number>();
  let total = 0;
  for (const index of order) {
    if (total >= tokens || scores[index] === 0) break;
    kept.add(index);
    total += subtrees[index]!.tokens;
  }
  return kept;
}

async function prune(
  context: StageContext,
  state: State,
  subtrees: readonly Subtree[],
  scores: readonly number[],
  kept: ReadonlySet<number>,
  scored: boolean,
  why: (index: number) => string,
): Promise<State> {
  const keep = new Map<Unit, number>();
  const needed = new Set<number>();
  for (const index of kept) {
    for (const unit of subtrees[index]!.units) {
      keep.set(unit, scores[index]!);
      for (const block of unit.needs) needed.add(blockKey(unit.document, block));
    }
  }
  const isKept = (unit: Unit) =>
    keep.has(unit) || !state.pages[unit.document] || needed.has(blockKey(unit.document, unit.block));
  const decisions: Decision[] = [...state.decisions];
  for (const [index, { document, units }] of subtrees.entries()) {
    if (index % 64 === 0) await context.breathe();
    const dropped = units.filter((unit) => !isKept(unit));
    if (kept.has(index) || dropped.length === 0) continue;
    decisions.push({
      document: state.documents[document]!.id,
      action: 'dropped',
      stage: 'htmlrag',
      spans: dropped.flatMap(({ spans }) => spans.map(({ start, end }) => ({ start, end }))),
      score: scores[index]!,
      reason: why(index),
    });
  }
  await context.breathe();
  const units = state.units.filter(isKept).map((unit) => {
    const score = keep.get(unit);
    return scored && score !== undefined && unit.layout.type !== 'heading' ? { ...unit, score } : unit;
  });
  return { ...state, units, decisions };
}

function tokensOf(units: readonly Unit[]): number {
  return units.reduce((tokens, unit) => tokens + unit.tokens, 0);
}

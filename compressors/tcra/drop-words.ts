import type { StageContext, State, Unit } from '../contract.js';
import { inSentences } from '../in-sentences.js';
import type { Page } from '../page.js';
import { isProse } from '../unit.js';
import { cutWords, type WeighedWords } from './cut-words.js';
import { LeftAlone } from './left-alone.js';
import { protectedWords } from './protected-words.js';
import { sentenceWords } from './sentence-words.js';
import { BUDGETS, surplusTokens } from './surplus-tokens.js';
import { RequestSurroundings } from './surroundings.js';
import type { WeighedSentence, WordWeigher } from './word-encoder.js';

export interface DropOptions {
  /** Share of their tokens that sentences keep, where the budget does not let them keep more. */
  readonly ratio: number;
  /** Tokens that the encoder reads for one request at most, of the best sentences first. */
  readonly maxTokens: number;
}

/** Shorter sentences have nothing to spare. */
const FEWEST_WORDS = 5;

/** Part of the time left that the sentences weighed so far must leave for the rest of the pipeline. */
const TIME_SHARE = 0.8;

/** Tokens between two looks at the clock. */
const TOKENS_A_STEP = 1_024;

/** A sentence with words that may go, as the encoder reads it: in pieces where it is too long. */
interface Sentence {
  readonly index: number;
  readonly words: WeighedWords['words'];
  readonly pieces: readonly WeighedSentence[];
  readonly tokens: number;
}

/**
 * Semantic compression (Liu et al. 2023, TCRA-LLM, arXiv 2310.15556, section 3): the words whose absence moves the
 * embedding least go first, over all sentences, until these keep `ratio` of their tokens, or until all fits into the
 * budget where that takes less. Words that carry facts stay (protected-words.ts).
 * @param stage its name in decisions
 * @throws what the encoder throws
 */
export async function dropWords(
  stage: string,
  encoder: WordWeigher,
  { ratio, maxTokens }: DropOptions,
  given: State,
  context: StageContext,
): Promise<State> {
  const state = await inSentences(given, context);
  const surplus = surplusTokens(state, context);
  if (surplus === 0) return given;
  const record = new LeftAlone(state, stage);
  const sentences = await readable(stage, state, encoder, record, context);
  const chosen = withinTokens(state, sentences, maxTokens, record, context);
  const { weighed, isHurried } = await weigh(state, chosen, encoder, record, context);
  const spare = weighed.reduce(
    (sum, { unit }) => sum + (1 - (unit.treatment?.share ?? ratio)) * unit.tokens,
    0,
  );
  const wanted = Math.min(surplus, Math.ceil(spare));
  const { units, decisions } = await cutWords(stage, state, weighed, wanted, context);
  return {
    ...(decisions.length > 0 ? { ...state, units } : given),
    decisions: [...state.decisions, ...record.decisions(), ...decisions],
    ...(isHurried && { isHurried }),
  };
}

/** The sentences of prose that have words to spare, in a script that the encoder knows. */
async function readable(
  stage: string,
  state: State,
  encoder: WordWeigher,
  record: LeftAlone,
  context: StageContext,
): Promise<Sentence[]> {
  const surroundings = new RequestSurroundings(state);
  const sentences: Sentence[] = [];
  for (const [index, unit] of state.units.entries()) {
    if (index % 16 === 0) await context.breathe();
    const page = state.pages[unit.document];
    if (!page || !isProse(unit.layout) || unit.origin !== undefined) continue;
    if (state.isAllotted && unit.treatment?.stage !== stage) continue;
    if (!isLatin(unit.text)) record.add(unit, `its script is none of ${encoder.model}'s`);
    else if (isTabular(unit.text)) record.add(unit, 'it reads as a row of a table');
    else {
      const sentence = sentenceOf(index, unit, page, surroundings, encoder);
      if (sentence) sentences.push(sentence);
    }
  }
  return sentences;
}

function sentenceOf(
  index: number,
  unit: Unit,
  page: Page,
  surroundings: RequestSurroundings,
  encoder: WordWeigher,
): Sentence | undefined {
  const words = sentenceWords(unit.text);
  if (words.length < FEWEST_WORDS) return undefined;
  const wanted = protectedWords(words, surroundings.of(unit, page)).map((reason) => reason === undefined);
  if (!wanted.includes(true)) return undefined;
  const ids = words.map(({ text }) => encoder.tokenIds(text));
  const pieces: { words: (readonly number[])[]; wanted: boolean[] }[] = [];
  let room = 0;
  for (const [word, tokens] of ids.entries()) {
    if (pieces.length === 0 || tokens.length > room) {
      pieces.push({ words: [], wanted: [] });
      room = encoder.maxTokens;
    }
    pieces.at(-1)!.words.push(tokens);
    pieces.at(-1)!.wanted.push(wanted[word]!);
    room -= tokens.length;
  }
  return { index, words, pieces, tokens: ids.reduce((sum, { length }) => sum + length, 0) };
}

/** The best sentences by the score they came with, as many as may be read or could be chosen. */
function withinTokens(
  { units }: State,
  sentences: readonly Sentence[],
  maxTokens: number,
  record: LeftAlone,
  { budget = Infinity }: StageContext,
): Sentence[] {
  const scoreOf = ({ index }: Sentence) => units[index]!.score ?? -Infinity;
  const order = [...sentences].sort((a, b) => compare(scoreOf(b), scoreOf(a)) || a.index - b.index);
  let read = 0;
  let counted = 0;
  return order.filter((sentence) => {
    const unit = units[sentence.index]!;
    const isRead = read + sentence.tokens <= maxTokens;
    const isWanted = counted < BUDGETS * budget;
    counted += unit.tokens;
    if (isRead && isWanted) read += sentence.tokens;
    else
      record.add(unit, isWanted ? `${read} tokens of better ones were read` : 'better ones fill the budget');
    return isRead && isWanted;
  });
}

async function weigh(
  { units }: State,
  sentences: readonly Sentence[],
  encoder: WordWeigher,
  record: LeftAlone,
  context: StageContext,
): Promise<{ weighed: WeighedWords[]; isHurried: boolean }> {
  const weighed: WeighedWords[] = [];
  const began = performance.now();
  let steps = 0;
  for (let from = 0, to; from < sentences.length; from = to) {
    const pace = (performance.now() - began) / Math.max(1, ++steps - 1);
    if (from > 0 && pace > TIME_SHARE * (context.deadline - performance.now())) {
      for (const { index } of sentences.slice(from))
        record.add(units[index]!, 'there was no time to read it');
      return { weighed, isHurried: true };
    }
    let tokens = 0;
    for (to = from; to < sentences.length && (to === from || tokens < TOKENS_A_STEP); to++)
      tokens += sentences[to]!.tokens;
    const step = sentences.slice(from, to);
    const movements = await encoder.weigh(
      step.flatMap(({ pieces }) => pieces),
      context.signal,
    );
    let piece = 0;
    for (const { index, words, pieces } of step) {
      weighed.push({
        index,
        unit: units[index]!,
        words,
        movements: pieces.flatMap((_, at) => [...movements[piece + at]!]),
        tokens: pieces.flatMap(({ words: ids }) => ids.map(() => lengthOf(ids))),
      });
      piece += pieces.length;
    }
    await context.breathe();
  }
  return { weighed, isHurried: false };
}

function lengthOf(ids: readonly (readonly number[])[]): number {
  return ids.reduce((sum, { length }) => sum + length, 0);
}

/** Whether most letters of a text are of the script that the encoder was trained on. */
function isLatin(text: string): boolean {
  const letters = text.match(/\p{L}/gu)?.length ?? 0;
  return 2 * (text.match(/\p{Script=Latin}/gu)?.length ?? 0) >= letters;
}

function isTabular(text: string): boolean {
  return /\s\|\s|\t/.test(text);
}

function compare(a: number, b: number): number {
  return a === b ? 0 : a < b ? -1 : 1;
}

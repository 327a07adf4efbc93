import { createHash } from 'node:crypto';
import type { LRUCache } from 'lru-cache';
import { rank } from '../budget.js';
import type { Decision, StageContext, State, Unit } from '../contract.js';
import { inSentences } from '../in-sentences.js';
import { splitSentences } from '../sentences.js';
import { blockKey, gapBetween, isProse } from '../unit.js';
import { indexTerms } from '../words.js';
import { addressesModel, beginsTurn } from './addresses-model.js';
import { LeftAlone } from './left-alone.js';
import { queryClass } from './query-class.js';
import type { Summary, SummaryGenerator } from './summary-generator.js';
import { SummaryGuard } from './summary-guard.js';
import { surplusTokens } from './surplus-tokens.js';

export interface SummaryOptions {
  /** Share of an extract's words that its summary should have at most. */
  readonly ratio: number;
  readonly cache: SummaryCache | undefined;
}

type SummaryCache = LRUCache<string, Summary>;

/** Shorter extracts have nothing to spare. */
const FEWEST_TOKENS = 40;

/** Fewer words are no summary. */
const FEWEST_WORDS = 8;

/** A summary may be so many times as long as was asked for; what is beyond is not read. */
const LENIENCE = 1.25;

/** The summaries of the pieces of a long text may together be so many times as long as the one that is made of them. */
const MAP_LENGTH = 2;

/** Documents that are summarised at once. */
const AT_ONCE = 4;

/** A generator that failed so many times in a row is not asked again for this request. */
const FAILURES = 2;

/** Part of the time left that summaries may take: what comes after needs some, too. */
const TIME_SHARE = 0.8;

const NO_TIME = 'there was no time to summarise it';

/** A source sentence that stays, in its own words or in others. */
interface Chosen {
  readonly unit: Unit;
  /** What stands for it; its own text where absent. */
  readonly text?: string;
  /** Why it stands in its own words where a generator wrote others. */
  readonly fault?: string;
}

/**
 * Summarisation compression (Liu et al. 2023, TCRA-LLM, arXiv 2310.15556, section 3): the sentences of a document are
 * given to a generator, and what it writes takes their place, sentence by sentence, where a source says the same in more
 * tokens; where none does, the source that is nearest stands. What no sentence of the summary came from is dropped.
 * Under a budget the best sentences are summarised that would fill it afterwards, and none where all fits.
 * @param stage its name in decisions
 * @throws the signal's reason
 */
export async function summariseDocuments(
  stage: string,
  generator: SummaryGenerator,
  { ratio, cache }: SummaryOptions,
  given: State,
  context: StageContext,
): Promise<State> {
  if (surplusTokens(given, context) === 0) return given;
  const state = await inSentences(given, context);
  const record = new LeftAlone(state, stage);
  const passages = passagesOf(state, stage, ratio, record, context);
  const { signal, clear } = timeLimit(context);
  const writer = new Writer(generator, cache, queryClass(state.query), context, signal);
  const written = new Map<Passage, readonly Chosen[]>();
  const progress: { isHurried: boolean; failures: number; failure?: Error } = {
    isHurried: false,
    failures: 0,
  };
  const leave = (passage: Passage, reason: string, isHurried: boolean) => {
    for (const unit of passage.units) record.add(unit, reason);
    progress.isHurried ||= isHurried;
  };
  const isLate = () => signal.aborted;
  const queue = [...passages];
  const work = async () => {
    for (let passage = queue.shift(); passage; passage = queue.shift()) {
      if (isLate() || progress.failures >= FAILURES) {
        leave(passage, isLate() ? NO_TIME : `${generator.model} has failed before`, true);
        continue;
      }
      try {
        const title = titleOf(state, passage.units[0]!);
        const chosen = await writer.summarise(passage.units, passage.share, title);
        progress.failures = 0;
        if (chosen.length > 0) written.set(passage, chosen);
        else leave(passage, `nothing that ${generator.model} wrote is in it`, false);
      } catch (error) {
        context.signal.throwIfAborted();
        if (!isLate()) {
          progress.failures++;
          progress.failure = error instanceof Error ? error : new Error(String(error));
        }
        leave(passage, isLate() ? NO_TIME : `${generator.model} failed: ${messageOf(error)}`, true);
      }
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } finally {
    clear();
  }
  context.signal.throwIfAborted();
  // Where there is nothing but a failure, it is the stage's.
  if (written.size === 0 && progress.failure !== undefined) throw progress.failure;
  const { units, decisions } = replaced(stage, generator.model, state, written, context);
  return {
    ...(written.size > 0 ? { ...state, units } : given),
    decisions: [...state.decisions, ...record.decisions(), ...decisions],
    ...(progress.isHurried && { isHurried: true }),
  };
}

/** Sentences of one document that are summarised together, in the page's order. */
interface Passage {
  readonly units: readonly Unit[];
  /** Share of their words that the summary should have at most. */
  readonly share: number;
}

/** By document, the best first. */
function passagesOf(
  state: State,
  stage: string,
  ratio: number,
  record: LeftAlone,
  { budget = Infinity }: StageContext,
): Passage[] {
  const speaking = blocksThatSpeak(state);
  const byDocument = new Map<number, number[]>();
  let tokens = 0;
  for (const index of rank(state)) {
    const unit = state.units[index]!;
    if (!state.pages[unit.document] || !isProse(unit.layout) || unit.origin !== undefined) continue;
    if (state.isAllotted && unit.treatment?.stage !== stage) continue;
    if (!state.isAllotted && tokens >= budget / ratio) break;
    if (speaking.has(blockKey(unit.document, unit.block))) {
      record.add(unit, 'it speaks to a model, and not to who reads the page');
      continue;
    }
    tokens += unit.tokens;
    const indices = byDocument.get(unit.document);
    if (indices) indices.push(index);
    else byDocument.set(unit.document, [index]);
  }
  const passages: Passage[] = [];
  for (const indices of byDocument.values()) {
    const units = indices.sort((a, b) => a - b).map((index) => state.units[index]!);
    const length = units.reduce((sum, unit) => sum + unit.tokens, 0);
    const kept = units.reduce((sum, { tokens, treatment }) => sum + tokens * (treatment?.share ?? ratio), 0);
    if (length >= FEWEST_TOKENS) passages.push({ units, share: kept / length });
    else for (const unit of units) record.add(unit, 'it is too short for a summary');
  }
  return passages;
}

/** Blocks that address a model, and those below one that begins a turn, or a heading that does, to the next heading. */
function blocksThatSpeak({ units }: State): ReadonlySet<number> {
  const texts = new Map<number, { text: string; document: number; isHeading: boolean }>();
  for (const { document, block, text, layout } of units) {
    const key = blockKey(document, block);
    const known = texts.get(key);
    texts.set(key, {
      document,
      isHeading: layout.type === 'heading',
      text: known ? `${known.text} ${text}` : text,
    });
  }
  const speaking = new Set<number>();
  let turn: number | undefined;
  for (const [key, { text, document, isHeading }] of texts) {
    if (turn !== document || (isHeading && !beginsTurn(text))) turn = undefined;
    if (beginsTurn(text) || (isHeading && addressesModel(text))) turn = document;
    if (turn !== undefined || addressesModel(text)) speaking.add(key);
  }
  return speaking;
}

function titleOf({ documents, pages }: State, { document }: Unit): string {
  const title = (documents[document]!.title ?? pages[document]?.title ?? '').replace(/\s+/g, ' ').trim();
  return addressesModel(title) ? '' : title.slice(0, 200);
}

/** Asks a generator for the summaries of one request, and believes nothing. */
class Writer {
  readonly #generator: SummaryGenerator;
  readonly #cache: SummaryCache | undefined;
  readonly #query: string;
  readonly #context: StageContext;
  readonly #signal: AbortSignal;

  constructor(
    generator: SummaryGenerator,
    cache: SummaryCache | undefined,
    query: string,
    context: StageContext,
    signal: AbortSignal,
  ) {
    this.#generator = generator;
    this.#cache = cache;
    this.#query = query;
    this.#context = context;
    this.#signal = signal;
  }

  /** The sentences that stand for all of these; none where nothing that was written is in them. */
  async summarise(units: readonly Unit[], share: number, title: string): Promise<readonly Chosen[]> {
    const wanted = share * wordCount(textOf(units));
    let parts: readonly Chosen[] = units.map((unit) => ({ unit }));
    for (let round = 0; ; round++) {
      const pieces = inPieces(parts, this.#generator.maxWords);
      const length = pieces.length === 1 ? wanted : MAP_LENGTH * wanted;
      const words = parts.reduce((sum, part) => sum + wordCount(textOfChosen(part)), 0);
      const summaries: (readonly Chosen[])[] = [];
      for (const piece of pieces)
        summaries.push(await this.#summariseOnce(piece, Math.min(1, length / words), title));
      // A merge that comes to nothing leaves what it was to merge, and so does a piece.
      if (summaries.every((summary) => summary.length === 0)) return round === 0 ? [] : parts;
      const next = summaries.flatMap((summary, index) => (summary.length > 0 ? summary : pieces[index]!));
      const left = next.reduce((sum, part) => sum + wordCount(textOfChosen(part)), 0);
      if (pieces.length === 1 || left <= LENIENCE * wanted || left >= words) return next;
      parts = next;
    }
  }

  async #summariseOnce(parts: readonly Chosen[], share: number, title: string): Promise<Chosen[]> {
    const text = textOf(parts.map(({ unit, text }) => (text === undefined ? unit : { ...unit, text })));
    const words = Math.max(FEWEST_WORDS, Math.round(share * wordCount(text)));
    const summary = await this.#generate({ query: this.#query, title, text, words });
    this.#signal.throwIfAborted();
    const guard = new SummaryGuard(parts.map(({ unit }) => unit.text));
    const chosen = new Map<number, Chosen>();
    const said = new Set<string>();
    let length = 0;
    let isSupported = false;
    for (const sentence of sentencesOf(summary)) {
      await this.#context.breathe();
      const key = indexTerms(sentence).terms.join(' ');
      if (said.has(key)) continue;
      said.add(key);
      length += wordCount(sentence);
      if (chosen.size > 0 && length > LENIENCE * words) break;
      const { source, fault } = guard.verdict(sentence);
      if (source === undefined) continue;
      isSupported ||= fault === undefined;
      const { unit } = parts[source]!;
      const known = chosen.get(source);
      if (fault !== undefined) chosen.set(source, { unit, fault });
      else if (known) continue;
      // As long in other words as in its own: then in its own.
      else if (this.#context.counter.count(sentence) >= unit.tokens) chosen.set(source, { unit });
      else chosen.set(source, { unit, text: sentence });
    }
    // A summary of which nothing is true does not tell what to keep either.
    return isSupported ? [...chosen].sort(([a], [b]) => a - b).map(([, each]) => each) : [];
  }

  async #generate(task: Parameters<SummaryGenerator['generate']>[0]): Promise<Summary> {
    const { model } = this.#generator;
    const key = createHash('sha256')
      .update(JSON.stringify([model, task.query, task.title, task.words, task.text]))
      .digest('base64');
    const known = this.#cache?.get(key);
    if (known) return known;
    const summary = await before(this.#signal, this.#generator.generate(task, this.#signal));
    if (typeof (summary as Partial<Summary> | undefined)?.text !== 'string')
      throw new TypeError('it gave no text');
    this.#cache?.set(key, summary);
    return summary;
  }
}

/** Parts in order, as many together as have so many words at most, one at least. */
function inPieces(parts: readonly Chosen[], maxWords: number): Chosen[][] {
  const pieces: Chosen[][] = [];
  let room = 0;
  for (const part of parts) {
    const words = wordCount(textOfChosen(part));
    if (pieces.length === 0 || words > room) {
      pieces.push([]);
      room = maxWords;
    }
    pieces.at(-1)!.push(part);
    room -= words;
  }
  return pieces;
}

function textOfChosen({ unit, text }: Chosen): string {
  return text ?? unit.text;
}

/** A paragraph a line. */
function textOf(units: readonly Unit[]): string {
  return units
    .map((unit, index) => {
      const previous = units[index - 1];
      const gap = previous?.block === unit.block ? gapBetween(previous, unit) || ' ' : '\n';
      return (index === 0 ? '' : gap) + unit.text.replace(/\s+/g, ' ');
    })
    .join('');
}

/** In scripts without spaces two characters count as a word. */
function wordCount(text: string): number {
  return indexTerms(text).terms.length;
}

/** What generators put around their sentences. */
const DECORATION =
  /^(?:[-*•>#]+|\d{1,2}[.)]|(?:here(?: is|'s) )?(?:the |a )?(?:short |brief )?(?:summary|zusammenfassung|résumé|resumen|riassunto)(?: of the text)?[:：])\s+/iu;

function sentencesOf({ text, isCut }: Summary): string[] {
  const sentences: string[] = [];
  for (const line of text.split(/\n+/)) {
    const bare = line.trim().replace(DECORATION, '').replaceAll('**', '').trim();
    const bounds = splitSentences(bare);
    for (let at = 0; at < bounds.length; at += 2)
      sentences.push(bare.slice(bounds[at], bounds[at + 1]).trim());
  }
  if (isCut && !/[\p{Sentence_Terminal}…]["'’”»)\]]*$/u.test(sentences.at(-1) ?? '')) sentences.pop();
  return sentences.filter((sentence) => /[\p{L}\p{N}]/u.test(sentence));
}

/** The state with chosen sentences in place of all that were summarised, and what became of each. */
function replaced(
  stage: string,
  model: string,
  state: State,
  written: ReadonlyMap<Passage, readonly Chosen[]>,
  { counter }: StageContext,
): { units: Unit[]; decisions: Decision[] } {
  const chosen = new Map([...written.values()].flat().map((each) => [each.unit, each]));
  const summarised = new Set([...written.keys()].flatMap(({ units }) => units));
  const units: Unit[] = [];
  const decisions: Decision[] = [];
  for (const unit of state.units) {
    if (!summarised.has(unit)) {
      units.push(unit);
      continue;
    }
    const decide = (action: Decision['action'], reason: string) =>
      decisions.push({
        document: state.documents[unit.document]!.id,
        action,
        stage,
        spans: unit.spans.map(({ start, end }) => ({ start, end })),
        ...(unit.score !== undefined && { score: unit.score }),
        reason,
      });
    const { text, fault } = chosen.get(unit) ?? {};
    if (text !== undefined) {
      const generated = generatedUnit(unit, text, counter.count(text));
      units.push(generated);
      decide('replaced', `${generated.tokens} tokens by ${model} for its ${unit.tokens}`);
    } else if (chosen.has(unit)) {
      units.push(unit);
      decide('kept', fault === undefined ? `kept by ${model}` : `in place of what ${model} wrote: ${fault}`);
    } else decide('dropped', `left out of the summary by ${model}`);
  }
  return { units, decisions };
}

function generatedUnit(unit: Unit, text: string, tokens: number): Unit {
  return {
    ...unit,
    whole: unit,
    kind: 'sentence',
    text,
    spans: unit.spans.map(({ start, end }) => ({ start, end, at: 0, length: 0 })),
    tokens,
    terms: indexTerms(text).terms,
    origin: 'generated',
  };
}

/** Aborted with the request, and when summaries have had their share of its time. */
function timeLimit({ signal, deadline }: StageContext): { signal: AbortSignal; clear: () => void } {
  if (deadline === Infinity) return { signal, clear: () => undefined };
  const controller = new AbortController();
  const timer = setTimeout(
    () => {
      controller.abort(new DOMException('its share of the time has passed', 'TimeoutError'));
    },
    Math.max(0, TIME_SHARE * (deadline - performance.now())),
  );
  return {
    signal: AbortSignal.any([signal, controller.signal]),
    clear: () => {
      clearTimeout(timer);
    },
  };
}

/** A generator that does not heed its signal is not waited for. */
function before<Value>(signal: AbortSignal, promise: Promise<Value>): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      reject(signal.reason as Error);
    };
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', abort);
    });
  });
}

function messageOf(reason: unknown): string {
  return reason instanceof Error ? reason.message : String(reason);
}

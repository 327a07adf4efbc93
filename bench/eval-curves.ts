import { fitBudget } from '../compressors/budget.js';
import type { CompressionRequest, Compressor, StageContext, State } from '../compressors/contract.js';
import type { LossCurves } from '../compressors/allot.js';
import { exit } from '../compressors/exit/exit.js';
import { htmlrag } from '../compressors/htmlrag/htmlrag.js';
import { createPipeline, type Pipeline } from '../compressors/pipeline.js';
import { render } from '../compressors/render.js';
import { decoderSummaries } from '../compressors/tcra/decoder-summaries.js';
import { dropWords } from '../compressors/tcra/drop-words.js';
import { summariseDocuments } from '../compressors/tcra/summarise-documents.js';
import { WordEncoder } from '../compressors/tcra/word-encoder.js';
import { zipfit } from '../compressors/zipfit/zipfit.js';
import { evidenceDocuments, type AskedDocuments } from './evidence-documents.js';
import { TCRA_SETS, type TcraSet } from './eval-tcra.js';
import { holdsAnswer } from './reader.js';

/** Shares of the tokens that are extracted. */
const EXTRACTED = [0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5];

/** Extracts of these shares are shortened. */
const SHORTENED = [0.1, 0.2];

/** Shares of their tokens that sentences are to keep when words are dropped. */
const WORDS_KEPT = [0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.6];

/** Share of its words that a summary is to have. */
const SUMMARIES_KEPT = 0.35;

/** A state whose sentences EXIT has scored, as the stages behind it are given it. */
export interface ScoredQuestion {
  readonly asked: AskedDocuments;
  readonly state: State;
  readonly context: StageContext;
}

/** What the stages of `balanced` make of questions, once each. */
export class Scoring {
  readonly #pipeline: Promise<Pipeline>;
  #state: State | undefined;
  #context: StageContext | undefined;

  constructor() {
    const capture: Compressor = {
      name: 'capture',
      compress: (state, context) => {
        this.#state = state;
        this.#context = context;
        return Promise.resolve(state);
      },
    };
    this.#pipeline = createPipeline({
      stages: [htmlrag(), zipfit(), exit(), capture],
      deadline: Infinity,
      cache: false,
      // One that shuts nothing out: the stages score, and drop by no threshold.
      budget: { ratio: 1 },
    });
  }

  async of(asked: AskedDocuments): Promise<ScoredQuestion> {
    const request: CompressionRequest = { query: asked.question, documents: asked.documents };
    await (await this.#pipeline).compress(request);
    return { asked, state: this.#state!, context: { ...this.#context!, budget: undefined } };
  }

  async close(): Promise<void> {
    await (await this.#pipeline).close();
  }
}

/** Questions with short answers of a set; every second one, so that what is chosen by these is measured on the others. */
export function halfOf(set: TcraSet, half: 'fitted' | 'held out', count = Infinity): AskedDocuments[] {
  return evidenceDocuments(set)
    .filter(({ answers }) => answers.length > 0)
    .filter((_, index) => index % 2 === (half === 'fitted' ? 0 : 1))
    .slice(0, count);
}

/** What is left of extracts that were shortened in one way, summed up by set. */
class Shortening {
  #before = 0;
  #after = 0;
  readonly #sets = new Map<TcraSet, { stood: number; lost: number }>();

  add(set: TcraSet, before: State, after: State, holds: (state: State) => boolean): void {
    this.#before += tokensOf(before);
    this.#after += tokensOf(after);
    const { stood, lost } = this.#sets.get(set) ?? { stood: 0, lost: 0 };
    this.#sets.set(set, { stood: stood + 1, lost: lost + Number(!holds(after)) });
  }

  /** Of the set that loses most: what is short in one kind of question is a clause in another. */
  get point(): { share: number; lost: number } {
    // None lost of few is no proof of none lost of all: half of one is taken to be.
    const shares = [...this.#sets.values()].map(({ stood, lost }) => (lost + 0.5) / (stood + 1));
    return { share: round(this.#after / this.#before), lost: round(Math.max(...shares)) };
  }
}

/**
 * Measures what extraction loses by the share of tokens kept, and what is lost when what was extracted is shortened.
 * @param count questions of each set
 * @param summaries questions of each set whose extracts are summarised, too, by the embedded decoder
 */
export async function measureCurves(
  count: number,
  summaries: number,
): Promise<LossCurves & { questions: number }> {
  const scoring = new Scoring();
  const encoder = await WordEncoder.load('fast');
  const generator = decoderSummaries();
  const answers = EXTRACTED.map(() => 0);
  const words = WORDS_KEPT.map(() => new Shortening());
  const summarised = new Shortening();
  let questions = 0;
  for (const set of TCRA_SETS) {
    for (const [index, asked] of halfOf(set, 'fitted', count).entries()) {
      const scored = await scoring.of(asked);
      const { state, context } = scored;
      const holds = ({ units }: Pick<State, 'units'>) =>
        holdsAnswer(render(state, units, 'markdown', context.counter).context, asked.answers);
      if (!holds(state)) continue;
      questions++;
      const total = tokensOf(state);
      for (const [at, share] of EXTRACTED.entries())
        answers[at]! += Number(holds(extracted(scored, share * total)));
      for (const share of SHORTENED) {
        const before = extracted(scored, share * total);
        if (!holds(before)) continue;
        for (const [at, ratio] of WORDS_KEPT.entries())
          words[at]!.add(
            set,
            before,
            await dropWords('tcra', encoder, { ratio, maxTokens: 6_144 }, before, context),
            holds,
          );
        if (index >= summaries) continue;
        const options = { ratio: SUMMARIES_KEPT, cache: undefined };
        summarised.add(
          set,
          before,
          await summariseDocuments('summarise', generator, options, before, context),
          holds,
        );
      }
    }
  }
  await Promise.all([scoring, encoder, generator].map(async (each) => each.close?.()));
  return {
    questions,
    extract: EXTRACTED.map((share, at) => ({ share, answers: round(answers[at]! / questions) })),
    treatments: {
      tcra: words.map(({ point }) => point).reverse(),
      summarise: summaries > 0 ? [summarised.point] : [],
    },
  };
}

/** What a budget keeps of scored sentences. */
export function extracted({ state, context }: ScoredQuestion, tokens: number): State {
  return { ...state, units: fitBudget(state, Math.floor(tokens), 'markdown', context.counter).units };
}

export function tokensOf({ units }: Pick<State, 'units'>): number {
  return units.reduce((sum, { tokens }) => sum + tokens, 0);
}

function round(value: number): number {
  return Math.round(10_000 * value) / 10_000;
}

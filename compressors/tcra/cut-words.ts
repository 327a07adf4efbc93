import type { Decision, StageContext, State, Unit } from '../contract.js';
import type { SentenceWord } from './sentence-words.js';
import { sourceSpans, withoutWords } from './without-words.js';

/** A sentence whose words have been weighed. */
export interface WeighedWords {
  /** Its place among the state's units. */
  readonly index: number;
  readonly unit: Unit;
  readonly words: readonly SentenceWord[];
  /** By word, how far the embedding moves without it, 0 to 2; NaN for one that stays. */
  readonly movements: readonly number[];
  /** By word, the tokens of what was embedded. */
  readonly tokens: readonly number[];
}

/** Of the words of a sentence no more than this share goes: it is to be read. */
const LARGEST_SHARE = 0.5;

/** A word that may go. */
interface Candidate {
  readonly sentence: WeighedWords;
  readonly word: number;
  readonly weight: number;
}

/**
 * Drops words, those that weigh least first, until `wanted` tokens are saved or none is left that may go.
 * @returns all units of the state, and a decision for each word that went
 */
export async function cutWords(
  stage: string,
  state: State,
  sentences: readonly WeighedWords[],
  wanted: number,
  context: StageContext,
): Promise<{ units: readonly Unit[]; decisions: Decision[] }> {
  const candidates = lightestFirst(sentences);
  const dropped = new Map<WeighedWords, Set<number>>();
  const units = [...state.units];
  let saved = 0;
  for (let next = 0; saved < wanted && next < candidates.length;) {
    const changed = new Set<WeighedWords>();
    // What the words cost by themselves is not always what the sentence costs less without them: it is counted again.
    for (let expected = 0; next < candidates.length && saved + expected < wanted; next++) {
      const { sentence, word } = candidates[next]!;
      const gone = dropped.get(sentence) ?? new Set<number>();
      if (gone.size + 1 > LARGEST_SHARE * sentence.words.length) continue;
      dropped.set(sentence, gone.add(word));
      changed.add(sentence);
      expected += context.counter.count(` ${sentence.words[word]!.text}`);
      if (next % 64 === 0) await context.breathe();
    }
    for (const sentence of changed) {
      const { index, unit, words } = sentence;
      const cut = { ...withoutWords(unit, words, dropped.get(sentence)!, context.counter), whole: unit };
      saved += units[index]!.tokens - cut.tokens;
      units[index] = cut;
      await context.breathe();
    }
  }
  return { units, decisions: decisionsOn(stage, state, dropped) };
}

/** How much more a word of a better sentence weighs; of 1, 2 and 4 the best on answers that stand in what is left (dev). */
const WORTH_EXPONENT = 4;

/** Scores below this share of the best are all alike: their sentences say next to nothing of the query. */
const LEAST_SCORE = 0.001;

/**
 * A word that moves a sentence of n tokens by m moves a text of N by m · (n / N)², as a mean of token states does: so words
 * of long sentences and short ones compare by m · n². What a sentence is worth to the query comes on top, where a stage
 * has said it: the answer is more likely to stand in the best.
 */
function lightestFirst(sentences: readonly WeighedWords[]): Candidate[] {
  const best = sentences.reduce((most, { unit }) => Math.max(most, unit.score ?? 0), 0);
  const worthOf = ({ score }: Unit) =>
    score === undefined || best === 0 ? 1 : Math.max(LEAST_SCORE, score / best) ** WORTH_EXPONENT;
  return sentences
    .flatMap((sentence) =>
      sentence.movements.flatMap((movement, word) => {
        if (Number.isNaN(movement)) return [];
        const weight = movement * sentence.tokens[word]! ** 2 * worthOf(sentence.unit);
        return [{ sentence, word, weight }];
      }),
    )
    .sort((a, b) => a.weight - b.weight || a.sentence.index - b.sentence.index || a.word - b.word);
}

function decisionsOn(
  stage: string,
  { documents }: State,
  dropped: ReadonlyMap<WeighedWords, ReadonlySet<number>>,
): Decision[] {
  const sentences = [...dropped].sort(([a], [b]) => a.index - b.index);
  return sentences.flatMap(([{ unit, words, movements }, gone]) =>
    [...gone]
      .sort((a, b) => a - b)
      .map((word) => ({
        document: documents[unit.document]!.id,
        action: 'dropped',
        stage,
        spans: sourceSpans(unit, words[word]!),
        score: movements[word]!,
        reason: `its absence moves its sentence by ${movements[word]!.toPrecision(2)}`,
      })),
  );
}

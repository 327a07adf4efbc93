import {
  TransformersSeq2seq,
  type TransformersSeq2seqOptions,
} from '../../models/seq2seq/transformers-seq2seq.js';
import type { SummaryGenerator } from './summary-generator.js';

export interface Seq2seqSummariesOptions extends TransformersSeq2seqOptions {
  /**
   * What the model is given; `{query}`, `{title}`, `{text}` and `{words}` are filled in. Default `{text}`, which suits
   * models of summaries alone. T5 takes `summarize: {text}`, one that follows instructions `Summarise what has to do with
   * "{query}": {text}`.
   */
  readonly prompt?: string;
}

/** What such models read is mostly 512 tokens or 1,024. */
const MAX_WORDS = 300;

const TOKENS_A_WORD = 2;

/**
 * Summaries by a model of text to text that Transformers.js runs: T5, BART, Pegasus by the name that they have on the hub.
 * @throws ConfigurationError
 */
export function seq2seqSummaries({
  prompt = '{text}',
  ...options
}: Seq2seqSummariesOptions): SummaryGenerator {
  const model = new TransformersSeq2seq(options);
  return {
    model: `${model.model}, ${JSON.stringify(prompt)}`,
    maxWords: MAX_WORDS,
    open: () => model.open(),
    generate(task, signal) {
      const text = prompt.replace(/\{(query|title|text|words)\}/g, (_, name: keyof typeof task) =>
        String(task[name]),
      );
      return model.generate(text, { maxTokens: TOKENS_A_WORD * task.words, signal });
    },
    close: () => model.close(),
  };
}

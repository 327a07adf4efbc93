import { RunnableLambda, type Runnable, type RunnableConfig } from '@langchain/core/runnables';
import type { ChatMessage } from '../../models/decoder/generation.js';
import { readerMessages } from '../../models/decoder/reader-prompt.js';
import { RagpressChatModel, type RagpressChatModelParams } from './ragpress-chat-model.js';

/** What `answerStep` takes, and `compressStep` gives: the context, and the question in one of two names. */
export type AnswerInput = { readonly context: string } & (
  { readonly question: string } | { readonly query: string }
);

export type AnswerOutput<Input> = Input & {
  /** `The documents do not say.` where the reader finds none in the context. */
  readonly answer: string;
};

/** The decoder that it loads is let go with `close`. */
export type AnswerStep<Input> = Runnable<Input, AnswerOutput<Input>> & { close(): Promise<void> };

/**
 * A step of a LangChain chain: adds to `{ question, context }` the `answer` of the embedded reader, asked as it was
 * trained to be. Streamed, the answer comes in pieces. It stops when the call's `signal` is aborted.
 *
 * @example
 * const chain = compressStep({ pipeline: { budget: { tokens: 800 } } }).pipe(answerStep());
 * const { answer } = await chain.invoke({ question, documents });
 * @throws ConfigurationError
 */
export function answerStep<Input extends AnswerInput = AnswerInput>(
  options: RagpressChatModelParams = {},
): AnswerStep<Input> {
  const model = new RagpressChatModel(options);
  async function* answer(input: Input, config: RunnableConfig): AsyncGenerator<Partial<AnswerOutput<Input>>> {
    const question = 'question' in input ? input.question : input.query;
    yield { ...input, answer: '' };
    const messages = readerMessages(question, input.context).map(
      ({ role, content }): [ChatMessage['role'], string] => [role, content],
    );
    for await (const { text } of await model.stream(messages, config))
      yield { answer: text } as Partial<AnswerOutput<Input>>;
  }
  // LangChain puts the pieces of a generator together; its types say so of a chain's functions alone.
  const step = RunnableLambda.from(answer) as unknown as Runnable<Input, AnswerOutput<Input>>;
  return Object.assign(step.withConfig({ runName: 'ragpress answer' }), { close: () => model.close() });
}

import type {
  DecoderInput,
  GenerateOptions,
  Generation,
  GenerationResult,
} from '../../../models/decoder/generation.js';
import type { TextGenerator } from '../../../middleware/lazy-decoder.js';

/** What a scripted generator was asked. */
export interface Asked {
  readonly input: DecoderInput;
  readonly options: GenerateOptions;
}

export interface ScriptedGenerator extends TextGenerator {
  readonly asked: Asked[];
}

/** Says what a script yields, one piece after another, where a model could not be made to. */
export function scriptedGenerator(
  script: (asked: Asked) => Iterable<string> | AsyncIterable<string>,
): ScriptedGenerator {
  const asked: Asked[] = [];
  return {
    model: 'scripted',
    asked,
    countTokens: () => Promise.resolve(3),
    generate: (input, options) => {
      const each = { input, options: options ?? {} };
      asked.push(each);
      return generation(script(each), options?.signal);
    },
  };
}

function generation(script: Iterable<string> | AsyncIterable<string>, signal?: AbortSignal): Generation {
  const pieces: string[] = [];
  let wake: () => void = () => undefined;
  const run = async (): Promise<GenerationResult> => {
    for await (const piece of script as AsyncIterable<string>) {
      signal?.throwIfAborted();
      pieces.push(piece);
      wake();
    }
    const text = pieces.join('');
    return {
      text,
      finishReason: 'stop',
      promptTokens: 3,
      completionTokens: pieces.length,
      milliseconds: { firstToken: 1, total: 2 },
    };
  };
  let over = false;
  const result = run().finally(() => {
    over = true;
    wake();
  });
  result.catch(() => undefined);
  return {
    result,
    promptTokens: Promise.resolve(3),
    async *[Symbol.asyncIterator](): AsyncGenerator<string, undefined> {
      for (let next = 0; ;) {
        if (next < pieces.length) yield pieces[next++]!;
        else if (over) break;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
      await result;
      return undefined;
    },
  };
}

import { Decoder, type DecoderOptions } from '../../models/decoder/decoder.js';
import type { SummaryGenerator, SummaryTask } from './summary-generator.js';

export interface DecoderSummariesOptions extends DecoderOptions {
  /** One that is loaded, in place of the options of one that is to be; it stays open. */
  readonly decoder?: Pick<Decoder, 'model' | 'generate'>;
}

/** A small model is shown what a summary is rather than told. */
const SHOWN = `Text: The Alder is a car ferry that was launched at Port Glasgow in 1987. She was built for the Harbour Line by Dunmore & Sons, who had built two ships for it before, and was named after a tree that grows by rivers. Her crew of twelve lives in the old port.
Question: who built the alder
Summary: The Alder was built for the Harbour Line by Dunmore & Sons.

Text: Kelp is a large brown seaweed of cold waters. Forests of it grow up to half a metre a day, as it takes its food from the water and not from the ground. It was burnt for soda ash until the nineteenth century, and is eaten in Japan and Korea.
Question: what was kelp used for
Summary: Kelp was burnt for soda ash until the nineteenth century, and is eaten in Japan and Korea.

`;

/** Of the prompt, for summaries that are kept. */
const VERSION = 1;

const MAX_WORDS = 600;

/** In English; other languages take more, and their summaries are cut, which is heeded. */
const TOKENS_A_WORD = 2;

/**
 * Summaries by a model of `ragpress/models`, loaded when first needed: `smollm2`, or another by its name or folder. The
 * embedded one was trained to answer in a word or two, which makes it a poor writer of summaries (README).
 */
export function decoderSummaries({ decoder, ...options }: DecoderSummariesOptions = {}): SummaryGenerator {
  let loading: Promise<Decoder> | undefined;
  const load = async () => {
    if (decoder) return decoder;
    const loaded = (loading ??= Decoder.load(options));
    try {
      return await loaded;
    } catch (error) {
      // It is tried again the next time.
      if (loading === loaded) loading = undefined;
      throw error;
    }
  };
  return {
    model: `${decoder?.model ?? options.folder ?? options.model ?? 'smollm2'}, prompt ${VERSION}`,
    maxWords: MAX_WORDS,
    async open() {
      await load();
    },
    async generate(task, signal) {
      const loaded = await load();
      const { text, finishReason } = await loaded.generate(
        { prompt: promptOf(task) },
        { maxTokens: TOKENS_A_WORD * task.words, stop: ['\n'], signal },
      ).result;
      return { text, isCut: finishReason === 'length' };
    },
    async close() {
      const closing = loading;
      loading = undefined;
      await (await closing?.catch(() => undefined))?.close();
    },
  };
}

/** A line each, which the text cannot leave. */
function promptOf({ query, title, text }: SummaryTask): string {
  const about = title === '' ? '' : `${title}: `;
  return `${SHOWN}Text: ${about}${text.replace(/\s+/g, ' ')}\nQuestion: ${query}\nSummary:`;
}

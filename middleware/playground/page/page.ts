import { readerMessages } from '../../../models/decoder/reader-prompt.js';
import type { ChatMessage } from '../../../models/decoder/generation.js';
import type { PieceReuse } from './kept-chunks.js';
import type { PageDecoder } from './page-decoder.js';

/** What is shown of an answer. */
interface Shown {
  readonly text: string;
  readonly promptTokens: number;
  /** Of the server, which tells only of the whole prompt, one. */
  readonly pieces: readonly Pick<PieceReuse, 'tokens' | 'reused' | 'repaired'>[];
  /** Undefined where the server did not tell. */
  readonly firstToken: number | undefined;
  readonly total: number;
}

const MAX_TOKENS = 64;

const status = element('status');
const documents = element('documents');
const question = element('question') as HTMLInputElement;
const ask = element('ask') as HTMLButtonElement;
const whole = element('whole') as HTMLInputElement;
const server = element('server') as HTMLInputElement;

let decoder: PageDecoder | undefined;

element('add').addEventListener('click', () => {
  const added = document.createElement('textarea');
  added.ariaLabel = 'Document';
  documents.append(added);
  added.focus();
});
element('shuffle').addEventListener('click', () => {
  // The first goes last, and each pair changes places: another order each time, and the same in every browser.
  const [first, ...rest] = [...documents.children];
  for (let i = 0; i + 1 < rest.length; i += 2) [rest[i], rest[i + 1]] = [rest[i + 1]!, rest[i]!];
  documents.replaceChildren(...rest, ...(first ? [first] : []));
});
element('forget').addEventListener('click', () => {
  decoder?.forget();
});
element('form').addEventListener('submit', (event) => {
  event.preventDefault();
  void answer();
});

try {
  const { PageDecoder } = await import('./page-decoder.js').catch((error: unknown) => {
    const message = 'its modules cannot be loaded; is onnxruntime-web installed beside ragpress?';
    throw new Error(message, { cause: error });
  });
  decoder = await PageDecoder.load(new URL('.', location.href), (bytes) => {
    status.textContent = `Loading weights: ${(bytes / 1e6).toFixed(0)} MB`;
  });
  status.textContent = `${decoder.name} on ${decoder.gpu}, in this browser`;
} catch (error) {
  leaveGpu(error);
}
ask.disabled = false;

async function answer(): Promise<void> {
  const texts = [...documents.querySelectorAll('textarea')].map(({ value }) => value.trim());
  const context = texts
    .filter((text) => text !== '')
    .map((text, i) => `[${i + 1}] ${text}`)
    .join('\n\n');
  const messages = readerMessages(question.value, context);
  const card = newCard(question.value);
  ask.disabled = true;
  try {
    card.show(decoder && !server.checked ? await onGpu(decoder, messages, card) : await onServer(messages));
  } catch (error) {
    card.fail((error as Error).message);
  }
  ask.disabled = false;
}

/** On the server where the GPU fails. */
async function onGpu(on: PageDecoder, messages: readonly ChatMessage[], card: Card): Promise<Shown> {
  try {
    const { milliseconds, ...rest } = await on.answer(messages, {
      whole: whole.checked,
      maxTokens: MAX_TOKENS,
      onText: card.add,
    });
    return { ...rest, ...milliseconds };
  } catch (error) {
    if (error instanceof RangeError) throw error;
    decoder = undefined;
    leaveGpu(error);
    return onServer(messages);
  }
}

interface Completion {
  readonly choices: readonly { readonly message: { readonly content: string } }[];
  readonly usage: {
    readonly prompt_tokens: number;
    readonly ragpress?: { readonly reused_tokens: number; readonly repaired_tokens: number };
  };
}

/** The documents as they are: what is compared is how they are read. */
async function onServer(messages: readonly ChatMessage[]): Promise<Shown> {
  const began = performance.now();
  const response = await fetch('../v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-ragpress-bypass': '1' },
    body: JSON.stringify({ messages, max_tokens: MAX_TOKENS }),
  });
  if (!response.ok) throw new Error(`the server answers ${response.status}: ${await response.text()}`);
  const { choices, usage } = (await response.json()) as Completion;
  const { reused_tokens: reused = 0, repaired_tokens: repaired = 0 } = usage.ragpress ?? {};
  return {
    text: choices[0]!.message.content,
    promptTokens: usage.prompt_tokens,
    pieces: [{ tokens: usage.prompt_tokens, reused, repaired }],
    firstToken: undefined,
    total: performance.now() - began,
  };
}

function leaveGpu(error: unknown): void {
  status.textContent = `Answers come from the server's CPU: ${(error as Error).message}`;
  server.checked = true;
  server.disabled = true;
}

interface Card {
  readonly add: (text: string) => void;
  readonly show: (answer: Shown) => void;
  readonly fail: (message: string) => void;
}

function newCard(asked: string): Card {
  const card = document.createElement('article');
  card.className = 'answer';
  const text = paragraph('text', '');
  card.append(paragraph('asked', asked), text);
  element('answers').prepend(card);
  return {
    add: (piece) => {
      text.textContent += piece;
    },
    show: (answer) => {
      text.textContent = answer.text;
      card.append(bar(answer), paragraph('figures', figures(answer)));
    },
    fail: (message) => {
      text.textContent = message;
      card.ariaInvalid = 'true';
    },
  };
}

/** The prompt from its beginning to its end. */
function bar({ pieces }: Shown): HTMLElement {
  const drawn = document.createElement('div');
  drawn.className = 'bar';
  for (const { tokens, reused, repaired } of pieces)
    for (const [className, count] of Object.entries({
      reused,
      repaired,
      computed: tokens - reused - repaired,
    })) {
      if (count === 0) continue;
      const part = document.createElement('i');
      part.className = className;
      part.style.flexGrow = String(count);
      part.title = `${count} tokens`;
      drawn.append(part);
    }
  return drawn;
}

function figures({ promptTokens, pieces, firstToken, total }: Shown): string {
  const sum = (of: 'reused' | 'repaired') => pieces.reduce((all, piece) => all + piece[of], 0);
  const [reused, repaired] = [sum('reused'), sum('repaired')];
  const when =
    firstToken === undefined
      ? `${seconds(total)} in all`
      : `first token after ${seconds(firstToken)}, ${seconds(total)} in all`;
  return `${promptTokens} tokens: ${reused} reused, ${repaired} repaired, ${promptTokens - reused - repaired} computed; ${when}`;
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(2)} s`;
}

function paragraph(className: string, text: string): HTMLElement {
  const made = document.createElement('p');
  made.className = className;
  made.textContent = text;
  return made;
}

function element(id: string): HTMLElement {
  return document.getElementById(id)!;
}

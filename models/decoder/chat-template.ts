import { Template } from '@huggingface/jinja';
import { ModelError } from '../model-error.js';
import type { Tokenizer } from '../tokenizer.js';
import type { ChatMessage, PlacedEmbeddings } from './generation.js';

/** A model's chat template: a conversation to tokens, up to where the model's turn begins. */
export class ChatTemplate {
  readonly #path: string;
  readonly #template: Template;
  readonly #tokenizer: Tokenizer;
  readonly #names: Readonly<Record<string, string>>;
  /** Undefined where the tokenizer has no special tokens. */
  readonly #special: RegExp | undefined;

  /**
   * @param names `bos_token` and `eos_token` as templates use them
   * @throws ModelError `unsupported` for a template that is none in Jinja
   */
  constructor(
    path: string,
    template: string | undefined,
    tokenizer: Tokenizer,
    names: Readonly<Record<string, string>>,
  ) {
    if (template === undefined)
      throw new ModelError(
        'unsupported',
        path,
        `${path} has no chat template: give it a prompt in place of messages`,
      );
    this.#path = path;
    this.#tokenizer = tokenizer;
    this.#names = names;
    this.#special = anyOf([...tokenizer.specialIds.keys()]);
    try {
      this.#template = new Template(template);
    } catch (error) {
      throw this.#fault(error);
    }
  }

  /**
   * What looks like a special token in a message is text: a document does not get to speak as the protocol.
   * @throws ModelError `unsupported` where the template refuses the messages
   */
  encode(messages: readonly ChatMessage[]): number[] {
    return this.encodeInPieces(messages, () => []).flat();
  }

  /**
   * The same around embeddings: what stands before the first, between two, and after the last.
   * @throws ModelError `unsupported` also where the template leaves a message out, or says it twice
   */
  encodeAround(messages: readonly ChatMessage[], { marker, rows }: PlacedEmbeddings): number[][] {
    const parts = messages.map(({ content }) => content.split(marker));
    const pieces = this.encodeInPieces(
      messages.map(({ role }, message) => ({ role, content: parts[message]!.join('') })),
      (_, message) => {
        let end = 0;
        return parts[message]!.slice(0, -1).map((part) => (end += part.length));
      },
    );
    if (pieces.length !== rows.length + 1)
      throw this.#fault(
        new Error(`of ${rows.length} embeddings it puts ${pieces.length - 1} into the prompt`),
      );
    return pieces;
  }

  /**
   * The same in pieces that are turned to tokens by themselves.
   * @param cutsOf where a message's content is cut, in code units, ascending
   * @returns a piece more than there are cuts, in order; some may be empty
   */
  encodeInPieces(
    messages: readonly ChatMessage[],
    cutsOf: (content: string, message: number) => readonly number[],
  ): number[][] {
    const pattern = this.#special;
    const [mark, cut] = unusedCharacters(messages.map(({ content }) => content).join(''));
    const marked = messages.map(({ role, content }, message) => {
      const parts: string[] = [];
      let start = 0;
      for (const end of [...cutsOf(content, message), content.length]) {
        const part = content.slice(start, end);
        parts.push(pattern ? part.replace(pattern, (name) => name[0]! + mark + name.slice(1)) : part);
        start = end;
      }
      return { role, content: parts.join(cut) };
    });
    let text: string;
    try {
      text = this.#template.render({ ...this.#names, messages: marked, add_generation_prompt: true });
    } catch (error) {
      throw this.#fault(error);
    }
    const pieces: number[][] = [[]];
    const add = (text: string) => {
      text.split(cut).forEach((part, i) => {
        if (i > 0) pieces.push([]);
        for (const id of this.#tokenizer.encode(part.replaceAll(mark, ''))) pieces.at(-1)!.push(id);
      });
    };
    let start = 0;
    if (pattern)
      for (const { 0: name, index } of text.matchAll(pattern)) {
        add(text.slice(start, index));
        pieces.at(-1)!.push(this.#tokenizer.specialIds.get(name)!);
        start = index + name.length;
      }
    add(text.slice(start));
    return pieces;
  }

  #fault(error: unknown): ModelError {
    return new ModelError(
      'unsupported',
      this.#path,
      `the chat template of ${this.#path} cannot be used: ${(error as Error).message}; give it a prompt in place of messages`,
      { cause: error },
    );
  }
}

/** As much of a checkpoint as a template is made from. */
interface TemplateSource {
  readonly path: string;
  readonly chatTemplate: string | undefined;
  readonly tokenizer: { readonly config: object };
}

/** @throws as the constructor */
export function chatTemplateOf(
  { path, chatTemplate, tokenizer: { config } }: TemplateSource,
  tokenizer: Tokenizer,
): ChatTemplate {
  const { bos_token, eos_token } = config as Record<string, unknown>;
  const names = Object.fromEntries(
    Object.entries({ bos_token, eos_token }).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  );
  return new ChatTemplate(path, chatTemplate, tokenizer, names);
}

/** The longest first: one may begin with another. */
function anyOf(names: string[]): RegExp | undefined {
  if (names.length === 0) return undefined;
  const longest = names.sort((a, b) => b.length - a.length);
  return new RegExp(longest.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|'), 'g');
}

/** Two of the private use area. */
function unusedCharacters(text: string): [string, string] {
  const unused: string[] = [];
  for (let code = 0xe000; unused.length < 2; code++)
    if (!text.includes(String.fromCharCode(code))) unused.push(String.fromCharCode(code));
  return unused as [string, string];
}

import { Template } from '@huggingface/jinja';
import { ModelError } from '../model-error.js';
import type { Tokenizer } from '../tokenizer.js';
import type { ChatMessage } from './generation.js';

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
    const pattern = this.#special;
    const mark = unusedCharacter(messages.map(({ content }) => content).join(''));
    const marked = messages.map(({ role, content }) => ({
      role,
      content: pattern ? content.replace(pattern, (name) => name[0]! + mark + name.slice(1)) : content,
    }));
    let text: string;
    try {
      text = this.#template.render({ ...this.#names, messages: marked, add_generation_prompt: true });
    } catch (error) {
      throw this.#fault(error);
    }
    const ids: number[] = [];
    const add = (part: string) => {
      for (const id of this.#tokenizer.encode(part.replaceAll(mark, ''))) ids.push(id);
    };
    let start = 0;
    if (pattern)
      for (const { 0: name, index } of text.matchAll(pattern)) {
        add(text.slice(start, index));
        ids.push(this.#tokenizer.specialIds.get(name)!);
        start = index + name.length;
      }
    add(text.slice(start));
    return ids;
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

/** The longest first: one may begin with another. */
function anyOf(names: string[]): RegExp | undefined {
  if (names.length === 0) return undefined;
  const longest = names.sort((a, b) => b.length - a.length);
  return new RegExp(longest.map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|'), 'g');
}

/** Of the private use area. */
function unusedCharacter(text: string): string {
  let code = 0xe000;
  while (text.includes(String.fromCharCode(code))) code++;
  return String.fromCharCode(code);
}

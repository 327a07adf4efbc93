import { detectFormat } from '../../compressors/detect-format.js';
import { documentText } from './document-text.js';
import { findContextElement } from './finders/context-element.js';
import { findDocuments } from './finders/documents.js';
import { findNumberedContexts } from './finders/numbered-contexts.js';
import { findRuledContext } from './finders/ruled-context.js';
import { findSources } from './finders/sources.js';
import { findStuffedContext } from './finders/stuffed-context.js';
import { trimPassage, wholeText, type Finder, type Passage } from './passage.js';
import { questionOf } from './question.js';
import type { JsonPath } from './splice-json.js';

/** How applications put documents into a text. The first that finds any has found them all. */
const FINDERS: readonly Finder[] = [
  findSources,
  findDocuments,
  findNumberedContexts,
  findRuledContext,
  findStuffedContext,
  findContextElement,
];

/** A string of a request that holds documents. */
export interface ContextText {
  readonly path: JsonPath;
  readonly text: string;
  readonly passages: readonly Passage[];
  /** Finds documents in another text of the same kind: this one's, once they are compressed. */
  readonly reread: (text: string) => Passage[];
}

/** Documents that are compressed together, for one question and under one budget: those of one message. */
export interface Context {
  readonly query: string;
  readonly texts: readonly ContextText[];
}

export interface FindOptions {
  /**
   * Which of the user's questions a context in a system message is compressed for: `first`, the one asked right after
   * it, which never changes as the conversation goes on, so that providers' prompt caches keep working; or `last`,
   * for applications that retrieve anew for each turn and put the result into the system message.
   */
  readonly systemQuestion: 'first' | 'last';
}

/** A question longer than this is one with a text pasted before it. */
const LONGEST_QUERY = 8_000;

/**
 * Finds the documents in a chat completion or responses request of OpenAI's form, or a messages request of Anthropic's,
 * and what is asked of them. A tool's result is read for the call that asked for it and the user's message before
 * that; any other context for the question of its own message.
 *
 * What is found in a message, and for which query, depends on no later turn: a context that was sent once is found,
 * and compressed, alike in every request that sends it again. Messages up to the last `cache_control` breakpoint are
 * left as they are.
 * @param body of the request, parsed; what is not recognised in it is passed over
 */
export function findContexts(body: unknown, { systemQuestion }: FindOptions): Context[] {
  if (!isObject(body)) return [];
  const messages = [
    // Anthropic's system prompt stands beside the messages.
    ...(body.system === undefined ? [] : [readMessage({ role: 'system' }, body.system, ['system'])]),
    ...listOf(body.messages).flatMap(readMessages),
    ...readInstructions(body),
    ...readInput(body.input),
  ];
  const cached = messages.findLastIndex((message) => message.isBreakpoint);
  const documents = cached < 0 ? documentsField(body.documents) : [];
  if (
    documents.length === 0 &&
    messages.every(({ contexts }, index) => index <= cached || contexts.length === 0)
  )
    return [];

  const queries = new Queries(messages, systemQuestion);
  const contexts = messages.map((message, index) => ({
    query: queries.of(index),
    texts: index > cached ? message.contexts : [],
  }));
  contexts.push({ query: queries.last, texts: documents });
  return contexts.filter(({ query, texts }) => query !== '' && texts.length > 0);
}

type Fields = Readonly<Record<string, unknown>>;

/** A message, or a part of one that is read for another question than the rest. */
interface Message {
  readonly role: string;
  readonly contexts: readonly ContextText[];
  readonly isBreakpoint: boolean;
  /** The message's text without its contexts. */
  question(): string;
  /** Each call's id and what it asks for: the function's name and the strings among its arguments. */
  calls(): [id: string, asked: string][];
  /** Of the call that a tool's message answers. */
  readonly callId: string;
}

/** Anthropic's results of tools are parts of a user's message, before what the user says. */
function readMessages(given: unknown, index: number): Message[] {
  const message = isObject(given) ? given : {};
  const path = ['messages', index, 'content'];
  const results = listOf(message.content).flatMap((part, at) => {
    if (!isObject(part) || part.type !== 'tool_result' || part.is_error === true) return [];
    const { content, tool_use_id } = part;
    return [readMessage({ role: 'tool', tool_call_id: tool_use_id }, content, [...path, at, 'content'])];
  });
  return [...results, readMessage(message, message.content, path)];
}

/** None where the request goes on from one that the provider keeps: the question they were first sent for is not here. */
function readInstructions({ instructions, previous_response_id, conversation }: Fields): Message[] {
  const isKept = (previous_response_id ?? conversation ?? null) !== null;
  return typeof instructions === 'string' && !isKept
    ? [readMessage({ role: 'system' }, instructions, ['instructions'])]
    : [];
}

/** A responses request's messages, calls of functions and their results. */
function readInput(input: unknown): Message[] {
  if (typeof input === 'string') return [readMessage({ role: 'user' }, input, ['input'])];
  return listOf(input).flatMap((item, index) => {
    if (!isObject(item)) return [];
    const { type, call_id, name, output } = item;
    const path = ['input', index];
    if (type === 'function_call_output' || type === 'custom_tool_call_output')
      return [readMessage({ role: 'tool', tool_call_id: call_id }, output, [...path, 'output'])];
    if (type === 'function_call' || type === 'custom_tool_call') {
      const call = { id: call_id, function: { name, arguments: item.arguments ?? item.input } };
      return [readMessage({ role: 'assistant', tool_calls: [call] }, undefined, path)];
    }
    // What else there is, as reasoning, is the model's own.
    const isMessage = type === undefined || type === 'message';
    return isMessage ? [readMessage(item, item.content, [...path, 'content'])] : [];
  });
}

function readMessage(message: Fields, content: unknown, path: JsonPath): Message {
  const role = typeof message.role === 'string' ? message.role : '';
  const texts = role === 'assistant' ? [] : textsOf(content, path, role);
  return {
    role,
    contexts: texts.filter(({ passages }) => passages.length > 0),
    isBreakpoint: hasBreakpoint({ ...message, content }),
    question: () =>
      texts
        .map(({ text, passages }) => questionOf(text, passages))
        .filter((question) => question !== '')
        .join('\n')
        .slice(-LONGEST_QUERY),
    calls: () => [...callsOf(message.tool_calls), ...toolUses(content)],
    callId: typeof message.tool_call_id === 'string' ? message.tool_call_id : '',
  };
}

/** The texts of a message's content: the content itself, or its parts that are texts and documents. */
function textsOf(content: unknown, path: JsonPath, role: string): ContextText[] {
  if (typeof content === 'string') return [{ path, text: content, ...readText(content, role) }];
  return listOf(content).flatMap((part, index) => {
    if (!isObject(part)) return [];
    const at = [...path, index];
    if (isText(part)) return [{ path: [...at, 'text'], text: part.text, ...readText(part.text, role) }];
    return documentsOf(part, at).map(({ path, text, ...named }) => ({
      path,
      text,
      ...readWhole(text, named),
    }));
  });
}

interface Named {
  readonly title?: string | undefined;
  readonly url?: string | undefined;
}

/**
 * The texts of Anthropic's blocks of type document and search_result. One that the model is to cite is left as it is:
 * citations are offsets in the document as the client has it.
 */
function documentsOf(
  part: Fields,
  path: JsonPath,
): ({ readonly path: JsonPath; readonly text: string } & Named)[] {
  if (isObject(part.citations) && part.citations.enabled === true) return [];
  const title = typeof part.title === 'string' ? part.title : undefined;
  const { source } = part;
  if (part.type === 'search_result') {
    const url = typeof source === 'string' ? source : undefined;
    return plainTexts(part.content, [...path, 'content']).map((text) => ({ ...text, title, url }));
  }
  if (part.type !== 'document' || !isObject(source)) return [];
  const name = source.type === 'text' ? 'data' : 'content';
  return plainTexts(source[name], [...path, 'source', name]).map((text) => ({ ...text, title }));
}

function plainTexts(content: unknown, path: JsonPath): { path: JsonPath; text: string }[] {
  if (typeof content === 'string') return [{ path, text: content }];
  return listOf(content).flatMap((part, index) =>
    isText(part) ? [{ path: [...path, index, 'text'], text: part.text }] : [],
  );
}

function isText(part: unknown): part is { readonly text: string } {
  return (
    isObject(part) && (part.type === 'text' || part.type === 'input_text') && typeof part.text === 'string'
  );
}

type Reading = Pick<ContextText, 'passages' | 'reread'>;

const NONE: Reading = { passages: [], reread: () => [] };

function readText(text: string, role: string): Reading {
  for (const find of FINDERS) {
    const reread = (given: string) => trimmed(given, find(given, role));
    const passages = reread(text);
    if (passages.length > 0) return { passages, reread };
  }
  return role === 'tool' && isProse(text) ? readWhole(text) : NONE;
}

function readWhole(text: string, named: Named = {}): Reading {
  const reread = (given: string) =>
    trimmed(given, [wholeText(given)]).map((passage) => ({ ...passage, ...named }));
  return { passages: reread(text), reread };
}

function trimmed(text: string, passages: readonly Passage[]): Passage[] {
  return passages.map((passage) => trimPassage(text, passage)).filter(({ inner }) => inner.end > inner.start);
}

/** JSON is for a program to parse, and code to be edited as it stands. */
function isProse(text: string): boolean {
  if (text.trim() === '' || /^\s*(?:\{|\[\s*[[{"])/.test(text)) return false;
  const format = detectFormat(text);
  return format !== 'json' && format !== 'code';
}

/** On the message, on a part of it, or inside a document or a tool's result. */
function hasBreakpoint(message: Fields): boolean {
  const partsOf = (whole: unknown) => (isObject(whole) ? listOf(whole.content) : []);
  const parts = partsOf(message);
  const inner = parts.flatMap((part) => [...partsOf(part), ...partsOf(isObject(part) && part.source)]);
  return [message, ...parts, ...inner].some((part) => isObject(part) && isObject(part.cache_control));
}

/** What each message of a conversation is compressed for. */
class Queries {
  /** The user's last question. */
  readonly last: string;
  readonly #messages: readonly Message[];
  readonly #systemQuestion: 'first' | 'last';
  readonly #own: readonly string[];
  readonly #previous: string[] = [];
  readonly #next: string[] = [];
  readonly #asked: string[] = [];

  constructor(messages: readonly Message[], systemQuestion: 'first' | 'last') {
    this.#messages = messages;
    this.#systemQuestion = systemQuestion;
    this.#own = messages.map((message) => (message.role === 'user' ? message.question() : ''));
    let previous = '';
    const calls = new Map<string, string>();
    for (const [index, message] of messages.entries()) {
      this.#previous.push(previous);
      previous = this.#own[index]! || previous;
      this.#asked.push(calls.get(message.callId) ?? '');
      for (const [id, asked] of message.calls()) calls.set(id, asked);
    }
    this.last = previous;
    let next = '';
    for (let index = messages.length - 1; index >= 0; index--) {
      this.#next[index] = next;
      // A question that is asked after the assistant has spoken is another one.
      next = messages[index]!.role === 'assistant' ? '' : this.#own[index]! || next;
    }
  }

  of(index: number): string {
    const { role } = this.#messages[index]!;
    if (role === 'tool') return `${this.#previous[index]!}\n${this.#asked[index]!}`.trim();
    if (role !== 'user' && this.#systemQuestion === 'last') return this.last;
    return this.#own[index]! || this.#next[index]! || this.#previous[index]!;
  }
}

function callsOf(calls: unknown): [id: string, asked: string][] {
  return listOf(calls).flatMap((call): [string, string][] => {
    if (!isObject(call) || typeof call.id !== 'string' || !isObject(call.function)) return [];
    const { name, arguments: given } = call.function;
    return [[call.id, askedBy(name, typeof given === 'string' ? parsedOrText(given) : undefined)]];
  });
}

/** Calls as Anthropic has them: parts of the assistant's message. */
function toolUses(content: unknown): [id: string, asked: string][] {
  return listOf(content).flatMap((part): [string, string][] =>
    isObject(part) && part.type === 'tool_use' && typeof part.id === 'string'
      ? [[part.id, askedBy(part.name, part.input)]]
      : [],
  );
}

function askedBy(name: unknown, input: unknown): string {
  return [name, ...stringsIn(input)]
    .filter((part) => typeof part === 'string')
    .join(' ')
    .slice(-LONGEST_QUERY);
}

function parsedOrText(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return json;
  }
}

function stringsIn(input: unknown): string[] {
  const strings: string[] = [];
  const pending: unknown[] = [input];
  while (pending.length > 0) {
    const value = pending.pop();
    if (typeof value === 'string') strings.push(value);
    else if (typeof value === 'object' && value !== null) {
      for (const child of Object.values(value).reverse() as unknown[]) pending.push(child);
    }
  }
  return strings;
}

/** The request's own `documents`, as Cohere and vLLM take them: strings, or objects with a text and a title. */
function documentsField(documents: unknown): ContextText[] {
  return listOf(documents).flatMap((document, index) => {
    const { path, text, title } = documentText(document, ['documents', index]);
    const reading = readWhole(text, { title });
    return reading.passages.length === 0 ? [] : [{ path, text, ...reading }];
  });
}

/** Empty where it is none. */
function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

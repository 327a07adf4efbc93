import type { Passage } from './passage.js';

/** Elements and labels in which applications put the user's question beside the context. */
const ELEMENT = /<(user_query|query|question)>([^<]{1,20000})<\/\1>/;
const LABEL = /^[ \t]*(?:(?:user )?(?:question|query)):[ \t]*/gim;
const ANSWER = /\n[ \t]*(?:helpful )?answer:[ \t]*$/i;
const CONTEXT_LABEL = /\n[ \t]*context:/i;
/** What ends a context and begins the question in the prompts of LlamaIndex and others. */
const PREAMBLE =
  /^(?:\s+|-{8,}|<\/[a-z_]{1,20}>|Given the (?:new )?context(?: information)?(?: and not prior knowledge)?, [^\n]{0,120}[:.](?=\n|$))+/i;
const LONGEST_PREAMBLE = 2_000;

/**
 * The user's own question in a text that may hold documents beside it.
 * @returns an empty string where there is none
 */
export function questionOf(text: string, passages: readonly Passage[]): string {
  const last = passages.at(-1);
  const before = text.slice(0, passages[0]?.outer.start ?? 0);
  const after = text.slice(last?.outer.end ?? 0);
  return marked(after) ?? marked(before) ?? (unmarked(after) || before.trim());
}

/** A question that is marked as one. */
function marked(text: string): string | undefined {
  const element = ELEMENT.exec(text);
  if (element) return element[2]!.trim();
  const label = [...text.matchAll(LABEL)].at(-1);
  if (!label) return undefined;
  const question = text.slice(label.index + label[0].length);
  const context = CONTEXT_LABEL.exec(question);
  return (context ? question.slice(0, context.index) : question.replace(ANSWER, '')).trim() || undefined;
}

function unmarked(text: string): string {
  const preamble = PREAMBLE.exec(text.slice(0, LONGEST_PREAMBLE));
  return text
    .slice(preamble?.[0].length ?? 0)
    .replace(ANSWER, '')
    .trim();
}

import type { Passage } from '../passage.js';

const INTRODUCTION = /Use the following pieces of (?:retrieved )?context to answer\s/i;
/** How far the instructions go on after their first words. */
const LONGEST_INSTRUCTIONS = 2_000;
const LABEL = /^[ \t]*context:[ \t]*\n?/im;
const RULE = /^[ \t]*-{10,}[ \t]*\n/m;
const QUESTION = /^[ \t]*question:/im;
const BLANK_LINE = /\n[ \t]*\n/;

/**
 * LangChain's stuffed prompts, which begin with `Use the following pieces of (retrieved) context to answer`: after a
 * `Context:` label, a rule of dashes or a blank line comes the context, as far as the last `Question:` or `Answer:`
 * line. In a system message without either, it goes to the end.
 */
export function findStuffedContext(text: string, role: string): Passage[] {
  const introduction = INTRODUCTION.exec(text);
  if (!introduction) return [];
  const from = introduction.index + introduction[0].length;
  const instructions = text.slice(from, from + LONGEST_INSTRUCTIONS);
  const opening = LABEL.exec(instructions) ?? RULE.exec(instructions) ?? BLANK_LINE.exec(instructions);
  if (!opening) return [];
  const start = from + opening.index + opening[0].length;
  const asked = QUESTION.test(instructions.slice(0, opening.index));
  const end = contextEnd(text, start, asked) ?? (role === 'user' ? undefined : text.length);
  if (end === undefined || text.slice(start, end).trim() === '') return [];
  const span = { start, end };
  return [{ outer: span, inner: span }];
}

/**
 * Where the lines `Question: …` and `… Answer:` begin that end the prompt.
 * @param asked whether the question stands before the context, so that one after it is a document's
 */
function contextEnd(text: string, start: number, asked: boolean): number | undefined {
  let question: number | undefined;
  let answer: number | undefined;
  for (const { index, 1: label } of text.slice(start).matchAll(/\n[ \t]*(question|(?:helpful )?answer):/gi)) {
    if (label!.toLowerCase() === 'question') question = start + index;
    else answer = start + index;
  }
  if (question !== undefined && !asked) return question;
  return answer !== undefined && text.indexOf(':', answer) === text.trimEnd().length - 1 ? answer : undefined;
}

import type { SummaryGenerator, SummaryTask } from 'ragpress';

/** A generator whose summaries a function writes, and what it was asked. */
export function generatorOf(
  write: (task: SummaryTask, signal: AbortSignal) => string | Promise<string>,
  { model = 'test', maxWords = 1_000 }: Partial<Pick<SummaryGenerator, 'model' | 'maxWords'>> = {},
): SummaryGenerator & { readonly tasks: SummaryTask[] } {
  const tasks: SummaryTask[] = [];
  return {
    model,
    maxWords,
    tasks,
    async generate(task, signal) {
      tasks.push(task);
      return { text: await write(task, signal) };
    },
  };
}

/** Each sentence of a text without what stands in brackets and behind a comma: shorter, and as true. */
export function shortened({ text }: SummaryTask): string {
  return text
    .split(/(?<=[.!?])\s+/)
    .map((sentence) => sentence.replace(/ ?\([^()]*\)/g, '').replace(/, (?:which|who)[^,.]*,?/g, ''))
    .join(' ');
}

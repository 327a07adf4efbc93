import type { Decision, Span, State, Unit } from '../contract.js';

/** Sentences that were not looked at, and why. */
export class LeftAlone {
  readonly #state: State;
  readonly #stage: string;
  readonly #spans = new Map<string, { document: number; reason: string; spans: Span[] }>();

  constructor(state: State, stage: string) {
    this.#state = state;
    this.#stage = stage;
  }

  add({ document, spans }: Unit, reason: string): void {
    const key = `${document} ${reason}`;
    let entry = this.#spans.get(key);
    if (!entry) this.#spans.set(key, (entry = { document, reason, spans: [] }));
    entry.spans.push(...spans.map(({ start, end }) => ({ start, end })));
  }

  decisions(): Decision[] {
    return [...this.#spans.values()].map(({ document, reason, spans }) => ({
      document: this.#state.documents[document]!.id,
      action: 'kept',
      stage: this.#stage,
      spans,
      reason: `left as it is: ${reason}`,
    }));
  }
}

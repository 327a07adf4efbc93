/** Tokens of a text, and for each whether it stands in a word of the query. */
export interface EncodedText {
  readonly ids: readonly number[];
  readonly kinds: readonly number[];
}

/** Sentences that are read together, under one title. */
export interface Section {
  readonly title: EncodedText;
  readonly sentences: readonly { readonly index: number; readonly text: EncodedText }[];
}

/** One input of the encoder. */
export interface Window {
  readonly ids: number[];
  readonly kinds: number[];
  /** By token: the index of its sentence, `-2 - section` for a title's, -1 for neither. */
  readonly owners: number[];
}

export interface WindowRules {
  /** Tokens of a window. */
  readonly tokens: number;
  /** Tokens of the query, and of a title, that are read. */
  readonly query: number;
  readonly title: number;
  readonly cls: number;
  readonly sep: number;
  readonly colon: number;
  /** Kinds of tokens; those of the query have one of their own. */
  readonly plain: number;
  readonly asked: number;
}

/**
 * `[CLS] query [SEP] title: sentences [SEP] title: sentences [SEP] …`. A section that fits into a window of its own is
 * not split; one that does not goes on in the next window, with its title and its last sentence again, so that no
 * sentence lacks the one before it. A sentence longer than a window is cut.
 * @param sections the likeliest first: those that share a window are read for each other
 */
export function windows(query: EncodedText, sections: readonly Section[], rules: WindowRules): Window[] {
  const head = [rules.cls, ...query.ids.slice(0, rules.query), rules.sep];
  const room = rules.tokens - head.length;
  const all: Window[] = [];
  let window: Window | undefined;
  const open = (): Window => {
    const opened = { ids: [...head], kinds: head.map(() => rules.asked), owners: head.map(() => -1) };
    all.push(opened);
    return opened;
  };
  for (const [at, { title, sentences }] of sections.entries()) {
    const titleLength = Math.min(title.ids.length, rules.title);
    const addTitle = (to: Window) => {
      add(to, title, titleLength, -2 - at);
      mark(to, rules.colon, rules.plain);
    };
    const longest = room - titleLength - 2;
    const lengths = sentences.map(({ text }) => Math.min(text.ids.length, longest));
    const whole = titleLength + 2 + lengths.reduce((sum, length) => sum + length, 0);
    const left = window ? rules.tokens - window.ids.length : 0;
    if (!window || (whole > left && (whole <= room || left < Math.floor(room / 3)))) window = open();
    addTitle(window);
    for (const [place, { index, text }] of sentences.entries()) {
      const length = lengths[place]!;
      if (length === 0) continue;
      if (window.ids.length + length + 1 > rules.tokens) {
        mark(window, rules.sep, rules.plain);
        window = open();
        addTitle(window);
        const previous = sentences[place - 1];
        const overlap = lengths[place - 1] ?? 0;
        if (previous && window.ids.length + overlap + length + 1 <= rules.tokens)
          add(window, previous.text, overlap, previous.index);
      }
      add(window, text, length, index);
    }
    mark(window, rules.sep, rules.plain);
  }
  return all;
}

function add({ ids, kinds, owners }: Window, text: EncodedText, length: number, owner: number): void {
  for (let at = 0; at < length; at++) {
    ids.push(text.ids[at]!);
    kinds.push(text.kinds[at]!);
    owners.push(owner);
  }
}

function mark({ ids, kinds, owners }: Window, id: number, kind: number): void {
  ids.push(id);
  kinds.push(kind);
  owners.push(-1);
}

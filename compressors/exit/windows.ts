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
  /** How many tokens of the query it begins with, from the second on. */
  readonly query: number;
}

export interface WindowRules {
  /** Tokens of a window. */
  readonly tokens: number;
  /** Tokens of the query, of a title, and of a pinned sentence with its title that are read. */
  readonly query: number;
  readonly title: number;
  readonly pin: number;
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
 * sentence lacks the one before it. A sentence longer than a window is cut. As `windows` in training/data.py has it.
 * @param sections the likeliest first: those that share a window are read for each other
 * @param pinned stands after the query in every window, and is not scored
 */
export function windows(
  query: EncodedText,
  sections: readonly Section[],
  rules: WindowRules,
  pinned?: EncodedText,
): Window[] {
  const head = windowHead(query, rules, pinned);
  const room = rules.tokens - head.ids.length;
  const all: Window[] = [];
  const open = (): Window => {
    const opened = { ...head, ids: [...head.ids], kinds: [...head.kinds], owners: [...head.owners] };
    all.push(opened);
    return opened;
  };
  let window: Window | undefined;
  for (const [at, { title, sentences }] of sections.entries()) {
    const titleLength = Math.min(title.ids.length, rules.title);
    const addTitle = (to: Window) => {
      add(to, title, titleLength, -2 - at);
      mark(to, rules.colon, rules.plain);
    };
    const longest = room - titleLength - 2;
    const pieces = sentences
      .filter(({ text }) => text.ids.length > 0)
      .map(({ index, text }) => ({ index, text, length: Math.min(text.ids.length, longest) }));
    const whole = titleLength + 2 + pieces.reduce((sum, { length }) => sum + length, 0);
    const left = window ? rules.tokens - window.ids.length : 0;
    if (!window || (whole > left && (whole <= room || left < Math.floor(room / 3)))) window = open();
    addTitle(window);
    for (const [place, { index, text, length }] of pieces.entries()) {
      if (window.ids.length + length + 1 > rules.tokens) {
        mark(window, rules.sep, rules.plain);
        window = open();
        addTitle(window);
        const previous = pieces[place - 1];
        if (previous && window.ids.length + previous.length + length + 1 <= rules.tokens)
          add(window, previous.text, previous.length, previous.index);
      }
      add(window, text, length, index);
    }
    mark(window, rules.sep, rules.plain);
  }
  return all;
}

function windowHead(query: EncodedText, rules: WindowRules, pinned: EncodedText | undefined): Window {
  const asked = query.ids.slice(0, rules.query);
  const ids = [rules.cls, ...asked, rules.sep];
  const kinds = ids.map(() => rules.asked);
  const head = { ids, kinds, owners: ids.map(() => -1), query: asked.length };
  if (pinned) {
    add(head, pinned, Math.min(pinned.ids.length, rules.pin), -1);
    mark(head, rules.sep, rules.plain);
  }
  return head;
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

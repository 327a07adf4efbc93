/** The state for the empty string. */
export const ROOT = 0;
const NONE = -1;

/** Beyond so many cells a table of all states and symbols gives way to one of the edges that there are. */
const DENSE_CELLS = 2 ** 20;

/**
 * The smallest automaton that accepts every suffix of a sequence (Blumer et al. 1985), and so walks along every
 * substring: at most 2n states and 3n edges, built and walked in time linear in the sequence.
 */
export class SuffixAutomaton {
  /** By state: length of its longest string. */
  readonly lengths: Int32Array;
  /** By state: the state of the longest suffix that occurs elsewhere too; -1 for the root. */
  readonly links: Int32Array;
  /** The states, shorter ones first: each comes after its link. */
  readonly order: Int32Array;
  /** The positions of the sequence, such that those where the strings of one state end stand side by side. */
  readonly ends: Int32Array;
  /** By state: the first of them in `ends`, and how many there are. */
  readonly firstEnd: Int32Array;
  readonly occurrences: Int32Array;
  readonly #edges: Edges;
  #count = 1;

  /** @param symbols below `alphabet` */
  constructor(symbols: Uint16Array, alphabet: number) {
    const capacity = 2 * symbols.length + 2;
    this.lengths = new Int32Array(capacity);
    this.links = new Int32Array(capacity);
    this.links[ROOT] = NONE;
    this.#edges =
      capacity * alphabet <= DENSE_CELLS ? new DenseEdges(capacity, alphabet) : new HashedEdges(3 * capacity);
    this.occurrences = new Int32Array(capacity);
    const prefixStates = new Int32Array(symbols.length);
    let last = ROOT;
    for (let at = 0; at < symbols.length; at++) {
      last = this.#extend(last, symbols[at]!);
      prefixStates[at] = last;
      this.occurrences[last] = 1;
    }

    this.order = this.#byLength(symbols.length);
    for (let i = this.order.length - 1; i > 0; i--) {
      const state = this.order[i]!;
      this.occurrences[this.links[state]!]! += this.occurrences[state]!;
    }
    // A state's ends are its own, if it is a prefix, and those of the states that link to it: from the root down each
    // takes its share of its link's.
    this.firstEnd = new Int32Array(capacity);
    const nextFree = new Int32Array(capacity);
    for (const state of this.order) {
      if (state !== ROOT) {
        const link = this.links[state]!;
        this.firstEnd[state] = nextFree[link]!;
        nextFree[link]! += this.occurrences[state]!;
      }
      nextFree[state] = this.firstEnd[state]!;
    }
    this.ends = new Int32Array(symbols.length);
    for (let at = 0; at < symbols.length; at++) this.ends[nextFree[prefixStates[at]!]!] = at;
  }

  /** The state after one more symbol, or ROOT where the sequence does not go on so anywhere. */
  next(state: number, symbol: number): number {
    return this.#edges.get(state, symbol);
  }

  #extend(last: number, symbol: number): number {
    const edges = this.#edges;
    const { lengths, links } = this;
    const added = this.#count++;
    lengths[added] = lengths[last]! + 1;
    let at = last;
    for (; at !== NONE && edges.get(at, symbol) === ROOT; at = links[at]!) edges.set(at, symbol, added);
    if (at === NONE) {
      links[added] = ROOT;
      return added;
    }
    const reached = edges.get(at, symbol);
    if (lengths[reached] === lengths[at]! + 1) {
      links[added] = reached;
      return added;
    }
    const clone = this.#count++;
    lengths[clone] = lengths[at]! + 1;
    links[clone] = links[reached]!;
    edges.copy(reached, clone);
    links[reached] = clone;
    links[added] = clone;
    for (; at !== NONE && edges.get(at, symbol) === reached; at = links[at]!) edges.set(at, symbol, clone);
    return added;
  }

  #byLength(longest: number): Int32Array {
    const starts = new Int32Array(longest + 2);
    for (let state = 0; state < this.#count; state++) starts[this.lengths[state]! + 1]!++;
    for (let length = 1; length < starts.length; length++) starts[length]! += starts[length - 1]!;
    const order = new Int32Array(this.#count);
    for (let state = 0; state < this.#count; state++) order[starts[this.lengths[state]!]!++] = state;
    return order;
  }
}

interface Edges {
  get(state: number, symbol: number): number;
  set(state: number, symbol: number, to: number): void;
  copy(from: number, to: number): void;
}

class DenseEdges implements Edges {
  readonly #alphabet: number;
  readonly #cells: Uint16Array | Int32Array;

  constructor(states: number, alphabet: number) {
    this.#alphabet = alphabet;
    // Filled with zeros, which is no state that an edge leads to.
    this.#cells = states < 0x10000 ? new Uint16Array(states * alphabet) : new Int32Array(states * alphabet);
  }

  get(state: number, symbol: number): number {
    return this.#cells[state * this.#alphabet + symbol]!;
  }

  set(state: number, symbol: number, to: number): void {
    this.#cells[state * this.#alphabet + symbol] = to;
  }

  copy(from: number, to: number): void {
    this.#cells.copyWithin(to * this.#alphabet, from * this.#alphabet, (from + 1) * this.#alphabet);
  }
}

/** One open-addressed table of state, symbol and next state. */
class HashedEdges implements Edges {
  readonly #cells: Int32Array;
  readonly #mask: number;
  readonly #symbols = new Map<number, number[]>();

  constructor(edges: number) {
    const size = 2 ** Math.ceil(Math.log2(edges) + 0.5);
    this.#mask = size - 1;
    this.#cells = new Int32Array(3 * size);
  }

  get(state: number, symbol: number): number {
    return this.#cells[this.#slot(state, symbol) + 2]!;
  }

  set(state: number, symbol: number, to: number): void {
    const slot = this.#slot(state, symbol);
    if (this.#cells[slot + 2] === ROOT) {
      const symbols = this.#symbols.get(state);
      if (symbols) symbols.push(symbol);
      else this.#symbols.set(state, [symbol]);
    }
    this.#cells[slot] = state;
    this.#cells[slot + 1] = symbol;
    this.#cells[slot + 2] = to;
  }

  copy(from: number, to: number): void {
    for (const symbol of this.#symbols.get(from) ?? []) this.set(to, symbol, this.get(from, symbol));
  }

  #slot(state: number, symbol: number): number {
    const cells = this.#cells;
    let hash = Math.imul(state, 0x9e3779b1) ^ Math.imul(symbol, 0x85ebca6b);
    hash ^= hash >>> 15;
    for (let index = hash & this.#mask; ; index = (index + 1) & this.#mask) {
      const slot = 3 * index;
      if (cells[slot + 2] === ROOT || (cells[slot] === state && cells[slot + 1] === symbol)) return slot;
    }
  }
}

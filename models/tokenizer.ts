import * as library from '@huggingface/tokenizers';

export interface EncodeOptions {
  /** No more tokens than this are made, and no more than 64 code units of the text for each are read. Default all. */
  readonly limit?: number;
}

/** Ids of the tokens by which a model tells the parts of its input apart; undefined where it has no such token. */
export interface SpecialTokens {
  /** Begins an input: `[CLS]`, `<s>`. */
  readonly CLS: number | undefined;
  /** Ends a part: `[SEP]`, `</s>`. */
  readonly SEP: number | undefined;
  readonly PAD: number | undefined;
  readonly UNK: number | undefined;
}

/** Text that takes more code units a token is padding or no language. */
const UNITS_A_TOKEN = 64;
/** Code units that are handed to the library at once; longer text is cut where white space begins. */
const PIECE = 4_096;

const SPELLINGS: Readonly<Record<keyof SpecialTokens, readonly string[]>> = {
  CLS: ['[CLS]', '<s>', '<cls>'],
  SEP: ['[SEP]', '</s>', '<sep>'],
  PAD: ['[PAD]', '<pad>'],
  UNK: ['[UNK]', '<unk>'],
};

interface LibraryTokenizer {
  encode(
    text: string,
    options: { readonly add_special_tokens: boolean },
  ): { readonly ids: readonly number[] };
  decode(ids: readonly number[], options: { readonly clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
}

// The library's own types import without file extensions, which does not resolve here.
const LibraryTokenizer = library.Tokenizer as new (json: object, config: object) => LibraryTokenizer;

interface TokenizerJson {
  readonly added_tokens?: readonly {
    readonly id: number;
    readonly content: string;
    readonly special?: boolean;
  }[];
}

/** Text to token ids by a model's `tokenizer.json`, without special tokens. */
export class Tokenizer {
  readonly #tokenizer: LibraryTokenizer;
  readonly special: SpecialTokens;
  /** Ids of all special tokens by how they are written. */
  readonly specialIds: ReadonlyMap<string, number>;
  readonly #special: ReadonlySet<number>;

  /**
   * @param json what `tokenizer.json` holds
   * @param config what `tokenizer_config.json` holds
   * @throws Error for what is no tokenizer
   */
  constructor(json: TokenizerJson, config: object) {
    const added = json.added_tokens ?? [];
    this.specialIds = new Map(
      added.filter(({ special }) => special === true).map(({ content, id }) => [content, id]),
    );
    this.#special = new Set(this.specialIds.values());
    // What looks like a special token is text: a document does not get to speak as the protocol.
    this.#tokenizer = new LibraryTokenizer(
      { ...json, added_tokens: added.filter(({ special }) => special !== true) },
      config,
    );
    const idOf = (name: keyof SpecialTokens) =>
      SPELLINGS[name]
        .map(
          (spelling) =>
            added.find(({ content }) => content === spelling)?.id ?? this.#tokenizer.token_to_id(spelling),
        )
        .find((id) => id !== undefined);
    this.special = { CLS: idOf('CLS'), SEP: idOf('SEP'), PAD: idOf('PAD'), UNK: idOf('UNK') };
  }

  /** Text of tokens; special ones are left out. Where it ends inside a character, that is U+FFFD. */
  decode(ids: readonly number[]): string {
    const plain = ids.filter((id) => !this.#special.has(id));
    // The library refuses none.
    return plain.length === 0 ? '' : this.#tokenizer.decode(plain, { clean_up_tokenization_spaces: false });
  }

  /**
   * Token ids of a text. Its time grows with the text's length, whatever is in it. Lone surrogates are what the model's
   * normaliser makes of them: BERT's drops them. Text of more than 4,096 code units is read in pieces that begin at white
   * space, which changes nothing for tokenizers that split there; a run of that length without any is cut.
   */
  encode(text: string, { limit = Infinity }: EncodeOptions = {}): number[] {
    const ids: number[] = [];
    const read = Math.min(text.length, limit * UNITS_A_TOKEN);
    for (let start = 0; start < read && ids.length < limit;) {
      const end = pieceEnd(text, start);
      for (const id of this.#tokenizer.encode(text.slice(start, end), { add_special_tokens: false }).ids)
        ids.push(id);
      start = end;
    }
    if (ids.length > limit) ids.length = limit;
    return ids;
  }
}

function pieceEnd(text: string, start: number): number {
  const limit = start + PIECE;
  if (limit >= text.length) return text.length;
  for (let end = limit; end > start; end--) if (/\s/.test(text[end]!)) return end;
  return isLowSurrogate(text, limit) ? limit - 1 : limit;
}

function isLowSurrogate(text: string, at: number): boolean {
  const code = text.charCodeAt(at);
  return code >= 0xdc00 && code <= 0xdfff;
}

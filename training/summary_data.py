"""What summaries are learnt from: extracts of the train rows and the shortened evidence in them, by rules alone, in the
prompt that `summarise` sends (compressors/tcra/decoder-summaries.ts)."""

import random
import re
import unicodedata
from dataclasses import dataclass
from functools import cache

from data import ROOT, query_terms
from reader_data import Row, rows
from tokenizers import Tokenizer

SHARES = {"nq": 0.45, "qed": 0.25, "hotpot": 0.15, "hotpot-answer": 0.15}
FEWEST_WORDS, RATIO, TOKENS_A_WORD = 8, 0.35, 2  # summarise's, and decoder-summaries.ts's
EXTRACT_WORDS = (28, 130)
NEIGHBOURS = 3  # sentences beside the evidence at most: many extracts are of one or two
BESIDE = 0.25  # of the extracts: of a document that does not answer

# Openers of what a sentence says by the way, behind a comma.
ASIDE = re.compile(
    r"(?:(?:in|on|at|to|for|of|with|from|by|through) )?(?:who|which|where|whose|whom)\b|(?:when|while|although|though|because"
    r"|since|as|but|after|before|including|such as|known as|called|named|with|especially|particularly|however|also|then"
    r"|followed by|along with|together with|a|an|the|one of|part of|\w+ing|\w{2,}(?:ed|wn|en) (?:by|in|on|at|to|from|as|for))\b"
)  # fmt: skip
# And before the first.
LEAD = re.compile(
    r"(?:In|On|At|After|Before|During|Since|By|For|From|As|Following|Although|Though|While|However|Additionally|Moreover|Later|Then"
    r"|Thus|Therefore|When|Because|According to|Due to|With|Today|Currently|Originally|Initially|Historically)\b"
)  # fmt: skip
NEGATION = re.compile(r"\b(?:no|not|never|none|nor|neither|without|cannot|except|only)\b|n['’]t\b", re.I)


@dataclass
class Example:
    prompt: str  # behind what is shown
    summary: str


@cache
def shown() -> str:
    """The examples before each text, as the TypeScript has them."""
    source = (ROOT / "compressors/tcra/decoder-summaries.ts").read_text(encoding="utf8")
    return re.search(r"const SHOWN = `(.*?)`;", source, re.S)[1]


def query_class(query: str) -> str:
    """compressors/tcra/query-class.ts"""
    return " ".join(re.findall(r"[^\W_]+(?:['’.,-][^\W_]+)*", unicodedata.normalize("NFKC", query).lower()))


def prompt_of(query: str, title: str, text: str) -> str:
    about = f"{title}: " if title else ""
    return f"Text: {about}{' '.join(text.split())}\nQuestion: {query_class(query)}\nSummary:"


def shortened(sentence: str, answers: list[str], terms: set[str], limit: int) -> str:
    """Without asides that hold no answer: those without the question's terms always, others until it has `limit` words."""
    holds = lambda text: any(answer.lower() in text.lower() for answer in answers)  # noqa: E731
    keeps = lambda text: holds(text) or NEGATION.search(text)  # noqa: E731
    bare = re.sub(r"\s*\([^()]*\)|\s*\[[^\[\]]*\]", lambda m: m[0] if keeps(m[0]) else "", sentence)
    pieces: list[str] = []
    for piece in re.split(r"(?<=[,;])\s+", bare):
        # A year of a date, the country of a town, and what follows in a list are no pieces of their own.
        if pieces and re.match(r"(?:\d|(?:and|or)\b|[A-Z][\w.]*(?: [A-Z][\w.]*)?,?$)", piece):
            pieces[-1] += f" {piece}"
        else:
            pieces.append(piece)
    length = lambda: len(" ".join(pieces).split())  # noqa: E731
    asked = lambda text: len(terms & set(query_terms(text)))  # noqa: E731

    def drops() -> list[tuple[int, int, int]]:
        """By the fewest terms asked for, the longest first: where to cut, and to which piece."""
        out = []
        for i, piece in enumerate(pieces):
            rest = pieces[i + 1 :]
            if i == 0:
                if rest and LEAD.match(piece) and not keeps(piece) and not ASIDE.match(rest[0]):
                    out.append((asked(piece), -len(piece), 0, 1))
            elif i == 1 and LEAD.match(pieces[0]) and not pieces[0].endswith(";"):
                continue  # the sentence itself
            elif ASIDE.match(piece) or pieces[i - 1].endswith(";"):
                tail = " ".join(pieces[i:])
                if not keeps(tail) and len(" ".join(pieces[:i]).split()) >= 5:
                    out.append((asked(tail), -len(tail), i, len(pieces)))
                if rest and not keeps(piece) and not re.match(r"and\b|or\b", rest[0]):
                    out.append((asked(piece), -len(piece), i, i + 1))
        return sorted(out)

    while (found := drops()) and (found[0][0] == 0 or length() > limit):
        _, _, start, end = found[0]
        del pieces[start:end]
        if start == 0:
            pieces[0] = pieces[0][0].upper() + pieces[0][1:]
        elif start == len(pieces):
            pieces[-1] = pieces[-1].rstrip(",; ") + "."
        elif not ASIDE.match(pieces[start]):
            pieces[start - 1] = pieces[start - 1].rstrip(",")
    return " ".join(pieces)


def example(row: Row, rng: random.Random) -> Example | None:
    """An extract of a document of a question; nothing where its summary would not fit."""
    q = row.question
    scores, terms = q.bm25, set(query_terms(q.text))
    is_beside = rng.random() < BESIDE
    gold = set(row.gold)
    documents = [d for d in range(len(q.titles)) if (d in gold) != is_beside]
    if not documents:
        return None
    best = lambda d: max(scores[i] for i in range(len(scores)) if q.document[i] == d)  # noqa: E731
    document = rng.choice(sorted(documents, key=best, reverse=True)[:3])
    places = [i for i, d in enumerate(q.document) if d == document]
    telling = [i for i in places if q.evidence[i]] or [max(places, key=lambda i: scores[i])]
    # Where several sentences answer, the one that says most of what was asked.
    answering = [i for i in telling if any(answer.lower() in q.sentences[i].lower() for answer in row.answers)]
    wanted = {max(answering or telling, key=lambda i: scores[i])}
    near = [i for i in places if min(abs(i - t) for t in telling) <= 2 or scores[i] > 0]
    others = [i for i in near if i not in telling]
    keep = {*telling, *rng.sample(others, min(len(others), rng.randint(0, NEIGHBOURS)))}
    text = " ".join(q.sentences[i].strip() for i in sorted(keep))
    words = len(text.split())
    if not EXTRACT_WORDS[0] <= words <= EXTRACT_WORDS[1]:
        return None
    limit = max(FEWEST_WORDS, round(RATIO * words))
    summary = " ".join(shortened(q.sentences[i].strip(), row.answers, terms, limit) for i in sorted(wanted))
    # A summary that would be cut, or that leaves nearly all, is none to learn from.
    if len(summary.split()) > 1.3 * limit or len(summary.split()) < 5:
        return None
    return Example(prompt_of(q.text, q.titles[document].strip(), text), " ".join(summary.split()))


class Draw:
    """Endless examples, every row of a set once before any comes again."""

    def __init__(self, rng: random.Random, split: str = "train"):
        self.rng, self.queue = rng, {name: [] for name in SHARES}
        self.sets = {name: rows(name, split) for name in SHARES}

    def example(self) -> Example:
        while True:
            name = self.rng.choices(list(SHARES), list(SHARES.values()))[0]
            if not self.queue[name]:
                self.queue[name] = self.rng.sample(self.sets[name], len(self.sets[name]))
            if found := example(self.queue[name].pop(), self.rng):
                return found


def ids_of(text: Tokenizer, prefix: list[int], one: Example) -> tuple[list[int], int]:
    """What stands behind the prefix, and from which of these tokens on it is the summary's, its line's end with it."""
    prompt = text.encode(shown() + one.prompt).ids
    assert prompt[: len(prefix)] == prefix
    whole = text.encode(f"{shown()}{one.prompt} {one.summary}\n").ids
    assert whole[: len(prompt)] == prompt
    return whole[len(prefix) :], len(prompt) - len(prefix)

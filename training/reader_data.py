"""What the reader is trained and judged on: chats that hold documents and a question, and the answer wanted."""

import gzip
import hashlib
import json
import random
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from data import DATA, document_order, load
from gguf import GGUFReader
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

NO_ANSWER = "The documents do not say."

# What ragpress itself says to the reader (models/decoder/reader-prompt.ts).
INSTRUCTION = (
    "Answer the question from the documents, as briefly as possible. "
    f"If they do not hold the answer, say: {NO_ANSWER}"
)
# What a model's template says where nobody gives a system message.
DEFAULT_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
# What others may say: the reader is not to depend on one wording.
INSTRUCTIONS = (
    "You are a helpful assistant. Use the context to answer the question.",
    "Answer with a short phrase taken from the sources below.",
    "Use only the following passages to answer. Keep it short.",
    "Answer the user's question based on the documents provided.",
)


@cache
def tokenizer(gguf: Path) -> Tokenizer:
    """SmolLM2's, from the GGUF or the folder of its parts: digits apart, then byte-level BPE."""
    fields = GGUFReader(min(gguf.glob("*.gguf")) if gguf.is_dir() else gguf).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    merges = [tuple(line.split(" ")) for line in fields["tokenizer.ggml.merges"].contents()]
    made = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)]
    )
    made.decoder = decoders.ByteLevel()
    return made


BEGIN, END = 1, 2  # <|im_start|>, <|im_end|>


def chat_ids(text: Tokenizer, messages: list[tuple[str, str]]) -> list[int]:
    """ChatML up to the assistant's turn. What looks like a special token in a message stays text."""
    if messages[0][0] != "system":
        messages = [("system", DEFAULT_SYSTEM), *messages]
    ids: list[int] = []
    newline = text.encode("\n").ids
    for role, content in messages:
        ids += [BEGIN, *text.encode(f"{role}\n{content}").ids, END, *newline]
    return [*ids, BEGIN, *text.encode("assistant\n").ids]


def prompt_of(
    question: str, documents: list[tuple[str, str]], rng: random.Random | None = None, query_aware: bool = False
) -> list[tuple[str, str]]:
    """With `rng`, in one of the ways that applications write it; without, in ragpress's own. `query_aware`: asked before the
    documents, too."""
    if rng is None or rng.random() < 0.5:
        body = "\n\n".join(f"[{i + 1}] {title}\n{text}".replace("] \n", "]\n") for i, (title, text) in enumerate(documents))
        asked = f"Question: {question}"
        return [("system", INSTRUCTION), ("user", f"{asked}\n\n{body}\n\n{asked}" if query_aware else f"{body}\n\n{asked}")]
    style = rng.randrange(4)
    if style == 0:
        body = "\n\n".join(f"{title}: {text}" if title else text for title, text in documents)
    elif style == 1:
        body = "\n\n".join(f"## {title}\n\n{text}" for title, text in documents)
    elif style == 2:
        body = "\n".join(f'<source id="{i + 1}">{title}. {text}</source>' for i, (title, text) in enumerate(documents))
    else:
        body = "\n\n".join(f"Document {i + 1}: {title}\n{text}" for i, (title, text) in enumerate(documents))
    ask = rng.choice([f"Question: {question}", question, f"Question: {question}\nAnswer:"])
    last = query_aware or rng.random() < 0.85
    if rng.random() < 0.35:
        body = f"{rng.choice(['Context', 'Documents', 'Sources'])}:\n{body}"
    user = "\n\n".join([ask] * (query_aware or not last) + [body] + [ask] * last)
    system = rng.random()
    if system < 0.3:
        return [("user", user)]
    return [("system", INSTRUCTION if system < 0.6 else rng.choice(INSTRUCTIONS)), ("user", user)]


@dataclass
class Row:
    """A question with short answers."""

    set: str
    question: object  # data.Question
    answers: list[str]

    @property
    def gold(self) -> list[int]:
        q = self.question
        return sorted({int(d) for d, e in zip(q.document, q.evidence) if e})


def rows(name: str, split: str, labels: dict[tuple[str, str], str] | None = None) -> list[Row]:
    """Those with answers, of their own or by `labels`, of ids and questions: SelQA has ids of articles."""
    with gzip.open(DATA / "evidence" / f"{name}.{split}.jsonl.gz", "rt", encoding="utf8") as lines:
        plain = [json.loads(line) for line in lines]
    given = [(labels or {}).get((row["id"], row["question"])) for row in plain]
    answers = [row["answers"] or ([label] if label else []) for row, label in zip(plain, given)]
    return [Row(name, q, a) for q, a in zip(load(name, split), answers) if a]


def target(answers: list[str]) -> str:
    """One of those that say the same; several that do not, as a list."""
    apart: list[str] = []
    for answer in answers:
        words = set(re.findall(r"\w+", answer.lower()))
        if not any(words & set(re.findall(r"\w+", other.lower())) for other in apart):
            apart.append(answer)
    return ", ".join(apart[:4]).strip(" ,.;")


def paragraphs(row: Row, others: int, rng: random.Random | None = None, answerable: bool = True) -> list[tuple[str, str]]:
    """The gold documents and the nearest others by BM25 (drawn among them with `rng`)."""
    q = row.question
    order = document_order(q)
    rest = [d for d in order if d not in row.gold]
    if rng:
        near = rest[: others + 3]
        rest = rng.sample(near, min(others, len(near)))
    chosen = (row.gold if answerable else []) + rest[:others]
    rng.shuffle(chosen) if rng else chosen.sort()
    return [(q.titles[d], text_of(q, d)) for d in chosen]


def text_of(question, document: int, keep: set[int] | None = None) -> str:
    places = [i for i, d in enumerate(question.document) if d == document and (keep is None or i in keep)]
    return " ".join(question.sentences[i].strip() for i in places)


def extract(
    row: Row, rng: random.Random, most: tuple[int, int] = (4, 2), answerable: bool = True
) -> list[tuple[str, str]]:
    """What a compressor leaves: the evidence, at most so many sentences that BM25 likes, and so many that it need not."""
    q = row.question
    scores = q.bm25
    gold = set(row.gold)
    allowed = [i for i in range(len(q.sentences)) if answerable or int(q.document[i]) not in gold]
    ranked = sorted(allowed, key=lambda i: -scores[i])
    keep = set(ranked[: rng.randint(1, most[0])]) | set(rng.sample(allowed, min(len(allowed), rng.randint(0, most[1]))))
    if answerable:
        keep |= {i for i, e in enumerate(q.evidence) if e}
    documents = sorted({int(q.document[i]) for i in keep})
    if rng.random() < 0.5:
        rng.shuffle(documents)
    return [(q.titles[d], text_of(q, d, keep)) for d in documents]


def passages(split: str) -> list[str]:
    """Paragraphs of text, a twentieth of them kept from training."""
    with gzip.open(DATA / "passages.jsonl.gz", "rt", encoding="utf8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    held = [hashlib.sha256(text.encode()).digest()[0] < 13 for text in texts]
    return [text for text, is_held in zip(texts, held) if is_held == (split == "dev") and len(text) > 100]

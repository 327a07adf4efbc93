"""Trains the projector that makes a document one token of the frozen decoder (Cheng et al. 2024, xRAG, arXiv 2405.13792),
for a given time. A run goes on from its last checkpoint.

python xrag.py --out DIR --minutes 60 [--gguf FOLDER] [--start CHECKPOINT] [--phase paraphrase|context]
python xrag.py --out DIR --measure --start CHECKPOINT [--gguf FOLDER]

`paraphrase`: given a document's token and an instruction, the document. `context`: given documents as tokens and a
question, the answer, and the distribution of the same decoder reading the documents in full.
"""

import argparse
import gzip
import hashlib
import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from data import CLS, DATA, SEP, tokens_of
from decoder import Decoder, angles, from_gguf
from reader_data import END, INSTRUCTION, NO_ANSWER, Row, chat_ids, extract, paragraphs, rows, target, tokenizer
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F

WEIGHTS = Path(__file__).resolve().parent.parent / "models/weights"
INPUTS, HIDDEN = 384, 2048
EMBEDDED_TOKENS = 256  # of minilm, with its two special ones

TARGET_TOKENS, SHORT_TOKENS = 96, 48  # half of the batches are short: more documents in the time
BATCH = 24
RATES = {"paraphrase": 2e-3, "context": 1e-4}
WARM_UP = {"paraphrase": 40, "context": 10}
SAVED_EVERY = 20
# What stands before and after the token.
PARAPHRASE = (
    ("Document: ", "\nSay what the document says."),
    ("", "\nThe above token can be interpreted as:"),
    ("[1] ", "\n\nRepeat the text of document 1."),
    ("Background: ", "\nWrite the background in full."),
)

SHARES = {"nq": 0.4, "qed": 0.1, "hotpot": 0.25, "hotpot-answer": 0.25}
QUESTIONS, PARAPHRASES = 6, 8  # a step of phase `context`: what it learnt before is not to be lost
FOREIGN = 0.2  # another question's documents: the reader is to say that they do not say
EXTRACTS = 0.5  # documents cut to a few sentences, as a compressor leaves them
MOST_TOKENS = 600  # of what the teacher reads
KL_WEIGHT = 2.0  # the paper's alpha

DOCUMENT = -1  # stands in ids where a document's token goes
PLACE = "\0"  # stands for it in text


class Projector(nn.Module):
    def __init__(self, width: int, norm: float):
        """Begins with outputs about as long as the decoder's own embeddings."""
        super().__init__()
        self.projector = nn.Sequential(nn.Linear(INPUTS, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width))
        nn.init.normal_(self.projector[0].weight, std=1.0)
        nn.init.zeros_(self.projector[0].bias)
        # Of a standard normal, GELU's mean square is 0.43 and its variance 0.35.
        nn.init.normal_(self.projector[2].weight, std=norm / math.sqrt(width) / math.sqrt(HIDDEN * 0.35))
        nn.init.zeros_(self.projector[2].bias)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        return self.projector(embeddings)


@dataclass
class Prompt:
    ids: list[int]
    vectors: list[np.ndarray]  # of the documents whose tokens it holds, in order
    wanted: int  # from this of its tokens on they are what the model is to say


class Embedder:
    """minilm as it ships, a text a run: int8 activations take their scale from all that is in a run."""

    def __init__(self) -> None:
        self.run = onnxruntime.InferenceSession(str(WEIGHTS / "minilm/model.onnx"))
        self.known: dict[str, np.ndarray] = {}

    def __call__(self, text: str) -> np.ndarray:
        if text not in self.known:
            ids = np.array([[CLS, *tokens_of(text, frozenset())[0][: EMBEDDED_TOKENS - 2], SEP]])
            row = self.run.run(None, {"input_ids": ids, "attention_mask": np.ones_like(ids)})[0][0]
            self.known[text] = row / np.linalg.norm(row)
        return self.known[text]

    def all(self, texts: list[str], folder: Path) -> np.ndarray:
        """[texts, 384], kept in a file."""
        key = hashlib.sha256("\0".join(texts).encode()).hexdigest()[:16]
        path = folder / f"embeddings-{key}.npy"
        if not path.exists():
            np.save(path, np.stack([self(text) for text in texts]))
        return np.load(path)


def titled(title: str, text: str) -> str:
    """As models/decoder/document-encoder.ts writes what is embedded."""
    return f"{title}\n{text}" if title else text


def documents() -> tuple[list[str], list[str]]:
    """Paragraphs with their titles, to train on and kept (those that reader_data.passages keeps)."""
    with gzip.open(DATA / "passages.jsonl.gz", "rt", encoding="utf8") as lines:
        passages = [json.loads(line) for line in lines]
    train, held = [], []
    for row in passages:
        if len(row["text"]) > 100:
            is_held = hashlib.sha256(row["text"].encode()).digest()[0] < 13
            (held if is_held else train).append(titled(row["title"], row["text"]))
    return train, held


def prompt_ids(text: Tokenizer, messages: list[tuple[str, str]]) -> list[int]:
    """ChatML with DOCUMENT for each PLACE. The texts beside one are tokenised apart, as models/decoder does."""
    ids: list[int] = []
    marker = text.encode(PLACE).ids
    assert len(marker) == 1
    for token in chat_ids(text, messages):
        ids.append(DOCUMENT if token == marker[0] else token)
    return ids


def paraphrase(text: Tokenizer, vector: np.ndarray | None, wanted: list[int], instruction: tuple[str, str]) -> Prompt:
    before, after = instruction
    content = f"{before}{PLACE}{after}" if vector is not None else after.lstrip("\n")
    ids = prompt_ids(text, [("user", content)])
    return Prompt([*ids, *wanted], [] if vector is None else [vector], len(ids))


def asked(text: Tokenizer, question: str, given: list[str], answer: str, vectors: list[np.ndarray]) -> Prompt:
    """As ragpress writes its prompts (models/decoder/reader-prompt.ts)."""
    body = "\n\n".join(f"[{i + 1}] {document}" for i, document in enumerate(given))
    ids = prompt_ids(text, [("system", INSTRUCTION), ("user", f"{body}\n\nQuestion: {question}")])
    return Prompt([*ids, *text.encode(answer).ids, END], vectors, len(ids))


class Frozen:
    """The decoder, with bfloat16 weights for its products and no gradients of its own."""

    def __init__(self, model: Decoder):
        self.model = model.requires_grad_(False)
        for layer in model.layers:
            for linear in (layer.q, layer.k, layer.v, layer.o, layer.gate, layer.up, layer.down):
                linear.weight.data = linear.weight.data.bfloat16()
        self.head = model.embedding.weight.bfloat16()
        self.norm = model.embedding.weight.norm(dim=1).mean().item()

    def logits(self, prompts: list[Prompt], projector: Projector) -> torch.Tensor:
        """[wanted tokens, vocabulary]. Padded at the end, which causal attention never sees."""
        model = self.model
        ids = torch.full((len(prompts), max(len(prompt.ids) for prompt in prompts)), END)
        for i, prompt in enumerate(prompts):
            ids[i, : len(prompt.ids)] = torch.tensor(prompt.ids)
        x = F.embedding(ids.clamp(min=0), model.embedding.weight)
        if vectors := [vector for prompt in prompts for vector in prompt.vectors]:
            tokens = projector(torch.from_numpy(np.stack(vectors)))
            x = x.index_put((ids == DOCUMENT).nonzero(as_tuple=True), tokens)
        rotation = angles(model.shape, torch.arange(ids.shape[1]), torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            for layer in model.layers:
                x = layer(x, rotation, None)
            x = F.rms_norm(x, (model.shape.width,), model.norm, model.shape.epsilon)
            places = [(i, at - 1) for i, prompt in enumerate(prompts) for at in range(prompt.wanted, len(prompt.ids))]
            before, at = map(list, zip(*places))
            return F.linear(x[before, at], self.head).float()


def wanted_of(prompts: list[Prompt]) -> torch.Tensor:
    return torch.tensor([token for prompt in prompts for token in prompt.ids[prompt.wanted :]])


class Draw:
    def __init__(self, text: Tokenizer, embed: Embedder, sets: dict[str, list[Row]], rng: random.Random):
        self.text, self.embed, self.sets, self.rng = text, embed, sets, rng

    def documents(self, row: Row, answerable: bool = True) -> list[tuple[str, str]]:
        if self.rng.random() < EXTRACTS:
            return extract(row, self.rng, (2, 1), answerable)
        return paragraphs(row, self.rng.randint(0 if answerable else 1, 1), self.rng, answerable)

    def question(self) -> tuple[Prompt, Prompt]:
        """What the projector's tokens are read in, and what the teacher reads."""
        while True:
            rng = self.rng
            row, other = (rng.choice(self.sets[rng.choices(list(SHARES), list(SHARES.values()))[0]]) for _ in "ab")
            is_foreign = rng.random() < FOREIGN
            texts = [titled(*document) for document in self.documents(other if is_foreign else row)]
            answer = NO_ANSWER if is_foreign else target(row.answers)
            teacher = asked(self.text, row.question.text, texts, answer, [])
            if len(teacher.ids) <= MOST_TOKENS:
                vectors = [self.embed(text) for text in texts]
                return asked(self.text, row.question.text, [PLACE] * len(texts), answer, vectors), teacher


@torch.no_grad()
def measure_documents(frozen: Frozen, projector: Projector, text: Tokenizer, held: list[tuple[np.ndarray, list[int]]]) -> dict:
    """Loss a token of documents with no token, another document's and their own; the first instruction."""
    sums, count = {"none": 0.0, "another": 0.0, "own": 0.0}, 0
    for start in range(0, len(held), 32):
        part = held[start : start + 32]
        others = [vector for vector, _ in [*part[-1:], *part[:-1]]]
        for kind, vectors in (("none", [None] * len(part)), ("another", others), ("own", [vector for vector, _ in part])):
            prompts = [paraphrase(text, vector, ids, PARAPHRASE[0]) for vector, (_, ids) in zip(vectors, part)]
            sums[kind] += F.cross_entropy(frozen.logits(prompts, projector), wanted_of(prompts), reduction="sum").item()
        count += sum(len(ids) for _, ids in part)
    return {name: round(value / count, 4) for name, value in sums.items()}


@torch.no_grad()
def measure_answers(frozen: Frozen, projector: Projector, text: Tokenizer, embed: Embedder, questions: list[Row]) -> dict:
    """Loss a token of dev answers given no documents, another question's as tokens, their own as tokens and as text."""
    sums, count = {"none": 0.0, "another": 0.0, "own": 0.0, "text": 0.0}, 0
    gold = [[titled(*document) for document in paragraphs(row, 0)] for row in questions]
    for i, row in enumerate(questions):
        question, answer = row.question.text, target(row.answers)
        given = {
            "none": ([], []),
            "another": (texts := gold[i - 1], [embed(text) for text in texts]),
            "own": (texts := gold[i], [embed(text) for text in texts]),
            "text": (gold[i], []),
        }
        for kind, (texts, vectors) in given.items():
            prompt = asked(text, question, [PLACE] * len(texts) if vectors else texts, answer, vectors)
            sums[kind] += F.cross_entropy(frozen.logits([prompt], projector), wanted_of([prompt]), reduction="sum").item()
        count += len(prompt.ids) - prompt.wanted
    return {name: round(value / count, 4) for name, value in sums.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=0)
    parser.add_argument("--phase", choices=RATES, default="paraphrase")
    parser.add_argument("--gguf", type=Path, default=WEIGHTS / "smollm2")
    parser.add_argument("--start", type=Path, help="a checkpoint to begin from, of whichever decoder")
    parser.add_argument("--rate", type=float)
    parser.add_argument("--measure", action="store_true", help="train nothing; held-out figures into DIR/measured.json")
    parser.add_argument("--documents", type=int, default=256, help="to measure on")
    parser.add_argument("--questions", type=int, default=60, help="to measure on")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    text, frozen, embed = tokenizer(args.gguf), Frozen(from_gguf(args.gguf)), Embedder()
    torch.manual_seed(1)
    projector = Projector(frozen.model.shape.width, frozen.norm)
    last = args.out / "last.pt"
    state = torch.load(last, weights_only=True) if last.exists() and not args.measure else None
    start = state or (torch.load(args.start, weights_only=True) if args.start else None)
    if start:
        projector.load_state_dict(start["projector"])

    train, kept = documents()
    if args.measure:
        kept = kept[: args.documents]
        kept_vectors = embed.all(kept, args.out)
        held = [(vector, text.encode(document).ids[:TARGET_TOKENS]) for vector, document in zip(kept_vectors, kept)]
        questions = [row for name in ("nq", "hotpot") for row in rows(name, "dev")[: args.questions // 2]]
        with torch.no_grad():
            norm = projector(torch.from_numpy(kept_vectors)).norm(dim=1).mean().item()
        figures = {
            "documents": measure_documents(frozen, projector, text, held),
            "answers": measure_answers(frozen, projector, text, embed, questions),
            "norm": {"projected": round(norm, 3), "decoder": round(frozen.norm, 3)},
            "counts": {"documents": len(held), "target": TARGET_TOKENS, "questions": len(questions)},
        }
        print(json.dumps(figures, indent=2))
        (args.out / "measured.json").write_text(json.dumps(figures, indent=2) + "\n")
        return

    rate = args.rate or RATES[args.phase]
    optimizer = torch.optim.AdamW(projector.parameters(), lr=rate, weight_decay=0.01, betas=(0.9, 0.98))
    before, step = 0.0, 0
    if state:
        optimizer.load_state_dict(state["optimizer"])
        before, step = state["seconds"], state["step"]
    vectors = embed.all(train, args.out)
    ids = [text.encode(document).ids[:TARGET_TOKENS] for document in train]
    rng = random.Random(7 + step)
    sets = {name: rows(name, "train") for name in SHARES} if args.phase == "context" else {}
    draw = Draw(text, embed, sets, rng)
    queue: list[int] = []

    def paraphrases(count: int) -> list[Prompt]:
        nonlocal queue
        if len(queue) < count:
            queue = rng.sample(range(len(train)), len(train))
        batch, queue = queue[:count], queue[count:]
        most = rng.choice((SHORT_TOKENS, TARGET_TOKENS))
        instruction = rng.choice(PARAPHRASE)
        return [paraphrase(text, vectors[i], ids[i][:most], instruction) for i in batch]

    def loss_of_step() -> tuple[torch.Tensor, dict[str, float], int]:
        """With its parts, and how many tokens were wanted."""
        prompts = paraphrases(BATCH if args.phase == "paraphrase" else PARAPHRASES)
        wanted = wanted_of(prompts)
        told = F.cross_entropy(frozen.logits(prompts, projector), wanted)
        if args.phase == "paraphrase":
            return told, {"document": told.item()}, len(wanted)
        pairs = sorted((draw.question() for _ in range(QUESTIONS)), key=lambda pair: len(pair[1].ids))
        students, teachers = [student for student, _ in pairs], [teacher for _, teacher in pairs]
        with torch.no_grad():
            # Long and short ones apart: padding is computed too.
            half = QUESTIONS // 2
            taught = torch.cat([frozen.logits(part, projector) for part in (teachers[:half], teachers[half:])])
        said, answers = F.log_softmax(frozen.logits(students, projector), -1), wanted_of(students)
        answered = F.nll_loss(said, answers)
        divergence = F.kl_div(said, F.log_softmax(taught, -1), reduction="batchmean", log_target=True)
        parts = {"document": told.item(), "answer": answered.item(), "KL": divergence.item()}
        return told + answered + KL_WEIGHT * divergence, parts, len(wanted) + len(answers)

    def save() -> None:
        part = last.with_suffix(".part")
        held_state = {"projector": projector.state_dict(), "optimizer": optimizer.state_dict()}
        torch.save({**held_state, "seconds": before + time.time() - began, "step": step}, part)
        part.rename(last)

    began, limit, running, seen = time.time(), args.minutes * 60, [], 0
    while (spent := before + time.time() - began) < limit:
        for group in optimizer.param_groups:
            cosine = max(0.01, 0.5 * (1 + math.cos(math.pi * spent / limit)))
            group["lr"] = rate * min(1, (step + 1) / WARM_UP[args.phase]) * cosine
        loss, parts, wanted = loss_of_step()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(projector.parameters(), 1.0)
        optimizer.step()
        step += 1
        seen += wanted
        running.append(parts)
        if step % 10 == 0:
            means = " ".join(f"{name} {sum(row[name] for row in running) / len(running):.3f}" for name in parts)
            print(f"{step} {means} {seen / (time.time() - began):.0f} wanted tokens/s {spent / 60:.1f} min", flush=True)
            running = []
        if step % SAVED_EVERY == 0:
            save()
    save()


if __name__ == "__main__":
    main()

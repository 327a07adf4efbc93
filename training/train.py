"""Trains the evidence model on the train files, for a given time. A run goes on from its last checkpoint.

python train.py --out DIR --minutes 70 [--stage first|second] [--start CHECKPOINT]
"""

import argparse
import json
import random
import time
from copy import copy
from pathlib import Path

import numpy as np
import torch
from data import SETS, Question, Window, document_order, foreign, is_held, load, subset, windows
from model import Encoder, Evidence, pool
from torch.nn import functional as F

# Share of the questions drawn.
SHARES = {"squad": 0.12, "selqa": 0.27, "nq": 0.17, "qed": 0.06, "hotpot": 0.22, "hotpot-answer": 0.16}

FOREIGN = 0.08  # questions over documents that hold nothing for them
PINNED = 0.40  # multi-hop questions whose windows begin with a sentence that a first pass could have found
SHUFFLED = 0.10  # documents in any order
UNTITLED = 0.08
WINDOW_SIZES = ((512, 0.65), (384, 0.2), (256, 0.15))
MAX_DOCUMENTS = {"nq": 2, "qed": 2, "hotpot": 4, "hotpot-answer": 4}

QUESTIONS_A_STEP = 4
TOKENS_A_PASS = 3_072
EMA = 0.99


class Draw:
    """Endless rows of each set, every row once before any comes again."""

    def __init__(self, sets: dict[str, list[Question]], rng: random.Random):
        self.sets, self.rng = sets, rng
        self.queue: dict[str, list[int]] = {name: [] for name in sets}

    def row(self, name: str) -> Question:
        if not self.queue[name]:
            self.queue[name] = list(range(len(self.sets[name])))
            self.rng.shuffle(self.queue[name])
        return self.sets[name][self.queue[name].pop()]

    def example(self) -> tuple[Question, list[Window]]:
        rng = self.rng
        name = rng.choices(list(SHARES), list(SHARES.values()))[0]
        question = self.row(name)
        if rng.random() < FOREIGN:
            other = rng.choice(self.sets[name])
            if other.id != question.id and not set(other.titles) & set(question.titles):
                question = foreign(question, other)
        question = fewer_documents(question, rng) if len(question.titles) > 1 else fewer_sentences(question, rng)
        if rng.random() < UNTITLED:
            question = subset(question, list(range(len(question.titles))))
            question.titles = ["" for _ in question.titles]
        order = document_order(question)
        if rng.random() < SHUFFLED:
            rng.shuffle(order)
        limit = rng.choices([size for size, _ in WINDOW_SIZES], [share for _, share in WINDOW_SIZES])[0]
        pin = None
        if name.startswith("hotpot") and rng.random() < PINNED:
            pin = pinned(question, rng)
        return question, windows(question, limit, order=order, pin=pin)


def fewer_documents(question: Question, rng: random.Random) -> Question:
    """The documents with evidence, and the hardest of the others by BM25, now and then any."""
    gold = sorted({int(d) for d in question.document[question.evidence]})
    others = [d for d in document_order(question) if d not in gold]
    count = max(1, MAX_DOCUMENTS[question.set] - len(gold))
    pool_size = min(len(others), 2 * count)
    chosen = rng.sample(others[:pool_size], min(count, pool_size)) if rng.random() < 0.85 else rng.sample(others, min(count, len(others)))
    return subset(question, sorted([*gold, *chosen]))


def fewer_sentences(question: Question, rng: random.Random, most: int = 10) -> Question:
    """A stretch of a long document around its evidence."""
    most = rng.randint(4, 7) if question.set == "squad" else most
    count = len(question.sentences)
    if count <= most:
        return question
    places = np.flatnonzero(question.evidence)
    anchor = int(rng.choice(list(places))) if len(places) else rng.randrange(count)
    start = max(0, min(count - most, anchor - rng.randrange(most)))
    keep = slice(start, start + most)
    part = copy(question)
    for field in ("sentences", "document", "evidence", "words", "bm25"):
        setattr(part, field, getattr(question, field)[keep])
    return part


def pinned(question: Question, rng: random.Random) -> int:
    """A sentence as the first pass's best: evidence mostly, else one that BM25 likes."""
    places = np.flatnonzero(question.evidence)
    if len(places) and rng.random() < 0.75:
        return int(rng.choice(list(places)))
    return int(rng.choice(list(np.argsort(-question.bm25)[:3])))


def batches(rows: list[Window], most: int = TOKENS_A_PASS) -> list[list[int]]:
    """Indices of windows of like length, each batch of at most `most` tokens with its padding."""
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i].ids))
    out: list[list[int]] = []
    for i in order:
        if out and (len(out[-1]) + 1) * len(rows[out[-1][0]].ids) <= most:
            out[-1].append(i)
        else:
            out.append([i])
    return out


def collate(rows: list[Window]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    length = max(len(row.ids) for row in rows)
    ids, kinds = (torch.zeros(len(rows), length, dtype=torch.long) for _ in range(2))
    mask = torch.zeros(len(rows), length, dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row.ids)] = torch.tensor(row.ids)
        kinds[i, : len(row.ids)] = torch.tensor(row.kinds)
        mask[i, : len(row.ids)] = 1
    return ids, mask, kinds


def outputs_of(model: Evidence, rows: list[Window]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The model's two outputs, [tokens, 3] and [tokens, query tokens], of each window."""
    out: list = [None] * len(rows)
    for batch in batches(rows):
        numbers, cosines = model(*collate([rows[i] for i in batch]))
        for at, i in enumerate(batch):
            size = len(rows[i].ids)
            out[i] = numbers[at, :size], cosines[at, :size]
    return out


def loss_of(model: Evidence, question: Question, rows: list[Window], outputs: list) -> torch.Tensor:
    """Every positive sentence against all negatives of the question (softmax), each sentence by itself (binary
    cross-entropy), each document and each window by whether it holds evidence. The encoder is trained beside BM25's
    deviation, to add to what that knows."""
    count = len(question.sentences)
    group = torch.tensor([g for row in rows for g in row.group])
    numbers, cosines = zip(*outputs)
    value, match, relevance, present = pool(numbers, cosines, group, count + len(question.titles), rows[0].query)
    deviation = (question.bm25 - question.bm25.mean()) / (question.bm25.std() + 1e-6)
    logits = value + model.slope * match
    logits = logits[:count] + model.lexical * torch.tensor(deviation, dtype=torch.float32)
    label = torch.tensor(question.evidence)
    scored, sentence = present[:count], logits
    positive, negative = sentence[scored & label], sentence[scored & ~label]

    weight = torch.ones(count)
    if question.set == "hotpot-answer":
        # The first hop's sentences are not marked there, though they help.
        weight[~label] = 0.5
    target = label.float() * (1.0 if question.annotated else 0.95)
    each = F.binary_cross_entropy_with_logits(sentence, target, reduction="none") * weight
    loss = 0.5 * each[scored].sum() / 4
    if len(positive) and len(negative):
        rest = torch.logsumexp(negative, 0)
        loss = loss + F.softplus(rest - positive).mean()

    holds = torch.zeros(len(question.titles))
    holds[question.document[question.evidence]] = 1
    titled = present[count:]
    if titled.any():
        loss = loss + 0.2 * F.binary_cross_entropy_with_logits(relevance[count:][titled], holds[titled])
    window = torch.stack([output[0, 2] for output in numbers])
    inside = torch.tensor([float(any(0 <= g < count and question.evidence[g] for g in row.group)) for row in rows])
    return loss + 0.1 * F.binary_cross_entropy_with_logits(window, inside)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=70, help="by the clock, from the run's first start")
    parser.add_argument("--start", type=Path, help="weights to start from (a checkpoint); default all-MiniLM-L6-v2")
    parser.add_argument("--start-name", default="", help="the run that it is from")
    parser.add_argument("--rate", type=float, default=1.5e-4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--note", default="")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    last = args.out / "last.pt"

    torch.set_num_threads(2)
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed)
    sets = {name: [q for q in load(name, "train") if not is_held(q)] for name in SETS}
    sets["squad"] = load("squad", "train")
    sets = {name: [q for q in rows if q.evidence.any()] for name, rows in sets.items()}
    print({name: len(rows) for name, rows in sets.items()}, flush=True)
    draw = Draw(sets, rng)

    model = Evidence(Encoder.pretrained())
    if args.start:
        model.load_state_dict(torch.load(args.start, weights_only=False)["ema"])
    new = [*model.head.parameters(), *model.kinds.parameters()]
    scales = [model.slope, model.lexical]
    known = {id(p) for p in new + scales}
    body = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in body if p.ndim > 1], "weight_decay": 0.01, "peak": args.rate},
            {"params": [p for p in body if p.ndim == 1], "weight_decay": 0.0, "peak": args.rate},
            {"params": new, "weight_decay": 0.0, "peak": 1e-3},
            {"params": scales, "weight_decay": 0.0, "peak": 5e-3},
        ],
        lr=0.0,
        betas=(0.9, 0.98),
        fused=True,
    )
    trained = [p for p in model.parameters() if p.requires_grad]
    ema = [p.detach().clone() for p in trained]
    step, tokens, began = 0, 0, time.time()
    if last.exists():
        state = torch.load(last, weights_only=False)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step, tokens, began, ema = state["step"], state["tokens"], state["began"], state["trained"]
        rng.setstate(state["rng"])
        draw.queue = state["queue"]

    def save() -> None:
        averaged = {k: v.clone() for k, v in model.state_dict().items()}
        names = [name for name, p in model.named_parameters() if p.requires_grad]
        averaged.update(zip(names, ema))
        state = {
            "model": model.state_dict(),
            "ema": averaged,
            "trained": ema,
            "optimizer": optimizer.state_dict(),
            "step": step,
            "tokens": tokens,
            "began": began,
            "rng": rng.getstate(),
            "queue": draw.queue,
        }
        torch.save(state, last.with_suffix(".tmp"))
        last.with_suffix(".tmp").rename(last)

    saved, mean_loss, first = time.time(), {}, (time.time(), tokens)
    while (progress := (time.time() - began) / (60 * args.minutes)) < 1:
        rate = min(1.0, (step + 1) / 40) * max(0.02, 1 - progress)
        for part in optimizer.param_groups:
            part["lr"] = part["peak"] * rate
        examples = [draw.example() for _ in range(QUESTIONS_A_STEP)]
        rows = [row for _, part in examples for row in part]
        outputs = outputs_of(model, rows)
        total, at = torch.zeros(()), 0
        for question, part in examples:
            loss = loss_of(model, question, part, outputs[at : at + len(part)])
            at += len(part)
            total = total + loss
            mean_loss[question.set] = 0.97 * mean_loss.get(question.set, loss.item()) + 0.03 * loss.item()
        optimizer.zero_grad(set_to_none=True)
        (total / len(examples)).backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        tokens += sum(len(row.ids) for row in rows)
        keep = min(EMA, (step + 1) / (step + 20))
        torch._foreach_lerp_(ema, [p.detach() for p in trained], 1 - keep)
        if step % 10 == 0:
            speed = (tokens - first[1]) / (time.time() - first[0])
            losses = " ".join(f"{name} {value:.2f}" for name, value in sorted(mean_loss.items()))
            print(f"{time.strftime('%H:%M')} {progress:.3f} step {step} tokens {tokens} {speed:.0f}/s {losses}", flush=True)
        if time.time() - saved > 180:
            save()
            saved = time.time()
    save()
    record = {
        "run": args.out.name,
        "what": "train",
        "minutes": args.minutes,
        "rate": args.rate,
        "start": args.start_name or (args.start.stem if args.start else "all-MiniLM-L6-v2"),
        "steps": step,
        "tokens": tokens,
        "loss": {name: round(value, 3) for name, value in mean_loss.items()},
        "note": args.note,
    }
    with (Path(__file__).parent / "runs.jsonl").open("a") as log:
        log.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()

"""Fine-tunes SmolLM2-135M-Instruct as a reader, for a given time. A run goes on from its last checkpoint.

python reader.py --out DIR --minutes 90 [--gguf FILE] [--chat CHAT.jsonl] [--start CHECKPOINT]
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
from decoder import Decoder, from_gguf, packaged_gguf
from reader_data import (
    END,
    NO_ANSWER,
    Example,
    Row,
    chat_ids,
    extract,
    paragraphs,
    passages,
    prompt_of,
    rows,
    target,
    tokenizer,
)
from torch.nn import functional as F

SHARES = {"nq": 0.46, "qed": 0.14, "hotpot": 0.2, "hotpot-answer": 0.2}
# First short documents, of which many can be read in the time, then such as they come.
SHORT_PHASE = 0.6  # share of the time
EXTRACTS = 0.5  # afterwards: documents cut to a few sentences, as a compressor leaves them
MANY = 0.3  # of the others: three to six paragraphs more than needed; else at most two
UNANSWERABLE = 0.1  # the documents that answer are not there
FOREIGN = 0.04  # another question's documents
CHAT = 0.03  # the untouched model's own words, so that it goes on chatting
PASSAGE = 0.04  # plain text, so that it stays a language model

FROZEN_LAYERS = 10
TOKENS_A_STEP = 2_400
MOST_TOKENS = 1_100
PASSAGE_TOKENS = 160
RATE, WARM_UP = 8e-5, 30


class Draw:
    """Endless rows of each set, every row once before any comes again."""

    def __init__(self, sets: dict[str, list[Row]], chat: list[dict], passages: list[str], rng: random.Random):
        self.sets, self.chat, self.passages, self.rng = sets, chat, passages, rng
        self.shares = {name: share for name, share in SHARES.items() if sets.get(name)}
        self.queue: dict[str, list[int]] = {name: [] for name in sets}

    def row(self, name: str) -> Row:
        if not self.queue[name]:
            self.queue[name] = list(range(len(self.sets[name])))
            self.rng.shuffle(self.queue[name])
        return self.sets[name][self.queue[name].pop()]

    def example(self, short: bool) -> Example:
        rng = self.rng
        if rng.random() < PASSAGE:
            return Example([], rng.choice(self.passages), "passage", False)
        if self.chat and rng.random() < CHAT:
            pick = rng.choice(self.chat)
            return Example([("user", pick["prompt"])], pick["answer"], "chat", pick["stop"] == "eogToken")
        row = self.row(rng.choices(list(self.shares), list(self.shares.values()))[0])
        kind, source = rng.random(), row
        if kind < FOREIGN:
            other = self.row(rng.choice(list(self.shares)))
            if not set(other.question.titles) & set(row.question.titles):
                source = other
        answerable = kind >= FOREIGN + UNANSWERABLE
        if short or rng.random() < EXTRACTS:
            most = (2, 1) if short else (4, 2)
            documents = extract(source, rng, most, answerable or source is not row)
        else:
            count = rng.randint(3, 6) if rng.random() < MANY else rng.randint(0 if answerable else 1, 2)
            documents = paragraphs(source, count, rng, answerable or source is not row)
        answered = answerable and source is row
        question = row.question.text
        if rng.random() < 0.3:
            question = question[0].upper() + question[1:].rstrip("? ") + "?"
        answer = target(row.answers)
        if answered and rng.random() < 0.5:
            answer = answer[0].upper() + answer[1:]
        return Example(prompt_of(question, documents, rng), answer if answered else NO_ANSWER, row.set)


def loss_of(model: Decoder, examples: list[tuple[list[int], int]]) -> torch.Tensor:
    """Mean over each answer's tokens, summed over the examples."""
    length = max(len(ids) for ids, _ in examples)
    ids = torch.full((len(examples), length), END)
    for i, (row, _) in enumerate(examples):
        ids[i, : len(row)] = torch.tensor(row)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.hidden(ids)
        wanted = [hidden[i, start - 1 : len(row) - 1] for i, (row, start) in enumerate(examples)]
        logits = model.logits(torch.cat(wanted)).float()
    losses = F.cross_entropy(logits, torch.cat([torch.tensor(row[start:]) for row, start in examples]), reduction="none")
    return sum(part.mean() for part in losses.split([len(row) - start for row, start in examples]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--gguf", type=Path, default=None)
    parser.add_argument("--start", type=Path, help="a checkpoint to begin from")
    parser.add_argument("--chat", type=Path, help="prompts and the untouched model's answers")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    gguf = args.gguf or packaged_gguf()
    text, model = tokenizer(gguf), from_gguf(gguf)
    last = args.out / "last.pt"
    state = torch.load(last) if last.exists() else None
    if state or args.start:
        model.load_state_dict((state or torch.load(args.start))["model"])
    model.embedding.weight.requires_grad_(False)
    for layer in model.layers[:FROZEN_LAYERS]:
        layer.requires_grad_(False)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.01, betas=(0.9, 0.98))
    before, step = (state["seconds"], state["step"]) if state else (0.0, 0)
    if state:
        optimizer.load_state_dict(state["optimizer"])

    chat = [json.loads(line) for line in args.chat.open()] if args.chat else []
    rng = random.Random(args.seed + 1000 * step)
    draw = Draw({name: rows(name, "train") for name in SHARES}, chat, passages("train"), rng)
    began, seen, questions, running = time.time(), 0, 0, 0.0
    limit = args.minutes * 60
    while (spent := before + time.time() - began) < limit:
        rate = args.rate * min(1, (step + 1) / WARM_UP) * max(0.02, 1 - spent / limit)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch: list[tuple[list[int], int]] = []
        while sum(len(ids) for ids, _ in batch) < TOKENS_A_STEP:
            example = draw.example(spent < SHORT_PHASE * limit)
            if example.kind == "passage":
                batch.append((text.encode(example.answer).ids[:PASSAGE_TOKENS], 1))
                continue
            prompt = chat_ids(text, example.prompt)
            ids = [*prompt, *text.encode(example.answer).ids, *([END] if example.ends else [])]
            if len(ids) <= MOST_TOKENS:
                batch.append((ids, len(prompt)))
        optimizer.zero_grad()
        # Long and short ones apart: padding is computed too.
        batch.sort(key=lambda row: len(row[0]))
        half = len(batch) // 2
        for part in (batch[:half], batch[half:]):
            if part:
                loss = loss_of(model, part) / len(batch)
                loss.backward()
                running += loss.item()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        seen += sum(len(ids) for ids, _ in batch)
        questions += len(batch)
        if step % 10 == 0:
            print(
                f"{step} loss {running / 10:.3f} rate {rate:.1e} {questions} questions "
                f"{seen / (time.time() - began):.0f} tokens/s {spent / 60:.0f} min",
                flush=True,
            )
            running = 0.0
        if step % 60 == 0:
            save(last, model, optimizer, before + time.time() - began, step)
    save(last, model, optimizer, before + time.time() - began, step)


def save(path: Path, model: Decoder, optimizer: torch.optim.Optimizer, seconds: float, step: int) -> None:
    part = path.with_suffix(".part")
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "seconds": seconds, "step": step}, part)
    part.rename(path)


if __name__ == "__main__":
    main()

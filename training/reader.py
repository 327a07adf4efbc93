"""Fine-tunes SmolLM2-135M-Instruct as a reader, for a given time. A run goes on from its last checkpoint.

python reader.py --out DIR --minutes 90 [--gguf FILE] [--chat CHAT.jsonl] [--start CHECKPOINT --quantised]
"""

import argparse
import json
import random
import time
from pathlib import Path

import torch
from decoder import Decoder, from_gguf, packaged_gguf
from quantise import on_grid
from reader_data import END, NO_ANSWER, Example, Row, chat_ids, extract, paragraphs, prompt_of, rows, target, tokenizer
from torch.nn import functional as F

SHARES = {"nq": 0.46, "qed": 0.14, "hotpot": 0.2, "hotpot-answer": 0.2}
EXTRACTS = 0.6  # documents cut to a few sentences, as a compressor leaves them
MANY = 0.12  # three to six other paragraphs; else at most two
UNANSWERABLE = 0.18  # the documents that answer are not there
FOREIGN = 0.05  # another question's documents
CHAT = 0.04  # the untouched model's own words, so that it goes on chatting

FROZEN_LAYERS = 10
ROWS_A_STEP = 8
TOKENS_A_PASS = 2_400
MOST_TOKENS = 1_100
RATE, WARM_UP = 5e-5, 25


class Draw:
    """Endless rows of each set, every row once before any comes again."""

    def __init__(self, sets: dict[str, list[Row]], chat: list[dict], rng: random.Random):
        self.sets, self.chat, self.rng = sets, chat, rng
        self.shares = {name: share for name, share in SHARES.items() if sets.get(name)}
        self.queue: dict[str, list[int]] = {name: [] for name in sets}

    def row(self, name: str) -> Row:
        if not self.queue[name]:
            self.queue[name] = list(range(len(self.sets[name])))
            self.rng.shuffle(self.queue[name])
        return self.sets[name][self.queue[name].pop()]

    def example(self) -> Example:
        rng = self.rng
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
        if rng.random() < EXTRACTS:
            documents = extract(source, rng, answerable or source is not row)
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


def batches(lengths: list[int]) -> list[list[int]]:
    out: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if out and (len(out[-1]) + 1) * lengths[out[-1][0]] <= TOKENS_A_PASS:
            out[-1].append(i)
        else:
            out.append([i])
    return out


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
    parser.add_argument("--quantised", action="store_true", help="train the weights to stand on the 4-bit grid")
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
    matrices = [p for p in model.parameters() if p.requires_grad and p.dim() == 2] if args.quantised else []
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.01, betas=(0.9, 0.98))
    before, step = (state["seconds"], state["step"]) if state else (0.0, 0)
    if state:
        optimizer.load_state_dict(state["optimizer"])

    chat = [json.loads(line) for line in args.chat.open()] if args.chat else []
    rng = random.Random(args.seed + 1000 * step)
    draw = Draw({name: rows(name, "train") for name in SHARES}, chat, rng)
    began, seen, running = time.time(), 0, 0.0
    limit = args.minutes * 60
    while (spent := before + time.time() - began) < limit:
        rate = args.rate * min(1, (step + 1) / WARM_UP) * max(0.02, 1 - spent / limit)
        for group in optimizer.param_groups:
            group["lr"] = rate
        examples = []
        while len(examples) < ROWS_A_STEP:
            example = draw.example()
            prompt = chat_ids(text, example.prompt)
            ids = [*prompt, *text.encode(example.answer).ids, *([END] if example.ends else [])]
            if len(ids) <= MOST_TOKENS:
                examples.append((ids, len(prompt)))
        optimizer.zero_grad()
        # Straight-through (Bengio et al. 2013): gradients at the weights on the grid move those beside it.
        beside = [p.detach().clone() for p in matrices]
        for p in matrices:
            p.data.copy_(on_grid(p.data))
        for batch in batches([len(ids) for ids, _ in examples]):
            loss = loss_of(model, [examples[i] for i in batch]) / len(examples)
            loss.backward()
            running += loss.item()
        for p, kept in zip(matrices, beside):
            p.data.copy_(kept)
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        seen += sum(len(ids) for ids, _ in examples)
        if step % 10 == 0:
            print(f"{step} loss {running / 10:.3f} rate {rate:.1e} {seen / (time.time() - began):.0f} tokens/s {spent / 60:.0f} min", flush=True)
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

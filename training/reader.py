"""Fine-tunes SmolLM2-135M-Instruct as a reader, for a given time, also of documents that do not see each other. A run goes
on from its last checkpoint.

python reader.py --out DIR --minutes 90 [--gguf FILE] [--chat CHAT.jsonl] [--labels LABELS.jsonl] [--short SHARE]
"""

import argparse
import copy
import json
import random
import time
from pathlib import Path

import torch
from blocks import divergence, seen_whole, segments_of, weights_of
from decoder import Decoder, from_gguf, packaged_gguf
from packed import Segment, batch_of, in_parts, length, logits_of
from reader_data import (
    END,
    NO_ANSWER,
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
from tokenizers import Tokenizer
from torch.nn import functional as F

SHARES = {"nq": 0.3, "qed": 0.1, "hotpot": 0.1, "hotpot-answer": 0.1, "selqa": 0.1, "squad": 0.3}
# First short documents, of which many can be read in the time, then such as they come.
SHORT_PHASE = 0.7  # share of the time, by default
EXTRACTS = 0.4  # afterwards: documents cut to a few sentences, as a compressor leaves them
TOGETHER = (1, 1, 1, 2)  # questions whose documents stand in one prompt, each asked after them
UNANSWERABLE = 0.3  # the documents that answer are not there, those near them are
FOREIGN = 0.05  # a question asked of another's documents
CHAT = 0.03  # the untouched model's own words, so that it goes on chatting
PASSAGE = 0.03  # plain text, so that it stays a language model
QUERY_AWARE = 0.5  # of the prompts of one question: it stands before the documents, too
BLOCKS = 0.25  # of the rows whose documents may be chunks: read as chunks, too

TOKENS_A_STEP = 4_800
TOKENS_AT_ONCE = 2_400  # with padding
MOST_TOKENS = 1_200
PASSAGE_TOKENS = 160
RATE, WARM_UP = 8e-5, 30
AVERAGE = 0.985  # of the weights over steps: each step learns its few questions by heart


class Draw:
    """Endless rows of each set, every row once before any comes again."""

    def __init__(self, text: Tokenizer, sets: dict[str, list[Row]], chat: list[dict], passages: list[str], rng: random.Random):
        self.text, self.sets, self.chat, self.passages, self.rng = text, sets, chat, passages, rng
        self.shares = {name: share for name, share in SHARES.items() if sets.get(name)}
        self.queue: dict[str, list[int]] = {name: [] for name in sets}

    def row(self) -> Row:
        name = self.rng.choices(list(self.shares), list(self.shares.values()))[0]
        if not self.queue[name]:
            self.queue[name] = list(range(len(self.sets[name])))
            self.rng.shuffle(self.queue[name])
        return self.sets[name][self.queue[name].pop()]

    def plain(self) -> list[Segment] | None:
        kind = self.rng.random()
        if kind < PASSAGE:
            return [Segment(self.text.encode(self.rng.choice(self.passages)).ids[:PASSAGE_TOKENS], 0, [], 1)]
        if self.chat and kind < PASSAGE + CHAT:
            pick = self.rng.choice(self.chat)
            prompt = chat_ids(self.text, [("user", pick["prompt"])])
            end = [END] if pick["stop"] else []
            return [Segment([*prompt, *self.text.encode(pick["answer"]).ids, *end], 0, [], len(prompt))]
        return None

    def documents(self, row: Row, short: bool, together: int, answerable: bool) -> list[tuple[str, str]]:
        rng = self.rng
        if short or rng.random() < EXTRACTS:
            return extract(row, rng, (1, 1) if together > 1 else (2, 1) if short else (4, 2), answerable)
        most = 3 if together == 1 else 1
        return paragraphs(row, rng.randint(0 if answerable else 1, most), rng, answerable)

    def example(self, short: bool) -> list[Segment]:
        """Documents, and after them each question by itself with its answer."""
        if plain := self.plain():
            return plain
        rng = self.rng
        rows = [self.row() for _ in range(rng.choice(TOGETHER))]
        missing = [rng.random() < UNANSWERABLE for _ in rows]
        documents = [
            document for row, gone in zip(rows, missing) for document in self.documents(row, short, len(rows), not gone)
        ]
        if rng.random() < FOREIGN * len(rows):
            rows.append(self.row())
            missing.append(True)
        rng.shuffle(documents)
        held = " ".join(text for document in documents for text in document).lower()
        # A text that has the answer without the paragraph that was marked may yet answer.
        asked = [
            (row.question.text, NO_ANSWER if gone else target(row.answers))
            for row, gone in zip(rows, missing)
            if not (gone and any(answer.lower() in held for answer in row.answers))
        ]
        style, upper = rng.random(), rng.random() < 0.5
        if not asked:
            return self.example(short)
        query_aware = len(asked) == 1 and rng.random() < QUERY_AWARE
        prompts, answers = [], []
        for question, answer in asked:
            if rng.random() < 0.3:
                question = question[0].upper() + question[1:].rstrip("? ") + "?"
            answers.append(answer[0].upper() + answer[1:] if upper else answer)
            # The same style for each, so that they begin alike.
            prompts.append(prompt_of(question, documents, random.Random(style), query_aware))
        if not query_aware and rng.random() < BLOCKS / (1 - QUERY_AWARE) and (blocks := segments_of(self.text, prompts, answers)):
            return blocks
        whole = [
            (chat_ids(self.text, prompt), [*self.text.encode(answer).ids, END]) for prompt, answer in zip(prompts, answers)
        ]
        shared = min(common(whole[0][0], prompt) for prompt, _ in whole) if len(whole) > 1 else 0
        if shared == 0:
            return [Segment([*prompt, *answer], 0, [], len(prompt)) for prompt, answer in whole]
        parts = [Segment([*prompt[shared:], *answer], shared, [0], len(prompt) - shared) for prompt, answer in whole]
        return [Segment(whole[0][0][:shared], 0), *parts]


def common(a: list[int], b: list[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)) - 1)


def losses_of(model: Decoder, rows: list[list[Segment]]) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Of all answers, summed: their tokens' mean cross-entropy where all is read; where chunks are read apart, the KL
    divergence from that (it is its own teacher). And the number of chunked questions."""
    whole = [seen_whole(row) for row in rows]
    batch = batch_of(whole, END)
    logits = logits_of(model, batch)
    parts = list(zip((s for row in whole for s in row if s.wanted is not None), logits.split(batch.sizes), batch.wanted.split(batch.sizes)))
    entropy = sum(
        F.cross_entropy(said[max(0, segment.answer - segment.wanted) :], wanted[max(0, segment.answer - segment.wanted) :])
        for segment, said, wanted in parts
    )
    apart = [i for i, row in enumerate(rows) if any(segment.aside for segment in row)]
    if not apart:
        return entropy, torch.zeros(()), 0
    chunked = batch_of([rows[i] for i in apart], END)
    teachers = [
        part
        for i, row in enumerate(rows)
        for part in [parts.pop(0) for segment in row if segment.wanted is not None]
        if i in apart
    ]
    kl = sum(
        (divergence(teacher.detach(), student) * weights_of(segment)).sum()
        for (segment, teacher, _), student in zip(teachers, logits_of(model, chunked).split(chunked.sizes))
    )
    return entropy, kl, len(chunked.sizes)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--gguf", type=Path, default=None)
    parser.add_argument("--chat", type=Path, help="prompts and the untouched model's answers, by bench/training-rows.ts")
    parser.add_argument("--labels", type=Path, help="answers for rows that have none, by bench/training-rows.ts")
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--short", type=float, default=SHORT_PHASE, help="share of the time with short documents")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    gguf = args.gguf or packaged_gguf()
    text, model = tokenizer(gguf), from_gguf(gguf)
    last = args.out / "last.pt"
    state = torch.load(last) if last.exists() else None
    if state:
        model.load_state_dict(state["latest"])
    model.embedding.weight.requires_grad_(False)
    average = copy.deepcopy(model).requires_grad_(False)
    if state:
        average.load_state_dict(state["model"])
    torch._dynamo.config.recompile_limit = 64  # trained or not, one row or some, long or short: each is compiled once
    for layer in model.layers:
        layer.compile(dynamic=True)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.01, betas=(0.9, 0.98), fused=True)
    before, step = (state["seconds"], state["step"]) if state else (0.0, 0)
    if state:
        optimizer.load_state_dict(state["optimizer"])

    chat = [json.loads(line) for line in args.chat.open()] if args.chat else []
    rng = random.Random(args.seed + 1000 * step)
    labels = (
        {(row["id"], row["question"]): row["answer"] for row in map(json.loads, args.labels.open())} if args.labels else {}
    )
    sets = {name: rows(name, "train", labels) for name in SHARES}
    draw = Draw(text, sets, chat, passages("train"), rng)
    began, seen, questions, running = time.time(), 0, 0, {"answer": [], "KL": []}
    limit = args.minutes * 60
    while (spent := before + time.time() - began) < limit:
        rate = args.rate * min(1, (step + 1) / WARM_UP) * max(0.02, 1 - spent / limit)
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch: list[list[Segment]] = []
        while sum(map(length, batch)) < TOKENS_A_STEP:
            row = draw.example(spent < args.short * limit)
            if length(row) <= MOST_TOKENS:
                batch.append(row)
        answers = sum(segment.wanted is not None for row in batch for segment in row)
        optimizer.zero_grad()
        for part in in_parts(batch, TOKENS_AT_ONCE, length):
            entropy, kl, chunked = losses_of(model, part)
            ((entropy + kl) / answers).backward()
            running["answer"].append((entropy.item(), sum(segment.wanted is not None for row in part for segment in row)))
            running["KL"].append((kl.item(), chunked))
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            for mean, now in zip(average.parameters(), model.parameters()):
                if now.requires_grad:
                    mean.lerp_(now, 1 - min(AVERAGE, step / (step + 9)))
        seen += sum(map(length, batch))
        questions += answers
        if step % 10 == 0:
            means = " ".join(f"{k} {sum(x for x, _ in v) / max(1, sum(n for _, n in v)):.3f}" for k, v in running.items())
            print(
                f"{step} {means} rate {rate:.1e} {questions} questions "
                f"{seen / (time.time() - began):.0f} tokens/s {spent / 60:.0f} min",
                flush=True,
            )
            running = {"answer": [], "KL": []}
        if step % 30 == 0:
            save(last, average, model, optimizer, before + time.time() - began, step)
    save(last, average, model, optimizer, before + time.time() - began, step)


def save(
    path: Path, average: Decoder, model: Decoder, optimizer: torch.optim.Optimizer, seconds: float, step: int
) -> None:
    part = path.with_suffix(".part")
    state = {"model": average.state_dict(), "latest": model.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save({**state, "seconds": seconds, "step": step}, part)
    part.rename(path)


if __name__ == "__main__":
    main()

"""Teaches the reader to read documents that do not see each other, so that their caches serve in any order.

A student sees each document behind the system prompt and by itself; the teacher is the reader as it was, reading all.
(Self-distillation for block-wise attention: Sun et al. 2024, Block-Attention.)

python blocks.py --out DIR --minutes 45 --start CHECKPOINT --gguf FILE
"""

import argparse
import copy
import random
import re
import time
from pathlib import Path

import torch
from decoder import from_gguf, packaged_gguf
from packed import Segment, batch_of, length, logits_of
from reader import FROZEN_LAYERS, save
from reader_data import (
    BEGIN,
    DEFAULT_SYSTEM,
    END,
    NO_ANSWER,
    Row,
    extract,
    paragraphs,
    prompt_of,
    rows,
    target,
    tokenizer,
)
from tokenizers import Tokenizer
from torch.nn import functional as F

SHARES = {"nq": 0.4, "qed": 0.1, "hotpot": 0.25, "hotpot-answer": 0.25}
WHOLE = 0.2  # rows where the student reads everything, too: one set of weights for both
UNANSWERABLE = 0.12
EXTRACTS = 0.45  # documents of a few sentences, as a compressor leaves them
QUESTION_WEIGHT = 0.3  # of the question's tokens beside the answer's
TOKENS_A_STEP = 2_000
MOST_TOKENS = 850
RATE, WARM_UP = 2.5e-5, 10
AVERAGE = 0.985  # of the weights over steps: each step learns its few questions by heart

# As kvreuse/chunk-spans.ts cuts messages.
LABEL = re.compile(r"(?:\[\d+\]|\(\d+\)|(?:Document|Source|Passage|Context) \d+:|\d+[.)])(?=\s)")
BLANK = re.compile(r"[^\S\n]*\n[^\S\n]*\n\s*?(?=\S|[^\S\n]+\S)")
TAGGED = re.compile(r"<(document|source|passage|context|chunk|doc)\b[^<>\n]*>(.*?)</\1>", re.DOTALL)
SHORTEST = 16  # tokens of a chunk


def chunk_spans(content: str) -> list[tuple[int, int]]:
    if tagged := list(TAGGED.finditer(content)):
        texts = [(match.end(2) - len(match[2].lstrip()), match.start(2) + len(match[2].rstrip())) for match in tagged]
        return [(start, end) for start, end in texts if start < end]
    starts = [0, *(match.end() for match in BLANK.finditer(content))]
    if len(starts) == 1:
        return []
    labels = [len(match[0]) if (match := LABEL.match(content, start)) else 0 for start in starts]
    labelled, last = any(labels), len(starts) - 1
    spans = []
    for i in range(last):
        if labelled and not labels[i]:
            continue
        following = i + 1
        while labelled and following < last and not labels[following]:
            following += 1
        text = content[starts[i] + labels[i] : starts[following]]
        spans.append((starts[i] + labels[i], starts[i] + labels[i] + len(text.rstrip())))
    return spans


def segments_of(text: Tokenizer, messages: list[tuple[str, str]], answer: str) -> list[Segment]:
    """The prefix, chunks and links in order, and last the question with its answer."""
    if messages[0][0] != "system":
        messages = [("system", DEFAULT_SYSTEM), *messages]
    newline = text.encode("\n").ids
    (_, system), (_, content) = messages
    head = [BEGIN, *text.encode(f"system\n{system}").ids, END, *newline, BEGIN]
    parts: list[tuple[bool, list[int]]] = []
    at = 0
    for start, end in chunk_spans(content):
        ids = text.encode(content[start:end]).ids
        if len(ids) < SHORTEST:
            continue
        parts += [(False, text.encode(("user\n" if at == 0 else "") + content[at:start]).ids), (True, ids)]
        at = end
    tail = text.encode(("user\n" if at == 0 else "") + content[at:]).ids
    tail += [END, *newline, BEGIN, *text.encode("assistant\n").ids]
    if not parts:
        return []
    prefix = head + parts[0][1]
    segments = [Segment(prefix, 0)]
    place = len(prefix)
    for is_chunk, ids in [*parts[1:], (False, [*tail, *text.encode(answer).ids, END])]:
        if is_chunk and place > len(prefix):
            # A chunk is computed right behind the prefix, and moved: here the prefix comes to it.
            segments.append(Segment(prefix, place - len(prefix), aside=True))
        if is_chunk:
            segments.append(Segment(ids, place, [len(segments) - 1 if segments[-1].aside else 0]))
        elif ids:
            segments.append(Segment(ids, place, [i for i, segment in enumerate(segments) if not segment.aside]))
        place += len(ids)
    # From the second on: what a token is predicted from lies in the segment itself.
    segments[-1].wanted = 1
    segments[-1].answer = len(tail)
    return segments


class Draw:
    def __init__(self, text: Tokenizer, sets: dict[str, list[Row]], rng: random.Random):
        self.text, self.sets, self.rng = text, sets, rng
        self.shares = {name: share for name, share in SHARES.items() if sets.get(name)}

    def example(self) -> list[Segment]:
        rng = self.rng
        while True:
            row = rng.choice(self.sets[rng.choices(list(self.shares), list(self.shares.values()))[0]])
            answerable = rng.random() >= UNANSWERABLE
            if rng.random() < EXTRACTS:
                documents = extract(row, rng, (6, 6), answerable)
            else:
                documents = paragraphs(row, rng.randint(1, 7), rng, answerable)
            messages = prompt_of(row.question.text, documents, rng)
            answer = target(row.answers) if answerable else NO_ANSWER
            segments = segments_of(self.text, messages, answer)
            chunks = sum(len(segment.sees) == 1 for segment in segments)
            if chunks >= 2 and length(segments) <= MOST_TOKENS:
                return segments


def seen_whole(row: list[Segment]) -> list[Segment]:
    whole = copy.deepcopy([segment for segment in row if not segment.aside])
    for i, segment in enumerate(whole):
        segment.sees = list(range(i))
    return whole


def divergence(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """KL of each row, [tokens]"""
    wanted = F.log_softmax(teacher, -1)
    return (wanted.exp() * (wanted - F.log_softmax(student, -1))).sum(-1)


def weights_of(row: list[Segment]) -> torch.Tensor:
    """Of the last segment's wanted tokens; they sum to 1."""
    last = row[-1]
    answer = torch.arange(1, len(last.ids)) >= last.answer
    weights = torch.where(answer, 1.0 / answer.sum(), QUESTION_WEIGHT / (~answer).sum())
    # The first token of an answer decides most of it.
    weights[last.answer - 1] *= 2
    return weights / weights.sum()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--start", type=Path, required=True, help="the reader's checkpoint")
    parser.add_argument("--gguf", type=Path, default=None)
    parser.add_argument("--rate", type=float, default=RATE)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    gguf = args.gguf or packaged_gguf()
    text, teacher = tokenizer(gguf), from_gguf(gguf)
    teacher.load_state_dict(torch.load(args.start)["model"])
    teacher.requires_grad_(False)
    student = copy.deepcopy(teacher)
    last = args.out / "last.pt"
    state = torch.load(last) if last.exists() else None
    if state:
        student.load_state_dict(state["model"])
    for layer in student.layers[FROZEN_LAYERS:]:
        layer.requires_grad_(True)
    student.norm.requires_grad_(True)
    trained = [p for p in student.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.rate, weight_decay=0.0, betas=(0.9, 0.98))
    average = copy.deepcopy(student).requires_grad_(False)
    before, step = (state["seconds"], state["step"]) if state else (0.0, 0)
    if state:
        optimizer.load_state_dict(state["optimizer"])
    rng = random.Random(args.seed + 1000 * step)
    draw = Draw(text, {name: rows(name, "train") for name in SHARES}, rng)
    began, seen, questions = time.time(), 0, 0
    running = {"blocks": [], "whole": []}
    limit = args.minutes * 60
    while (spent := before + time.time() - began) < limit:
        for group in optimizer.param_groups:
            group["lr"] = args.rate * min(1, (step + 1) / WARM_UP) * max(0.02, 1 - spent / limit)
        batch: list[list[Segment]] = []
        while sum(map(length, batch)) < TOKENS_A_STEP:
            batch.append(draw.example())
        optimizer.zero_grad()
        batch.sort(key=length)
        half = len(batch) // 2
        for part in filter(None, (batch[:half], batch[half:])):
            whole = [seen_whole(row) for row in part]
            kinds = ["whole" if rng.random() < WHOLE else "blocks" for _ in part]
            with torch.no_grad():
                wanted = logits_of(teacher, batch_of(whole, END))
            read = batch_of([w if kind == "whole" else row for w, row, kind in zip(whole, part, kinds)], END)
            kls = divergence(wanted, logits_of(student, read)).split(read.sizes)
            losses = [(kl * weights_of(row)).sum() for kl, row in zip(kls, part)]
            (sum(losses) / len(batch)).backward()
            for kl, row, kind in zip(kls, part, kinds):
                running[kind].append(kl[row[-1].answer - 1].item())
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        step += 1
        with torch.no_grad():
            keep = min(AVERAGE, step / (step + 9))
            for mean, now in zip(average.parameters(), student.parameters()):
                if now.requires_grad:
                    mean.lerp_(now, 1 - keep)
        seen += sum(map(length, batch))
        questions += len(batch)
        if step % 20 == 0:
            means = " ".join(f"{kind} {sum(kls) / max(1, len(kls)):.4f}" for kind, kls in running.items())
            print(
                f"{step} first-token KL {means} {questions} questions "
                f"{seen / (time.time() - began):.0f} tokens/s {spent / 60:.0f} min",
                flush=True,
            )
            running = {"blocks": [], "whole": []}
        if step % 30 == 0:
            save(last, average, optimizer, before + time.time() - began, step)
    save(last, average, optimizer, before + time.time() - began, step)


if __name__ == "__main__":
    main()

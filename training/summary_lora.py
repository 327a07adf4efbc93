"""Teaches the reader to write summaries by low-rank changes of its weights (Hu et al. 2022, LoRA, arXiv 2106.09685), for a
given time. A run goes on from its last checkpoint; each has the changes and, merged, what export_reader.py exports.

python summary_lora.py --out DIR --minutes 45 [--gguf FOLDER] [--rank 16] [--frozen 14]
"""

import argparse
import math
import random
import time
from pathlib import Path

import torch
from data import ROOT
from decoder import Decoder, Layer, angles, from_gguf, rotate
from reader_data import END, tokenizer
from summary_data import Draw, ids_of, shown
from torch import nn
from torch.nn import functional as F

PRODUCTS = ("q", "k", "v", "o", "gate", "up", "down")
BATCH, AHEAD = 8, 4  # examples a step; batches drawn at once, so that those of a batch are about as long
WARM_UP = 10
SAVED_EVERY = 15
HELD = 32  # dev examples whose loss is printed


class Adapted(nn.Module):
    """A product and a low-rank change of it, which begins at nothing."""

    def __init__(self, inner: nn.Linear, rank: int, scale: float):
        super().__init__()
        self.inner, self.scale = inner.requires_grad_(False), scale
        self.a = nn.Parameter(torch.randn(rank, inner.in_features) / math.sqrt(inner.in_features))
        self.b = nn.Parameter(torch.zeros(inner.out_features, rank))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x) + F.linear(F.linear(x, self.a), self.b) * self.scale

    def merged(self) -> torch.Tensor:
        return self.inner.weight + self.b @ self.a * self.scale


class Student:
    """The decoder with changes above its lowest layers. All prompts begin alike: that is read once a step, and by the
    lowest layers once."""

    def __init__(self, model: Decoder, prefix: list[int], frozen: int, rank: int):
        self.model, self.frozen = model.requires_grad_(False), frozen
        for layer in model.layers[frozen:]:
            for name in PRODUCTS:
                setattr(layer, name, Adapted(getattr(layer, name), rank, 2.0))
        self.length = len(prefix)
        self.keys = []
        with torch.no_grad():
            x = model.embedding(torch.tensor([prefix]))
            for layer in model.layers[:frozen]:
                x, known = read(layer, x, 0, None)
                self.keys.append(known)
        self.prefix = x

    def parameters(self) -> dict[str, nn.Parameter]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def loss(self, examples: list[tuple[list[int], int]]) -> tuple[torch.Tensor, int]:
        """Of all tokens of the summaries, summed, and how many they are. Padded at the end, which nothing sees."""
        model = self.model
        ids = torch.full((len(examples), max(len(row) for row, _ in examples)), END)
        for i, (row, _) in enumerate(examples):
            ids[i, : len(row)] = torch.tensor(row)
        x, prefix = model.embedding(ids), self.prefix
        for i, layer in enumerate(model.layers):
            if i < self.frozen:
                known = self.keys[i]
            else:
                prefix, known = read(layer, prefix, 0, None)
            x, _ = read(layer, x, self.length, known)
        x = F.rms_norm(x, (model.shape.width,), model.norm, model.shape.epsilon)
        places = [(i, at - 1) for i, (row, start) in enumerate(examples) for at in range(start, len(row))]
        rows, before = map(list, zip(*places))
        wanted = torch.tensor([token for row, start in examples for token in row[start:]])
        return F.cross_entropy(model.logits(x[rows, before]), wanted, reduction="sum"), len(wanted)

    def merged(self) -> dict[str, torch.Tensor]:
        """The state of a plain Decoder."""
        state = {}
        for name, value in self.model.state_dict().items():
            if name.endswith((".a", ".b")):
                continue
            place = name.removesuffix(".inner.weight")
            state[name if place == name else f"{place}.weight"] = (
                value if place == name else self.model.get_submodule(place).merged()
            )
        return state


Known = tuple[torch.Tensor, torch.Tensor]


def read(layer: Layer, x: torch.Tensor, position: int, known: Known | None) -> tuple[torch.Tensor, Known]:
    """decoder.Layer for texts that stand behind one whose keys and values, of a batch of one, are known."""
    shape = layer.shape
    batch, length, _ = x.shape
    rotation = angles(shape, torch.arange(position, position + length), x.dtype)
    heads = lambda y: y.view(batch, length, -1, shape.head).transpose(1, 2)  # noqa: E731
    y = F.rms_norm(x, (shape.width,), layer.input_norm, shape.epsilon)
    own = rotate(heads(layer.k(y)), rotation), heads(layer.v(y))
    k, v = own if known is None else (torch.cat([a.expand(batch, -1, -1, -1), b], 2) for a, b in zip(known, own))
    times = shape.heads // shape.groups
    k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
    mask = torch.ones(length, k.shape[2], dtype=torch.bool).tril(k.shape[2] - length)
    y = F.scaled_dot_product_attention(rotate(heads(layer.q(y)), rotation), k, v, attn_mask=mask)
    x = x + layer.o(y.transpose(1, 2).reshape(batch, length, shape.width))
    y = F.rms_norm(x, (shape.width,), layer.inner_norm, shape.epsilon)
    return x + layer.down(F.silu(layer.gate(y)) * layer.up(y)), own


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--gguf", type=Path, default=ROOT / "models/weights/smollm2")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--frozen", type=int, default=14, help="lowest layers that stay as they are")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    text = tokenizer(args.gguf)
    prefix = text.encode(f"{shown()}Text:").ids
    student = Student(from_gguf(args.gguf), prefix, args.frozen, args.rank)
    changes = student.parameters()
    optimizer = torch.optim.AdamW(changes.values(), lr=args.rate, weight_decay=0.0, betas=(0.9, 0.98))
    before, step = 0.0, 0
    last = args.out / "last.pt"
    if last.exists():
        state = torch.load(last)
        student.model.load_state_dict(state["changes"], strict=False)
        optimizer.load_state_dict(state["optimizer"])
        before, step = state["seconds"], state["step"]
    draw = Draw(random.Random(args.seed + 1000 * step))
    dev = Draw(random.Random(7), "dev")
    held = sorted((ids_of(text, prefix, dev.example()) for _ in range(HELD)), key=lambda row: len(row[0]))

    def measure() -> None:
        with torch.no_grad():
            sums = [student.loss(held[at : at + BATCH]) for at in range(0, HELD, BATCH)]
        print(f"{step} held-out loss {sum(loss.item() for loss, _ in sums) / sum(n for _, n in sums):.3f}", flush=True)

    def save() -> None:
        state = {"model": student.merged(), "changes": changes, "optimizer": optimizer.state_dict()}
        part = last.with_suffix(".part")
        torch.save({**state, "seconds": before + time.time() - began, "step": step}, part)
        part.rename(last)

    began, seen, queue = time.time(), 0, []
    limit = args.minutes * 60
    measure()
    while (spent := before + time.time() - began) < limit:
        for group in optimizer.param_groups:
            group["lr"] = args.rate * min(1, (step + 1) / WARM_UP) * max(0.02, 1 - spent / limit)
        if not queue:
            drawn = sorted((ids_of(text, prefix, draw.example()) for _ in range(AHEAD * BATCH)), key=lambda row: len(row[0]))
            queue = [drawn[at : at + BATCH] for at in range(0, len(drawn), BATCH)]
            draw.rng.shuffle(queue)
        batch = queue.pop()
        loss, count = student.loss(batch)
        optimizer.zero_grad()
        (loss / count).backward()
        torch.nn.utils.clip_grad_norm_(changes.values(), 1.0)
        optimizer.step()
        step += 1
        seen += sum(len(row) for row, _ in batch)
        if step % 5 == 0:
            print(f"{step} loss {loss.item() / count:.3f} {seen / (time.time() - began):.0f} tokens/s {spent / 60:.1f} min", flush=True)
        if step % SAVED_EVERY == 0:
            save()
            if step % (4 * SAVED_EVERY) == 0:
                measure()
    measure()
    save()


if __name__ == "__main__":
    main()

"""Rows of segments that share what they read: a segment sees some of those before it, at positions of its own."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from decoder import Decoder

Item = TypeVar("Item")


@dataclass
class Segment:
    ids: list[int]
    position: int  # of its first token
    sees: list[int] = field(default_factory=list)  # segments before it, whole; itself it sees causally
    wanted: int | None = None  # from this of its tokens on they are what the model is to say
    aside: bool = False  # a copy that one other segment alone sees
    answer: int = 0  # the first of its tokens that answers, where the question is wanted too


@dataclass
class Batch:
    ids: torch.Tensor  # [rows, length]
    positions: torch.Tensor  # [rows, length]
    mask: torch.Tensor  # [rows, 1, length, length], true where a token sees another
    before: torch.Tensor  # flat indices of the tokens that a wanted one is read from
    wanted: torch.Tensor  # [wanted tokens]
    sizes: list[int]  # wanted tokens of each segment that has some


def length(row: list[Segment]) -> int:
    return sum(len(segment.ids) for segment in row)


def in_parts(items: Iterable[Item], tokens: int, tokens_of: Callable[[Item], int]) -> list[list[Item]]:
    """Those of like length together, the longest first, at most so many tokens with their padding, which is computed too."""
    parts: list[list[Item]] = []
    for item in sorted(items, key=tokens_of, reverse=True):
        if parts and tokens_of(parts[-1][0]) * (len(parts[-1]) + 1) <= tokens:
            parts[-1].append(item)
        else:
            parts.append([item])
    return parts


def batch_of(rows: list[list[Segment]], pad: int = 0) -> Batch:
    longest = max(map(length, rows))
    ids = torch.full((len(rows), longest), pad)
    positions = torch.zeros((len(rows), longest), dtype=torch.long)
    mask = torch.eye(longest, dtype=torch.bool).repeat(len(rows), 1, 1)
    before, wanted, sizes = [], [], []
    for r, row in enumerate(rows):
        starts, at = [], 0
        for segment in row:
            n = len(segment.ids)
            here = slice(at, at + n)
            ids[r, here] = torch.tensor(segment.ids)
            positions[r, here] = torch.arange(segment.position, segment.position + n)
            mask[r, here, here] = torch.ones(n, n, dtype=torch.bool).tril()
            for other in segment.sees:
                mask[r, here, starts[other] : starts[other] + len(row[other].ids)] = True
            if segment.wanted is not None:
                before += range(r * longest + at + segment.wanted - 1, r * longest + at + n - 1)
                wanted += segment.ids[segment.wanted :]
                sizes.append(n - segment.wanted)
            starts.append(at)
            at += n
    return Batch(ids, positions, mask[:, None], torch.tensor(before), torch.tensor(wanted), sizes)


def logits_of(model: Decoder, batch: Batch) -> torch.Tensor:
    """[wanted tokens, vocabulary]"""
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model.hidden(batch.ids, batch.mask, batch.positions)
        return model.logits(hidden.flatten(0, 1)[batch.before]).float()

"""A prompt as kvreuse reads it: documents behind the system prompt and each by itself, the rest seeing all.

What reader.py teaches beside reading everything, so that chunks' caches serve in any order (self-distillation for
block-wise attention: Sun et al. 2024, Block-Attention).
"""

import copy
import re

import torch
from packed import Segment
from reader_data import BEGIN, DEFAULT_SYSTEM, END
from tokenizers import Tokenizer
from torch.nn import functional as F

QUESTION_WEIGHT = 0.3  # of the question's tokens beside the answer's

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


def segments_of(text: Tokenizer, prompts: list[list[tuple[str, str]]], answers: list[str]) -> list[Segment]:
    """The prefix, chunks and links in order, and last each question with its answer. None where the prompts differ before
    their questions, or hold fewer than two chunks."""
    parts, tails = parts_of(text, prompts[0]), []
    for prompt in prompts:
        other = parts_of(text, prompt)
        if other[:-1] != parts[:-1]:
            return []
        tails.append(other[-1][1])
    if sum(is_chunk for is_chunk, _ in parts) < 2:
        return []
    prefix = parts[0][1]
    segments = [Segment(prefix, 0)]
    place = len(prefix)
    for is_chunk, ids in parts[1:-1]:
        if is_chunk and place > len(prefix):
            # A chunk is computed right behind the prefix, and moved: here the prefix comes to it.
            segments.append(Segment(prefix, place - len(prefix), aside=True))
        if is_chunk:
            segments.append(Segment(ids, place, [len(segments) - 1 if segments[-1].aside else 0]))
        elif ids:
            segments.append(Segment(ids, place, seen(segments)))
        place += len(ids)
    before = seen(segments)
    for tail, answer in zip(tails, answers):
        ids = [*tail, END, *text.encode("\n").ids, BEGIN, *text.encode("assistant\n").ids]
        # From the second on: what a token is predicted from lies in the segment itself.
        segments.append(Segment([*ids, *text.encode(answer).ids, END], place, before, wanted=1, answer=len(ids)))
    return segments


def parts_of(text: Tokenizer, messages: list[tuple[str, str]]) -> list[tuple[bool, list[int]]]:
    """The prefix, then chunks (true) and what stands between them, and last what stands behind."""
    if messages[0][0] != "system":
        messages = [("system", DEFAULT_SYSTEM), *messages]
    (_, system), (_, content) = messages
    head = [BEGIN, *text.encode(f"system\n{system}").ids, END, *text.encode("\n").ids, BEGIN]
    parts: list[tuple[bool, list[int]]] = []
    at = 0
    for start, end in chunk_spans(content):
        ids = text.encode(content[start:end]).ids
        if len(ids) >= SHORTEST:
            parts += [(False, text.encode(("user\n" if at == 0 else "") + content[at:start]).ids), (True, ids)]
            at = end
    parts.append((False, text.encode(("user\n" if at == 0 else "") + content[at:]).ids))
    return [(False, head + parts[0][1]), *parts[1:]]


def seen(segments: list[Segment]) -> list[int]:
    return [i for i, segment in enumerate(segments) if not segment.aside]


def seen_whole(row: list[Segment]) -> list[Segment]:
    """The same, every document seeing those before it."""
    whole = copy.deepcopy([segment for segment in row if not segment.aside])
    shared = sum(segment.wanted is None for segment in whole)
    for i, segment in enumerate(whole):
        segment.sees = list(range(min(i, shared)))
    return whole


def divergence(teacher: torch.Tensor, student: torch.Tensor) -> torch.Tensor:
    """KL of each row, [tokens]"""
    wanted = F.log_softmax(teacher, -1)
    return (wanted.exp() * (wanted - F.log_softmax(student, -1))).sum(-1)


def weights_of(segment: Segment) -> torch.Tensor:
    """Of a question's wanted tokens; they sum to 1."""
    answer = torch.arange(1, len(segment.ids)) >= segment.answer
    weights = torch.where(answer, 1.0 / answer.sum(), QUESTION_WEIGHT / (~answer).sum())
    # The first token of an answer decides most of it.
    weights[segment.answer - 1] *= 2
    return weights / weights.sum()

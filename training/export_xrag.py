"""A checkpoint of xrag.py as models/decoder/projector.ts reads it: projector.safetensors and model.json.

python export_xrag.py --checkpoint runs/xrag/last.pt --out ../models/weights/xrag-projector [--type float16]
"""

import argparse
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

FILE = "projector.safetensors"
NAMES = ("projector.0.weight", "projector.0.bias", "projector.2.weight", "projector.2.bias")
TYPES = {"float32": torch.float32, "float16": torch.float16}
SOURCE = "trained by training/xrag.py on Wikipedia paragraphs, from minilm to smollm2"


def write_projector(tensors: dict[str, torch.Tensor], kind: torch.dtype, out: Path, source: str) -> None:
    """Tensors by NAMES, checked, into a folder with its manifest."""
    missing = [name for name in NAMES if name not in tensors]
    if missing:
        raise SystemExit(f"the checkpoint has no {', '.join(missing)}: it has {', '.join(sorted(tensors)[:8])}")
    first, first_bias, second, second_bias = (tensors[name].detach().float() for name in NAMES)
    hidden, inputs = first.shape
    width = second.shape[0]
    if first_bias.shape != (hidden,) or second.shape != (width, hidden) or second_bias.shape != (width,):
        raise SystemExit(f"its layers do not follow on each other: {[tuple(tensors[name].shape) for name in NAMES]}")
    if not all(torch.isfinite(tensors[name].to(kind)).all() for name in NAMES):
        raise SystemExit(f"it holds what is no number, or none that {kind} can hold")
    out.mkdir(parents=True, exist_ok=True)
    save_file({f"projector.{name}": tensors[name].detach().to(kind).contiguous() for name in NAMES}, out / FILE)
    (out / FILE).chmod(0o644)
    manifest = Path(__file__).with_name("manifest.py")
    subprocess.run([sys.executable, str(manifest), str(out), "projector", source], check=True)
    with torch.no_grad():
        x = torch.nn.functional.normalize(torch.randn(256, inputs, generator=torch.Generator().manual_seed(1)), dim=1)
        exact = torch.nn.functional.gelu(x @ first.T + first_bias) @ second.T + second_bias
        a, b, c, d = (tensors[name].to(kind).float() for name in NAMES)
        lost = (torch.nn.functional.gelu(x @ a.T + b) @ c.T + d - exact).norm(dim=1) / exact.norm(dim=1)
    print(f"{inputs} -> {hidden} -> {width}, {(out / FILE).stat().st_size:,} bytes, mean error of an embedding {lost.mean():.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--type", choices=TYPES, default="float16")
    args = parser.parse_args()
    state = torch.load(args.checkpoint, map_location="cpu", weights_only=True)["projector"]
    write_projector(state, TYPES[args.type], args.out, SOURCE)


if __name__ == "__main__":
    main()

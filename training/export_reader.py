"""A checkpoint of reader.py or summary_lora.py as GGUF, in two files: what was trained with 8 bits (Q8_0), what was not as
it was. Of several checkpoints it is their mean (Wortsman et al. 2022, Model soups). On the grid of 4 bits that the source
has, most of what the training moves would be rounded back.

python export_reader.py --checkpoint runs/reader/last.pt ... --out ../weights/smollm2 [--gguf FILE or FOLDER]
"""

import argparse
from pathlib import Path

import torch
from decoder import NAMES, from_gguf, packaged_gguf
from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter, quants

LARGEST_FILE = 90_000_000
Q8 = GGMLQuantizationType.Q8_0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", type=Path, required=True, nargs="+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--gguf", type=Path, default=None)
    args = parser.parse_args()
    source = args.gguf or packaged_gguf()
    args.out.mkdir(parents=True, exist_ok=True)
    model = from_gguf(source)
    shape = model.shape
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(mean_of(args.checkpoint))
    after = model.state_dict()
    readers = [GGUFReader(part) for part in (sorted(source.glob("*.gguf")) if source.is_dir() else [source])]
    writer = GGUFWriter(args.out / "model.gguf", "llama", split_max_size=LARGEST_FILE)
    for name, field in readers[0].fields.items():
        if name.startswith(("GGUF.", "split.")) or name == "general.architecture":
            continue
        value = "SmolLM2 135M Instruct, fine-tuned as a reader by ragpress" if name == "general.name" else field.contents()
        parts = field.types
        writer.add_key_value(name, value, parts[0], sub_type=parts[-1] if parts[0] == GGUFValueType.ARRAY else None)
    trained = 0
    for tensor in (tensor for part in readers for tensor in part.tensors):
        name, heads = {"token_embd.weight": "embedding.weight", "output_norm.weight": "norm"}.get(tensor.name), None
        if name is None:
            _, layer, part, _ = tensor.name.split(".")
            name = f"layers.{layer}.{NAMES[part]}"
            heads = {"attn_q": shape.heads, "attn_k": shape.groups}.get(part)
        if torch.equal(before[name], after[name]):
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
            continue
        values = after[name]
        if values.dim() == 2:
            trained += values.numel()
            rows = by_pairs(values, heads) if heads else values
            writer.add_tensor(tensor.name, quants.quantize(rows.contiguous().numpy(), Q8), raw_dtype=Q8)
        else:
            writer.add_tensor(tensor.name, values.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for file in sorted(args.out.glob("*.gguf")):
        print(f"{file}: {file.stat().st_size:,} bytes")
    print(f"{trained:,} weights with 8 bits")


def mean_of(checkpoints: list[Path]) -> dict[str, torch.Tensor]:
    states = [torch.load(path)["model"] for path in checkpoints]
    return {name: sum(state[name] for state in states) / len(states) for name in states[0]}


def by_pairs(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of q and k as llama.cpp has them; decoder.half_split undoes it."""
    rows, width = weight.shape
    return weight.view(heads, 2, rows // heads // 2, width).transpose(1, 2).reshape(rows, width)


if __name__ == "__main__":
    main()

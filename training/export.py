"""ONNX graphs: float32, and int8 with weights by channel and activations quantised as they come.

python export.py --checkpoint FILE --out FOLDER     the evidence model; --float32 leaves the exact graph beside it
"""

import argparse
import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from data import CLS, COLON, MATCH, PAD, PIN_TOKENS, PLAIN, QUERY, QUERY_TOKENS, SEP, TITLE_TOKENS, WINDOW_TOKENS
from model import MIDDLE, MINILM, Encoder, Evidence
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

OPSET = 17


def export(model: nn.Module, inputs: dict[str, torch.Tensor], outputs: dict[str, dict[int, str]], path: Path) -> None:
    """Writes a graph whose inputs are [batch, tokens], both free; outputs with the names of their free axes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    model.eval()
    axes = {name: {0: "batch", 1: "tokens"} for name in inputs} | outputs
    torch.onnx.export(
        model,
        tuple(inputs.values()),
        path,
        input_names=list(inputs),
        output_names=list(outputs),
        dynamic_axes=axes,
        opset_version=OPSET,
        dynamo=False,
    )


def quantise(source: Path, target: Path, reduce_range: bool, skip: tuple[str, ...] = ()) -> None:
    """Int8 of the matrix products with weights, and of the word embeddings.

    With `reduce_range` weights take 7 bits: AVX2 and AVX-512 without VNNI add pairs of products of unsigned and signed
    bytes in 16 bits, which saturates at 8."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder) / "ready.onnx"
        quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
        names = [node.name for node in onnx.load(ready).graph.node if any(part in node.name for part in skip)]
        quantize_dynamic(
            ready,
            target,
            op_types_to_quantize=["MatMul", "Gather"],
            per_channel=True,
            reduce_range=reduce_range,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=names,
            extra_options={"MatMulConstBOnly": True},
        )


def session(path: Path, threads: int = 2) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def copy_tokenizer(folder: Path) -> None:
    """The tokenizer as it is, less its truncation and padding, which are the caller's."""
    tokenizer = json.loads((MINILM / "tokenizer.json").read_text(encoding="utf8"))
    tokenizer["truncation"] = tokenizer["padding"] = None
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf8")
    shutil.copymode(MINILM / "tokenizer.json", folder / "tokenizer.json")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)


def file_facts(folder: Path) -> dict:
    names = ("model.onnx", "tokenizer.json")
    return {
        "sha256": {name: sha256(folder / name) for name in names},
        "bytes": {name: (folder / name).stat().st_size for name in names},
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoint", type=Path, help="default: the encoder before any training")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--float32", action="store_true")
    args = parser.parse_args()
    model = Evidence(Encoder.pretrained())
    if args.checkpoint:
        model.load_state_dict(torch.load(args.checkpoint, weights_only=False)["ema"])
    ids = torch.full((2, 96), 2054)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_kinds": torch.zeros_like(ids)}
    exact = args.out / "float32.onnx"
    outputs = {"outputs": {0: "batch", 1: "tokens"}, "cosines": {0: "batch", 1: "tokens", 2: "query"}}
    export(model, inputs, outputs, exact)
    quantise(exact, args.out / "model.onnx", reduce_range=True, skip=("/head/",))
    if not args.float32:
        exact.unlink()
    copy_tokenizer(args.out)
    config = {
        "name": "evidence",
        "inputs": list(inputs),
        "outputs": list(outputs),
        "slope": round(model.slope.item(), 5),
        "middle": MIDDLE,
        "channels": ["value", "weight", "relevance"],
        "weightClamp": 15,
        "window": {"tokens": WINDOW_TOKENS, "query": QUERY_TOKENS, "title": TITLE_TOKENS, "pin": PIN_TOKENS},
        "tokens": {"cls": CLS, "sep": SEP, "colon": COLON, "pad": PAD},
        "kinds": {"plain": PLAIN, "match": MATCH, "query": QUERY},
        **file_facts(args.out),
    }
    (args.out / "config.json").write_text(json.dumps(config, indent=1) + "\n")


if __name__ == "__main__":
    main()

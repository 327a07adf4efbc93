"""Writes the card of a projector.

python xrag_card.py --model FOLDER --measured measured.json --answers eval-xrag.json --training "TEXT"

The first as `xrag.py --measure` writes it, the second by `npm run eval -- xrag --json`.
"""

import argparse
import hashlib
import json
from pathlib import Path

from safetensors.numpy import load_file

CARD = """# {name}

Makes a document one token of `smollm2` (Cheng et al. 2024, xRAG, arXiv 2405.13792): Linear({inputs}, {hidden}), GELU,
Linear({hidden}, {width}). It takes the document's embedding by `minilm` as it ships (int8), of length 1, of `title`, a line
break and the text; it is to be read by `smollm2` and no other model. Trained and measured beside version 2 of it. English.

- Made by `training/xrag.py`, the decoder frozen: {training}.
- Data: Wikipedia paragraphs (CC BY-SA), HotpotQA (CC BY-SA 4.0), Natural Questions and QED (CC BY-SA 3.0): train files of
  shared/data. The weights are Apache-2.0; the data is not in them or beside them.
- `{file}` ({size:,} bytes), SHA-256 `{hash}`.
- Its embeddings are {projected:.2f} long on average, the decoder's own {decoder:.2f}.

A document's token says what it is about. Names, numbers and dates do not survive: what has to be exact goes in as text.

Loss a token, of {documents} held-out paragraphs (their first {target} tokens) and of the answers to {questions} dev questions.
Another document's token is the control: what the token does without saying anything of the document.

| | nothing | another's token | its own token | own below another's | own below nothing | its text |
| --- | --- | --- | --- | --- | --- | --- |
{losses}

Share of dev answers that hold the right one ("declined": it says the documents do not say):

| set | read | right | declined | prompt tokens | embeddings |
| --- | --- | --- | --- | --- | --- |
{rows}
"""


def loss_row(name: str, of: dict[str, float]) -> str:
    below = lambda other: f"{100 * (1 - of['own'] / of[other]):.1f}%"  # noqa: E731
    text = f"{of['text']:.3f}" if "text" in of else "-"
    return (
        f"| {name} | {of['none']:.3f} | {of['another']:.3f} | {of['own']:.3f} "
        f"| {below('another')} | {below('none')} | {text} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "measured", "answers"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--training", required=True)
    args = parser.parse_args()
    measured = json.loads(args.measured.read_text())
    (file,) = args.model.glob("*.safetensors")
    tensors = load_file(file)
    hidden, inputs = tensors["projector.projector.0.weight"].shape
    rows = [
        f"| {name} | {read} | {of['right']:.3f} | {of['declined']:.3f} | {of['promptTokens']:.0f} | {of['embeddings']:.1f} |"
        for name, contexts in json.loads(args.answers.read_text())["sets"].items()
        for read, of in contexts.items()
    ]
    card = CARD.format(
        name=args.model.resolve().name,
        inputs=inputs,
        hidden=hidden,
        width=tensors["projector.projector.2.weight"].shape[0],
        training=args.training,
        file=file.name,
        size=file.stat().st_size,
        hash=hashlib.sha256(file.read_bytes()).hexdigest(),
        **measured["norm"],
        **measured["counts"],
        losses="\n".join(loss_row(name, measured[name]) for name in ("documents", "answers")),
        rows="\n".join(rows),
    )
    (args.model / "CARD.md").write_text(card)


if __name__ == "__main__":
    main()

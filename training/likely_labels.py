"""Of the answers that bench/training-rows.ts had a reader find, those that a reader thinks likely: of SQuAD's, by eye, most
of what is left is right, where before half was not.

python likely_labels.py LABELS.jsonl --model FOLDER [--checkpoint runs/reader/last.pt] > LIKELY.jsonl
"""

import argparse
import gzip
import json
from pathlib import Path

import torch
from data import DATA
from decoder import from_gguf
from packed import Segment, batch_of, in_parts, length, logits_of
from reader_data import END, chat_ids, prompt_of, tokenizer
from torch.nn import functional as F

LEAST = 0.12  # probability of the whole answer, read from its evidence alone
LONGEST = 2_000  # characters of evidence
TOKENS_AT_ONCE = 4_800


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("labels", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path)
    args = parser.parse_args()
    text, model = tokenizer(args.model), from_gguf(args.model)
    if args.checkpoint:
        model.load_state_dict(torch.load(args.checkpoint)["model"])
    labels = [json.loads(line) for line in args.labels.open()]
    asked = {}
    for name in {label["set"] for label in labels}:
        with gzip.open(DATA / "evidence" / f"{name}.train.jsonl.gz", "rt", encoding="utf8") as lines:
            asked |= {(row["id"], row["question"]): row for row in map(json.loads, lines)}
    items: list[tuple[dict, list[Segment]]] = []
    for label in labels:
        row = asked[label["id"], label["question"]]
        evidence = " ".join(row["documents"][d]["sentences"][s].strip() for d, s in row["evidence"])
        if len(evidence) > LONGEST:
            continue
        title = row["documents"][row["evidence"][0][0]]["title"]
        prompt = chat_ids(text, prompt_of(row["question"], [(title, evidence)]))
        ids = [*prompt, *text.encode(label["answer"]).ids, END]
        items.append((label, [Segment(ids, 0, wanted=len(prompt))]))
    for part in in_parts(items, TOKENS_AT_ONCE, lambda item: length(item[1])):
        batch = batch_of([row for _, row in part], END)
        with torch.no_grad():
            said = zip(logits_of(model, batch).split(batch.sizes), batch.wanted.split(batch.sizes))
        for (label, _), (logits, wanted) in zip(part, said):
            if (-F.cross_entropy(logits, wanted, reduction="sum")).exp() >= LEAST:
                print(json.dumps(label), flush=True)


if __name__ == "__main__":
    main()

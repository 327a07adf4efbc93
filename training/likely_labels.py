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
from reader_data import END, chat_ids, prompt_of, tokenizer

LEAST = 0.12  # probability of the whole answer, read from its evidence alone
LONGEST = 2_000  # characters of evidence
BATCH = 32


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
    items = []
    for label in labels:
        row = asked[label["id"], label["question"]]
        evidence = " ".join(row["documents"][d]["sentences"][s].strip() for d, s in row["evidence"])
        if len(evidence) > LONGEST:
            continue
        title = row["documents"][row["evidence"][0][0]]["title"]
        prompt = chat_ids(text, prompt_of(row["question"], [(title, evidence)]))
        items.append((label, len(prompt), [*prompt, *text.encode(label["answer"]).ids, END]))
    items.sort(key=lambda item: len(item[2]))
    for i in range(0, len(items), BATCH):
        batch = items[i : i + BATCH]
        ids = torch.full((len(batch), len(batch[-1][2])), END)
        for row, (_, _, tokens) in zip(ids, batch):
            row[: len(tokens)] = torch.tensor(tokens)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            hidden = model.hidden(ids)
        for (label, start, tokens), states in zip(batch, hidden):
            logs = model.logits(states[start - 1 : len(tokens) - 1].float()).log_softmax(-1)
            if logs.gather(1, torch.tensor(tokens[start:])[:, None]).sum().exp() >= LEAST:
                print(json.dumps(label), flush=True)


if __name__ == "__main__":
    main()

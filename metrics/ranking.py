"""Scores of how well a ranking places the right candidates of a question, computed as by trec_eval.

Ties are broken as in trec_eval: among equal scores, the document id that is later in lexicographic order ranks first.
The id of a candidate is its place among the candidates of its question, in the order of the data, padded with zeros.
The later candidate therefore ranks first. Labels are 1 (right) or 0.
"""

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike


class RankingScores(TypedDict):
    """The scores that `map_mrr` returns."""

    map: float  # mean of `average_precision`, in [0, 1]
    mrr: float  # mean of `reciprocal_rank`, in [0, 1]
    questions: int  # number of questions that the means are over


def _ranked(scores: ArrayLike, labels: ArrayLike) -> np.ndarray:
    """Return the labels as bool [C], best score first."""
    scores, labels = np.asarray(scores), np.asarray(labels, bool)
    if scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} differ in shape")
    if np.isnan(scores).any():
        raise ValueError(f"{np.isnan(scores).sum()} scores are NaN and have no rank")
    return labels[np.argsort(scores, kind="stable")[::-1]]


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return the mean precision at the ranks of the right candidates: sum_i (i / rank_i) / R, in [0, 1].

    R is the number of right candidates, and rank_i the i-th best of their ranks. The score is 0 if no candidate is
    right.

    Args:
        scores: [C], of the candidates of one question, higher for likelier.
        labels: [C], 0 or 1.

    Raises:
        ValueError: scores and labels differ in shape, or a score is NaN.
    """
    ranks = np.flatnonzero(_ranked(scores, labels)) + 1
    return float(np.sum(np.arange(1, len(ranks) + 1) / ranks) / max(len(ranks), 1))


def reciprocal_rank(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return 1 / rank of the best right candidate, in [0, 1]; 0 if no candidate is right.

    Arguments and errors are those of `average_precision`.
    """
    ranks = np.flatnonzero(_ranked(scores, labels)) + 1
    return float(1 / ranks[0]) if len(ranks) else 0.0


def map_mrr(groups: ArrayLike, scores: ArrayLike, labels: ArrayLike) -> RankingScores:
    """Return MAP and MRR, the means over questions of `average_precision` and `reciprocal_rank`.

    A question without a right candidate is left out, as is usual for WikiQA and TREC QA; trec_eval would count it as 0.
    A question with only right candidates scores 1 and counts. For a "clean" set, the caller removes such questions.

    Args:
        groups: [N], the question of each candidate, of any type that sorts; the candidates of a question need not be
            adjacent.
        scores: [N], higher for likelier.
        labels: [N], 0 or 1.

    Raises:
        ValueError: the arguments differ in shape, a score is NaN, or no question has a right candidate.
    """
    groups, scores, labels = np.asarray(groups), np.asarray(scores), np.asarray(labels, bool)
    if not groups.shape == scores.shape == labels.shape:
        raise ValueError(f"groups {groups.shape}, scores {scores.shape}, labels {labels.shape} differ in shape")
    questions = [groups == group for group in np.unique(groups[labels])]
    if not questions:
        raise ValueError("no question has a right candidate")
    return {
        "map": float(np.mean([average_precision(scores[q], labels[q]) for q in questions])),
        "mrr": float(np.mean([reciprocal_rank(scores[q], labels[q]) for q in questions])),
        "questions": len(questions),
    }

"""Scores of how well a ranking places the right candidates of a question: the means over all orders of equal scores.

If no two scores of a question are equal, the scores are those of trec_eval. trec_eval breaks ties by the names of the
candidates. In an answer from one document these names follow the text, and the right sentence tends to come early. So the
break of a tie would help or hurt a ranking that does not know the order. Here every order of tied candidates is equally
likely, and the mean is exact (McSherry & Najork 2008). Labels are 1 (right) or 0.
"""

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import comb


class RankingScores(TypedDict):
    """The scores that `map_mrr` returns."""

    map: float  # mean of `average_precision`, in [0, 1]
    mrr: float  # mean of `reciprocal_rank`, in [0, 1]
    questions: int  # number of questions that the means are over


def _ties(scores: ArrayLike, labels: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return how many candidates have each score, and how many of these are right, [S] each, best score first."""
    scores, labels = np.asarray(scores), np.asarray(labels, bool)
    if scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} differ in shape")
    if np.isnan(scores).any():
        raise ValueError(f"{np.isnan(scores).sum()} scores are NaN and have no rank")
    _, places, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    return sizes, np.bincount(places.ravel(), labels, len(sizes))


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
    sizes, rights = _ties(scores, labels)
    if not rights.any():
        return 0.0
    above, right_above = (np.repeat(np.cumsum(counts) - counts, sizes) for counts in (sizes, rights))
    ranks = np.arange(1, len(above) + 1)
    place = ranks - above - 1  # among the candidates of equal score
    before = place * np.repeat((rights - 1) / np.maximum(sizes - 1, 1), sizes)  # the right ones of them, in the mean
    precision = (right_above + before + 1) / ranks
    return float(np.sum(np.repeat(rights / sizes, sizes) * precision) / np.sum(rights))


def reciprocal_rank(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return 1 / rank of the best right candidate, in [0, 1]; 0 if no candidate is right.

    Arguments and errors are those of `average_precision`.
    """
    sizes, rights = _ties(scores, labels)
    if not rights.any():
        return 0.0
    first = np.argmax(rights > 0)  # the best score that a right candidate has
    size, right, above = sizes[first], rights[first], np.sum(sizes[:first])
    place = np.arange(size - right + 1)  # of the first right one among its equals
    p = comb(size - 1 - place, right - 1) / comb(size, right)
    return float(np.sum(p / (above + place + 1)))


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

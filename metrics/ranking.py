"""Scores of how well a ranking places the right candidates of a question: the means over all orders of equal scores.

If no two scores of a question are equal, the scores are those of trec_eval. trec_eval breaks ties by the names of the
candidates. In an answer from one document these names follow the text, and the right sentence tends to come early. So the
break of a tie would help or hurt a ranking that does not know the order. Here every order of tied candidates is equally
likely, and the mean is exact (McSherry & Najork 2008). Labels are 1 (right) or 0.
"""

from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import comb


class RankingScores(TypedDict):
    """The scores that `map_mrr` returns."""

    map: float  # mean of `average_precision`, in [0, 1]
    mrr: float  # mean of `reciprocal_rank`, in [0, 1]
    questions: int  # number of questions that the means are over


class Tie(NamedTuple):
    """Candidates of equal score, and what ranks above them."""

    above: int  # candidates with a better score
    right_above: int  # how many of these are right
    size: int
    right: int  # of the tied candidates


def _ties(scores: ArrayLike, labels: ArrayLike) -> list[Tie]:
    """Return the candidates of each score, best score first."""
    scores, labels = np.asarray(scores), np.asarray(labels, bool)
    if scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} differ in shape")
    if np.isnan(scores).any():
        raise ValueError(f"{np.isnan(scores).sum()} scores are NaN and have no rank")
    _, places, sizes = np.unique(-scores, return_inverse=True, return_counts=True)
    rights = np.bincount(places.ravel(), labels, len(sizes)).astype(int)
    above, right_above = np.cumsum(sizes) - sizes, np.cumsum(rights) - rights
    return [Tie(*map(int, numbers)) for numbers in zip(above, right_above, sizes, rights, strict=True)]


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
    total, right = 0.0, 0
    for tie in _ties(scores, labels):
        place = np.arange(tie.size)  # of a right candidate among its equals
        before = place * (tie.right - 1) / max(tie.size - 1, 1)  # the right ones among them, in the mean
        precision = (tie.right_above + before + 1) / (tie.above + place + 1)
        total += tie.right * float(np.mean(precision))
        right += tie.right
    return total / max(right, 1)


def reciprocal_rank(scores: ArrayLike, labels: ArrayLike) -> float:
    """Return 1 / rank of the best right candidate, in [0, 1]; 0 if no candidate is right.

    Arguments and errors are those of `average_precision`.
    """
    tie = next((tie for tie in _ties(scores, labels) if tie.right), None)
    if tie is None:
        return 0.0
    place = np.arange(tie.size - tie.right + 1)  # of the first right one among its equals
    p = comb(tie.size - 1 - place, tie.right - 1) / comb(tie.size, tie.right)
    return float(np.sum(p / (tie.above + place + 1)))


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

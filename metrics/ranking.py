"""How well scores rank the candidates of a question, as trec_eval measures it.

Ties are broken as in trec_eval: of equal scores the document id that comes later in lexicographic order ranks first. A
candidate's id is its place among its question's candidates, in the order of the data and padded with zeros, so the later
candidate ranks first. Labels are 1 (right) or 0.
"""

import numpy as np


def _ranked(scores, labels):
    """Labels as bool [C], best score first."""
    scores, labels = np.asarray(scores), np.asarray(labels, bool)
    if scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} differ in shape")
    if np.isnan(scores).any():
        raise ValueError(f"{np.isnan(scores).sum()} scores are NaN and have no rank")
    return labels[np.argsort(scores, kind="stable")[::-1]]


def average_precision(scores, labels):
    """Mean, over the right candidates, of the precision at each one's rank: sum_i (i / rank_i) / R, in [0, 1].

    `scores` and `labels` [C] are those of one question's candidates; 0 if none is right.

    Raises:
        ValueError: scores and labels differ in shape, or a score is NaN.
    """
    ranks = np.flatnonzero(_ranked(scores, labels)) + 1
    return float(np.sum(np.arange(1, len(ranks) + 1) / ranks) / max(len(ranks), 1))


def reciprocal_rank(scores, labels):
    """1 / rank of the best right candidate, in [0, 1]; 0 if none is right. Arguments and errors as above."""
    ranks = np.flatnonzero(_ranked(scores, labels)) + 1
    return float(1 / ranks[0]) if len(ranks) else 0.0


def map_mrr(groups, scores, labels):
    """MAP and MRR: `average_precision` and `reciprocal_rank`, each a mean over questions, and how many there were.

    A question without a right candidate is left out, as is usual for WikiQA and TREC QA; trec_eval would count it 0. One
    with only right ones scores 1 and counts; a set without those ("clean") is up to the caller.

    Args:
        groups: [N], the question of each candidate, of any type that sorts; not necessarily one after the other.
        scores: [N], higher for likelier.
        labels: [N], 0 or 1.

    Returns:
        {"map": float, "mrr": float, "questions": int}.

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

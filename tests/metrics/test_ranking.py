import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from metrics.ranking import average_precision, map_mrr, reciprocal_rank


def test_by_hand():
    scores, labels = [0.1, 0.9, 0.4, 0.7, 0.2], [1, 0, 1, 0, 0]  # right candidates at ranks 3 and 5
    assert average_precision(scores, labels) == pytest.approx((1 / 3 + 2 / 5) / 2)
    assert reciprocal_rank(scores, labels) == pytest.approx(1 / 3)


def mean_over_orders(score, scores, labels):
    """Return the mean of a score over all orders of the candidates, whose ties are then broken by their places."""
    found = []
    for order in itertools.permutations(range(len(scores))):
        broken = np.array([scores[i] for i in order]) - 1e-9 * np.arange(len(order))
        found.append(score(broken, [labels[i] for i in order]))
    return np.mean(found)


@pytest.mark.parametrize("score", [average_precision, reciprocal_rank])
@pytest.mark.parametrize(
    "scores, labels",
    [
        ([0.5, 0.5, 0.1, 0.5, 0.9], [1, 0, 0, 0, 0]),
        ([0.5, 0.5, 0.1, 0.5, 0.9], [1, 0, 1, 1, 0]),
        ([0.2, 0.2, 0.2, 0.2, 0.2, 0.2], [0, 1, 1, 0, 1, 0]),
        ([0.9, 0.9, 0.5, 0.5, 0.5], [1, 1, 1, 1, 1]),
        ([0.9, 0.9, 0.5, 0.5, 0.1, 0.1], [0, 0, 0, 1, 1, 1]),
    ],
)
def test_of_equal_scores_every_order_is_equally_likely(score, scores, labels):
    assert score(scores, labels) == pytest.approx(mean_over_orders(score, scores, labels))


def test_a_constant_score_ranks_at_random():
    harmonic = np.sum(1 / np.arange(1, 13))
    for place in range(12):
        assert reciprocal_rank(np.zeros(12), np.arange(12) == place) == pytest.approx(harmonic / 12)
        assert average_precision(np.zeros(12), np.arange(12) == place) == pytest.approx(harmonic / 12)


def test_the_order_of_the_candidates_changes_no_score():
    random = np.random.default_rng(0)
    groups, scores = random.integers(0, 9, 200), random.integers(0, 4, 200) / 4  # most scores are tied
    labels = random.random(200) < 0.3
    expected = map_mrr(groups, scores, labels)
    for _ in range(20):
        order = random.permutation(200)
        found = map_mrr(groups[order], scores[order], labels[order])
        assert found == {name: pytest.approx(value, abs=1e-12) for name, value in expected.items()}


def test_agrees_with_scikit_learn_without_ties():
    random = np.random.default_rng(0)
    for size in (1, 2, 7, 40):
        scores, labels = random.permutation(size) / size, random.random(size) < 0.4
        labels[random.integers(size)] = True
        assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores))


def test_no_right_candidate_counts_zero():
    assert average_precision([0.3, 0.2], [0, 0]) == reciprocal_rank([0.3, 0.2], [0, 0]) == 0


def test_map_mrr_averages_over_the_questions_with_a_right_candidate():
    groups = ["q2", "q1", "q1", "q2", "q3", "q1", "q3"]  # candidates of a question are not adjacent
    labels = [0, 1, 0, 1, 0, 1, 0]
    scores = [0.8, 0.1, 0.5, 0.2, 0.9, 0.7, 0.3]
    # right candidates: q1 at ranks 1 and 3, q2 at rank 2, q3 has none
    assert map_mrr(groups, scores, labels) == {
        "map": pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2),
        "mrr": pytest.approx((1 + 1 / 2) / 2),
        "questions": 2,
    }


def test_unequal_shapes_nan_and_no_right_candidate_are_refused():
    with pytest.raises(ValueError, match="shape"):
        average_precision([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="NaN"):
        reciprocal_rank([0.1, np.nan], [1, 0])
    with pytest.raises(ValueError, match="shape"):
        map_mrr([1, 1], [0.1, 0.2, 0.3], [1, 0, 0])
    with pytest.raises(ValueError, match="right"):
        map_mrr([1, 1], [0.1, 0.2], [0, 0])

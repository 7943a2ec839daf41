import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from metrics.ranking import average_precision, map_mrr, reciprocal_rank


def test_by_hand():
    scores, labels = [0.1, 0.9, 0.4, 0.7, 0.2], [1, 0, 1, 0, 0]  # right candidates at ranks 3 and 5
    assert average_precision(scores, labels) == pytest.approx((1 / 3 + 2 / 5) / 2)
    assert reciprocal_rank(scores, labels) == pytest.approx(1 / 3)


def test_of_equal_scores_the_later_candidate_ranks_first():
    # trec_eval ranks id 4 (0.9), then ids 3, 1, 0 (0.5 each, so descending), then id 2 (0.1)
    scores = [0.5, 0.5, 0.1, 0.5, 0.9]
    assert average_precision(scores, [1, 0, 0, 0, 0]) == pytest.approx(1 / 4)
    assert reciprocal_rank(scores, [0, 0, 0, 1, 0]) == pytest.approx(1 / 2)
    assert average_precision(scores, [0, 1, 1, 0, 0]) == pytest.approx((1 / 3 + 2 / 5) / 2)


def test_a_constant_score_ranks_by_id_alone():
    for place in range(12):  # 12 ids show the padding with zeros: unpadded, "9" comes after "11"
        assert reciprocal_rank(np.zeros(12), np.arange(12) == place) == pytest.approx(1 / (12 - place))


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


def test_ties_inside_a_question_follow_the_order_of_the_data():
    result = map_mrr([7, 3, 7, 7, 3], [0.5, 0.0, 0.5, 0.5, 0.0], [1, 0, 0, 0, 1])
    assert result["mrr"] == pytest.approx((1 / 3 + 1) / 2)


def test_unequal_shapes_nan_and_no_right_candidate_are_refused():
    with pytest.raises(ValueError, match="shape"):
        average_precision([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="NaN"):
        reciprocal_rank([0.1, np.nan], [1, 0])
    with pytest.raises(ValueError, match="shape"):
        map_mrr([1, 1], [0.1, 0.2, 0.3], [1, 0, 0])
    with pytest.raises(ValueError, match="right"):
        map_mrr([1, 1], [0.1, 0.2], [0, 0])

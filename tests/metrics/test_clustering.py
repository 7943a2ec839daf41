import numpy as np
import pytest
from sklearn.datasets import load_digits

from metrics.clustering import (
    balanced_accuracy,
    confusion,
    kmeans_clusters,
    majority_classes,
    match_codes,
    matched_accuracy,
    normalized_mutual_information,
)


def examples(table):
    """Return codes and labels whose contingency table is `table`."""
    pairs = [(code, label) for (code, label), count in np.ndenumerate(table) for _ in range(count)]
    return np.array(pairs).T


def test_confusion_counts_pairs():
    table = [[3, 0, 1], [0, 2, 0], [0, 0, 0], [4, 0, 5]]
    counts = confusion(*examples(table), num_codes=4, num_classes=3)
    np.testing.assert_array_equal(counts, table)


@pytest.mark.parametrize("codes, labels", [([0, 3], [0, 1]), ([0, -1], [0, 1]), ([0, 1], [0, 2]), ([0, 1, 1], [0, 1])])
def test_confusion_refuses_unequal_lengths_and_values_outside_the_range(codes, labels):
    with pytest.raises(ValueError):
        confusion(codes, labels, num_codes=3, num_classes=2)


def test_the_best_match_beats_the_greedy_match():
    # a greedy match takes 10 first and gets 10 + 1 + 1 = 12 right; the best match gets 9 + 8 + 1 = 18
    codes, labels = examples([[10, 9, 0], [8, 1, 0], [0, 0, 1]])
    code_to_class = match_codes(confusion(codes, labels, 3, 3))
    np.testing.assert_array_equal(code_to_class, [1, 0, 2])
    assert matched_accuracy(codes, labels, code_to_class) == 18 / 29


def test_codes_left_over_take_their_majority_class():
    codes, labels = examples([[9, 0], [0, 9], [2, 5], [0, 0]])
    np.testing.assert_array_equal(match_codes(confusion(codes, labels, 4, 2)), [0, 1, 1, 0])


def test_fewer_codes_than_classes():
    codes, labels = examples([[6, 1, 5], [1, 1, 7]])
    code_to_class = match_codes(confusion(codes, labels, 2, 3))
    np.testing.assert_array_equal(code_to_class, [0, 2])
    assert matched_accuracy(codes, labels, code_to_class) == 13 / 21


def test_several_codes_may_share_their_majority_class():
    codes, labels = examples([[10, 9, 0], [8, 1, 0], [0, 0, 1], [0, 0, 0]])
    code_to_class = majority_classes(confusion(codes, labels, 4, 3))
    np.testing.assert_array_equal(code_to_class, [0, 0, 2, 0])
    assert matched_accuracy(codes, labels, code_to_class) == 19 / 29


def test_the_map_is_fitted_on_one_part_and_scored_on_another():
    code_to_class = match_codes(confusion([0, 0, 1, 1], [1, 1, 0, 0], 2, 2))
    assert matched_accuracy(np.array([0, 1, 1, 0]), np.array([1, 0, 1, 0]), code_to_class) == 0.5


def test_balanced_accuracy_counts_every_class_alike():
    # of class 0 eight of ten are right, of class 1 one of two, and class 2 has no example
    codes, labels = examples([[8, 1, 0], [2, 1, 0], [0, 0, 0]])
    assert balanced_accuracy(codes, labels, np.array([0, 1, 2])) == pytest.approx((0.8 + 0.5) / 2)
    assert matched_accuracy(codes, labels, np.array([0, 1, 2])) == pytest.approx(9 / 12)


def test_renumbering_the_codes_changes_nothing():
    random = np.random.default_rng(0)
    labels = random.integers(0, 10, 500)
    codes = np.where(random.random(500) < 0.6, labels, random.integers(0, 10, 500))
    renumbered = random.permutation(10)[codes]
    accuracy = matched_accuracy(codes, labels, match_codes(confusion(codes, labels, 10, 10)))
    assert matched_accuracy(renumbered, labels, match_codes(confusion(renumbered, labels, 10, 10))) == accuracy > 0.5
    information = normalized_mutual_information(codes, labels)
    assert normalized_mutual_information(renumbered, labels) == pytest.approx(information)


def test_normalized_mutual_information_by_hand():
    # I = H(code) = log 2, H(class) = log 4
    assert normalized_mutual_information([0, 0, 1, 1], [0, 1, 2, 3]) == pytest.approx(2 / 3)
    assert normalized_mutual_information([0, 1, 0, 1], [0, 0, 1, 1]) == pytest.approx(0, abs=1e-12)


def test_kmeans_finds_separate_clusters():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    codes = np.array([[0, 0], [20, 0], [0, 20]])[labels] + random.normal(size=(300, 2))
    train, test = kmeans_clusters(codes[:200], codes[200:], num_clusters=3)
    code_to_class = match_codes(confusion(train, labels[:200], 3, 3))
    assert matched_accuracy(test, labels[200:], code_to_class) == 1
    assert matched_accuracy(test, (labels[200:] + 1) % 3, code_to_class) == 0


def test_kmeans_on_digits_is_deterministic():
    pixels, labels = load_digits(return_X_y=True)
    (train, test), (again, _) = (kmeans_clusters(pixels[:1258], pixels[1258:]) for _ in range(2))
    np.testing.assert_array_equal(train, again)
    assert 0.65 < matched_accuracy(test, labels[1258:], match_codes(confusion(train, labels[:1258], 10, 10))) < 0.9

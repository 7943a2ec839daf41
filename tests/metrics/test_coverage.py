import numpy as np
import pytest

from metrics.coverage import class_gap, class_shares, precision_and_recall


def by_hand(points, centres):
    """The share of points that are no farther from some centre than its third nearest other centre."""
    between = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    radii = np.sort(between, 1)[:, 3]  # the nearest is the centre itself
    return np.mean((np.linalg.norm(points[:, None] - centres[None], axis=-1) <= radii).any(1))


def test_precision_and_recall_against_numpy():
    random = np.random.default_rng(0)
    real, generated = random.normal(size=(60, 5)), 1.5 * random.normal(size=(40, 5)) + 0.5
    precision, recall = precision_and_recall(real, generated)
    assert precision == pytest.approx(by_hand(generated, real))
    assert recall == pytest.approx(by_hand(real, generated))
    assert 0 < precision < recall < 1


def test_a_lost_mode_costs_recall_and_an_invented_one_precision():
    random = np.random.default_rng(1)
    near, far = random.normal(size=(2, 200, 2))
    both = np.concatenate([near, far + 100])
    assert precision_and_recall(both, near + 0.01)[0] > 0.95
    assert precision_and_recall(both, near + 0.01)[1] == pytest.approx(0.5, abs=0.03)
    assert precision_and_recall(near + 0.01, both)[0] == pytest.approx(0.5, abs=0.03)
    assert precision_and_recall(near + 0.01, both)[1] > 0.95


def test_too_few_rows():
    with pytest.raises(ValueError, match="3 and 10 rows"):
        precision_and_recall(np.ones((3, 2)), np.ones((10, 2)))


def test_shares_of_classes():
    shares = class_shares(np.array([0, 0, 2, 3]), 4)
    assert shares.tolist() == [0.5, 0, 0.25, 0.25]
    assert class_gap(shares, np.full(4, 0.25)) == 0.25  # one sample of four should be of class 1 and is of class 0
    assert class_gap(shares, shares) == 0

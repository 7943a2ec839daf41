import numpy as np
import pytest
from sklearn.datasets import load_digits

from metrics.linear_probe import linear_accuracy


@pytest.fixture(scope="module")
def digits():
    return load_digits(return_X_y=True)  # pixels [1797, 64], with three constant columns, and labels


def test_pixels_of_digits(digits):
    pixels, labels = digits
    assert linear_accuracy(pixels[:1258], labels[:1258], pixels[1258:], labels[1258:]) == pytest.approx(0.93, abs=0.02)


def test_neither_scale_nor_offset_nor_constant_columns_matter(digits):
    pixels, labels = digits
    moved = np.concatenate([pixels * np.linspace(0.1, 100, 64) - 7, np.full((len(pixels), 2), 3.3)], axis=1)
    plain = linear_accuracy(pixels[:600], labels[:600], pixels[600:], labels[600:])
    assert linear_accuracy(moved[:600], labels[:600], moved[600:], labels[600:]) == pytest.approx(plain, abs=0.005)


def test_accuracy_is_scored_on_the_test_set():
    codes = np.array([[-2.0], [-1.0], [1.0], [2.0]])
    test_codes = np.array([[-3.0], [3.0], [4.0], [5.0]])
    assert linear_accuracy(codes, [0, 0, 1, 1], test_codes, [0, 1, 1, 0]) == 0.75


def test_random_codes_stay_at_chance():
    random = np.random.default_rng(0)
    codes, labels = random.normal(size=(4000, 3)), random.integers(0, 10, 4000)
    assert linear_accuracy(codes[:2000], labels[:2000], codes[2000:], labels[2000:]) < 0.15


def test_codes_that_are_not_finite_are_refused():
    with pytest.raises(ValueError):
        linear_accuracy([[np.nan], [1.0]], [0, 1], [[0.0]], [0])

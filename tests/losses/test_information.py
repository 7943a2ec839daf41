import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from losses.information import categorical_bound, continuous_bound, entropy, view_information


def test_categorical_bound_by_hand():
    c = tf.one_hot([0, 2], 4)
    logits = tf.math.log([[2.0, 1.0, 1.0, 1.0], [4.0, 2.0, 1.0, 1.0]])
    np.testing.assert_allclose(categorical_bound(c, logits, 1.5), 1.5 + np.log([2 / 5, 1 / 8]), rtol=1e-6)


@pytest.mark.parametrize("categories", [2, 10])
def test_categorical_bound_at_its_extremes(categories):
    c, most = tf.one_hot([1, 0, 1], categories), math.log(categories)
    certain = 1e4 * c
    np.testing.assert_allclose(categorical_bound(c, certain, most), [most] * 3, rtol=1e-6)
    np.testing.assert_allclose(categorical_bound(c, tf.ones([3, categories]), most), np.zeros(3), atol=1e-6)
    wrong = categorical_bound(tf.one_hot([0, 1, 0], categories), certain, most)
    np.testing.assert_allclose(wrong, [math.log(categories) - 1e4] * 3, rtol=1e-6)


def test_continuous_bound_against_tfp():
    random = np.random.default_rng(0)
    c = tf.constant(random.uniform(-1, 1, (5, 3)), tf.float32)
    mean, log_sigma = (tf.constant(random.normal(size=(5, 3)), tf.float32) for _ in range(2))
    log_q = tfp.distributions.Normal(mean, tf.exp(log_sigma)).log_prob(c)
    bound = continuous_bound(c, mean, log_sigma)
    assert bound.shape == [5]
    np.testing.assert_allclose(bound, np.sum(log_q + math.log(2), 1), rtol=1e-5)


def test_continuous_bound_of_no_codes_is_zero():
    np.testing.assert_array_equal(continuous_bound(*(tf.zeros([4, 0]) for _ in range(3))), np.zeros(4))


@pytest.mark.parametrize("c, mean, log_sigma", [(0.5, -0.5, -1.0), (-0.9, 0.3, 0.5)])
def test_continuous_bound_rises_as_the_mean_nears_the_code(c, mean, log_sigma):
    far, near = (continuous_bound(*(tf.fill([1, 1], v) for v in (c, m, log_sigma))) for m in (mean, (mean + c) / 2))
    assert near[0] > far[0]


def test_entropy_by_hand():
    p = tf.constant([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.5, 0.25, 0.25]])
    np.testing.assert_allclose(entropy(p), [math.log(2), 0.0, 1.5 * math.log(2)], atol=1e-6)


def test_view_information_against_numpy():
    random = np.random.default_rng(0)
    p, p_view = (random.dirichlet(np.ones(4), 16).astype("float32") for _ in range(2))
    joint = np.mean([(np.outer(a, b) + np.outer(b, a)) / 2 for a, b in zip(p, p_view, strict=True)], axis=0)
    expected = np.sum(joint * np.log(joint / np.outer(joint.sum(1), joint.sum(0))))
    np.testing.assert_allclose(view_information(tf.constant(p), tf.constant(p_view)), expected, rtol=1e-4)


def test_view_information_at_its_extremes():
    every = tf.eye(10)
    np.testing.assert_allclose(view_information(every, every), math.log(10), rtol=1e-6)
    assert abs(float(view_information(every[:1], every[:1]))) < 1e-6  # a single code carries no information
    flat = tf.fill([6, 10], 0.1)
    assert abs(float(view_information(flat, flat))) < 1e-5
    halves = tf.eye(2)
    assert (
        abs(float(view_information(halves, halves[::-1])) - math.log(2)) < 1e-6
    )  # the views have different codes, with certainty


def test_view_information_has_a_finite_gradient_if_codes_are_certain():
    p = tf.constant([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(p)
        information = view_information(p, p)
    assert np.all(np.isfinite(tf.convert_to_tensor(tape.gradient(information, p))))

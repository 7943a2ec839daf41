import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from losses.variational import (
    cyclical_weight,
    free_bits,
    full_gaussian_kl,
    gaussian_kl,
    gaussian_kl_between,
    linear_weight,
    multinomial_nll,
    timestep_kl,
    token_nll,
)

tfd = tfp.distributions


@pytest.fixture
def gaussians():
    """mu and log_variance of q, then of p: four different arrays [2, 3, 4]."""
    random = np.random.default_rng(0)
    return [(scale * random.normal(size=(2, 3, 4)) + shift).astype("float32")
            for scale, shift in ((1.0, 0.5), (0.7, -1.0), (2.0, -0.3), (0.4, 0.8))]  # fmt: skip


def normal(mu, log_variance):
    return tfd.MultivariateNormalDiag(mu, tf.exp(0.5 * log_variance))


def logits_and_tokens():
    random = np.random.default_rng(1)
    return random.normal(size=(3, 4, 5)).astype("float32"), random.integers(1, 5, (3, 4)), np.array([4, 2, 0])


def test_gaussian_kl_against_tfp(gaussians):
    mu, log_variance = gaussians[:2]
    kl = gaussian_kl(mu, log_variance)
    assert kl.shape == [2, 3] and kl.dtype == tf.float32
    prior = normal(tf.zeros(4), tf.zeros(4))
    np.testing.assert_allclose(kl, tfd.kl_divergence(normal(mu, log_variance), prior), rtol=1e-5)


@pytest.mark.parametrize("lower", [True, False])
def test_full_gaussian_kl_against_tfp(gaussians, lower):
    mu, random = gaussians[0], np.random.default_rng(4)
    scale = np.tril(random.normal(size=(2, 3, 4, 4)), -1) + np.eye(4) * random.uniform(0.2, 2, (2, 3, 4, 1))
    scale = (scale if lower else np.swapaxes(scale, -1, -2)).astype("float32")
    q = tfd.MultivariateNormalFullCovariance(mu, scale @ np.swapaxes(scale, -1, -2))
    expected = tfd.kl_divergence(q, normal(tf.zeros(4), tf.zeros(4)))
    np.testing.assert_allclose(full_gaussian_kl(tf.constant(mu), tf.constant(scale)), expected, rtol=1e-4)


def test_gaussian_kl_by_hand():
    kl = gaussian_kl(tf.constant([[3.0, 0.0]]), tf.constant([[0.0, math.log(4)]]))
    np.testing.assert_allclose(kl, [4.5 + 1.5 - math.log(2)], rtol=1e-6)


def test_gaussian_kl_between_against_tfp_and_in_the_right_direction(gaussians):
    mu_q, log_variance_q, mu_p, log_variance_p = gaussians
    q, p = normal(mu_q, log_variance_q), normal(mu_p, log_variance_p)
    kl = gaussian_kl_between(*gaussians)
    np.testing.assert_allclose(kl, tfd.kl_divergence(q, p), rtol=1e-5)
    assert np.all(np.abs(kl - tfd.kl_divergence(p, q)) > 0.1)
    np.testing.assert_array_equal(gaussian_kl_between(mu_q, log_variance_q, mu_q, log_variance_q), np.zeros((2, 3)))


def test_gaussian_kl_is_the_kl_between_q_and_a_standard_prior(gaussians):
    mu, log_variance = gaussians[:2]
    np.testing.assert_allclose(
        gaussian_kl_between(mu, log_variance, 0.0, 0.0), gaussian_kl(mu, log_variance), rtol=1e-6
    )


def test_a_scaled_prior_for_each_example(gaussians):
    mu, log_variance = gaussians[0][0], gaussians[1][0]  # [3, 4]
    scale = np.array([[2.0], [5.0], [0.25]], "float32")
    prior = tfd.MultivariateNormalDiag(tf.zeros([3, 4]), tf.sqrt(scale) * tf.ones(4))
    expected = tfd.kl_divergence(normal(mu, log_variance), prior)
    np.testing.assert_allclose(gaussian_kl_between(mu, log_variance, 0.0, tf.math.log(scale)), expected, rtol=1e-5)


def test_gaussian_kl_keeps_its_digits_near_collapse():
    log_variance = tf.constant([[1e-4], [-1e-4]])
    np.testing.assert_allclose(gaussian_kl(tf.zeros([2, 1]), log_variance), [2.5e-9, 2.5e-9], rtol=1e-2)
    assert gaussian_kl(tf.zeros([1, 8]), tf.zeros([1, 8])) == 0


@pytest.mark.parametrize("part, expected", [(1.0, [4.0, 3.0, 1.0]), (0.75, [5.0, 3.0, 1.0]), (0.5, [6.0, 4.5, 1.0]),
                                            (0.25, [7.0, 6.0, 1.0])])  # fmt: skip
def test_timestep_kl_by_hand(part, expected):
    # for lengths 4, 3 and 1, ceil(part n) is 4, 3, 1; then 3, 3, 1; then 2, 2, 1; then 1, 1, 1
    kl = tf.constant([[1.0, 3.0, 5.0, 7.0], [0.0, 3.0, 6.0, 99.0], [1.0, 99.0, np.nan, 99.0]])
    np.testing.assert_allclose(timestep_kl(kl, tf.constant([4, 3, 1]), part), expected)


@pytest.mark.parametrize("part, length, kept", [(0.3, 50, 15), (0.6, 25, 15), (0.07, 100, 7), (0.001, 1, 1)])
def test_timestep_kl_counts_no_step_too_many(part, length, kept):
    first = tf.cast(tf.range(length) == length - kept, tf.float32)[None]  # 1 at the first of the last `kept` steps
    np.testing.assert_allclose(timestep_kl(first, tf.constant([length]), part), [1 / kept], rtol=1e-5)


def test_timestep_kl_of_an_empty_sentence_is_zero():
    np.testing.assert_array_equal(timestep_kl(tf.ones([2, 3]), tf.constant([0, 2])), [0.0, 1.0])


@pytest.mark.parametrize("part", [0.0, -0.5, 1.5])
def test_timestep_kl_refuses_a_part_outside_its_range(part):
    with pytest.raises(ValueError, match="part"):
        timestep_kl(tf.ones([2, 3]), tf.constant([3, 2]), part)


def nll_of_logits(logits, tokens, lengths):
    """token_nll with the identity as kernel, so that h is the logits."""
    size = logits.shape[-1]
    return token_nll(logits, tf.eye(size), tf.zeros([size]), tokens, lengths)


def test_token_nll_has_the_gradients_of_the_plain_formula():
    random = np.random.default_rng(3)
    arrays = [random.normal(size=shape).astype("float32") for shape in ((3, 4, 6), (6, 5), (5,))]
    h, kernel, bias = map(tf.constant, arrays)
    tokens, lengths = map(tf.constant, logits_and_tokens()[1:])
    weight = tf.constant([0.5, -2.0, 3.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([h, kernel, bias])
        ours = token_nll(h, kernel, bias, tokens, lengths) * weight
        plain = tf.nn.sparse_softmax_cross_entropy_with_logits(tokens, h @ kernel + bias)
        plain = tf.reduce_sum(plain * tf.sequence_mask(lengths, 4, tf.float32), 1) * weight
    np.testing.assert_allclose(ours, plain, rtol=1e-5)
    for variable in (h, kernel, bias):
        gradient, expected = (tf.convert_to_tensor(tape.gradient(nll, variable)) for nll in (ours, plain))
        np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_token_nll_against_numpy():
    logits, tokens, lengths = logits_and_tokens()
    log_p = logits.astype("float64") - np.log(np.exp(logits.astype("float64")).sum(-1, keepdims=True))
    expected = [-sum(log_p[b, t, tokens[b, t]] for t in range(lengths[b])) for b in range(3)]
    nll = nll_of_logits(logits, tokens, lengths)
    assert nll.shape == [3] and expected[2] == 0
    np.testing.assert_allclose(nll, expected, rtol=1e-5)


def test_pad_never_counts():
    logits, tokens, lengths = logits_and_tokens()
    pad = np.arange(4) >= lengths[:, None]
    moved = np.where(pad[..., None], 50 * logits + 3, logits)
    np.testing.assert_array_equal(
        nll_of_logits(moved, np.where(pad, 0, tokens), lengths), nll_of_logits(logits, tokens, lengths)
    )
    with tf.GradientTape() as tape:
        x = tf.constant(logits)
        tape.watch(x)
        nll = nll_of_logits(x, tokens, lengths)
    gradient = np.abs(tf.convert_to_tensor(tape.gradient(nll, x))).sum(-1)
    np.testing.assert_array_equal(gradient > 0, ~pad)


def test_a_uniform_decoder_has_an_nll_of_log_v_per_token():
    np.testing.assert_allclose(
        nll_of_logits(tf.zeros([2, 6, 10]), tf.ones([2, 6], tf.int32), tf.constant([6, 3])),
        math.log(10) * np.array([6, 3]),
        rtol=1e-6,
    )


def test_multinomial_nll_is_the_nll_of_its_words_one_by_one():
    logits = np.random.default_rng(2).normal(size=(2, 4)).astype("float32")
    counts = np.array([[2, 0, 1, 0], [0, 3, 1, 1]], "float32")
    words = np.array([[0, 2, 0, 0, 0], [1, 3, 1, 2, 1]])
    one_by_one = nll_of_logits(np.repeat(logits[:, None], 5, axis=1), words, np.array([3, 5]))
    np.testing.assert_allclose(multinomial_nll(tf.constant(logits), tf.constant(counts)), one_by_one, rtol=1e-5)


def test_multinomial_nll_has_the_right_gradient():
    logits, counts = tf.constant([[1.0, -0.5, 0.25]]), tf.constant([[3.0, 0.0, 2.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        nll = multinomial_nll(logits, counts)
    gradient = tf.convert_to_tensor(tape.gradient(nll, logits))
    np.testing.assert_allclose(gradient, 5 * tf.nn.softmax(logits) - counts, rtol=1e-5)


def test_free_bits_by_hand():
    kl = tf.constant([[0.5, 0.0, 1.0], [1.5, 0.25, 0.0]])  # means 1, 0.125, 0.5
    np.testing.assert_allclose(free_bits(kl, 0.25), [0.5 + 0.25 + 1.0, 1.5 + 0.25 + 0.0])
    np.testing.assert_allclose(tf.reduce_mean(free_bits(kl, 0.25)), 1 + 0.25 + 0.5)
    np.testing.assert_allclose(free_bits(kl, 0.0), tf.reduce_sum(kl, 1))


def test_free_bits_pull_only_on_dimensions_above_the_threshold():
    kl = tf.constant([[0.5, 0.0, 1.0], [1.5, 0.25, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(kl)
        loss = tf.reduce_mean(free_bits(kl, 0.25))
    np.testing.assert_array_equal(tape.gradient(loss, kl), [[0.5, 0.0, 0.5]] * 2)


def test_kl_of_each_dimension_adds_up(gaussians):
    mu, log_variance = gaussians[0][0], gaussians[1][0]
    per_dimension = gaussian_kl(mu[..., None], log_variance[..., None])
    assert per_dimension.shape == [3, 4]
    np.testing.assert_allclose(tf.reduce_sum(per_dimension, -1), gaussian_kl(mu, log_variance), rtol=1e-6)


def test_linear_weight():
    weights = [float(linear_weight(step, 50)) for step in (0, 10, 25, 50, 1000)]
    np.testing.assert_allclose(weights, [0, 0.2, 0.5, 1, 1])
    assert [float(linear_weight(step, 0)) for step in (0, 1)] == [1, 1]


def test_cyclical_weight():
    weights = [float(cyclical_weight(step, 40, 0.5)) for step in (0, 5, 10, 20, 39, 40, 45, 79, 80)]
    np.testing.assert_allclose(weights, [0, 0.25, 0.5, 1, 1, 0, 0.25, 1, 0])
    np.testing.assert_allclose([float(cyclical_weight(step, 40, 1.0)) for step in (10, 39)], [0.25, 0.975])


def test_everything_runs_in_a_graph_of_unknown_shape():
    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 5]),
            tf.TensorSpec([None, None], tf.int64),
            tf.TensorSpec([None], tf.int64),
            tf.TensorSpec([], tf.int64),
        ]
    )
    def loss(logits, tokens, lengths, step):
        kl = timestep_kl(gaussian_kl(logits, 0.1 * logits), lengths, 0.5)
        weight = linear_weight(step, 20) + cyclical_weight(step, 4, 0.5)
        return nll_of_logits(logits, tokens, lengths) + weight * kl

    logits, tokens, lengths = logits_and_tokens()
    lengths[2] = 1
    logits, tokens, lengths = map(tf.constant, (logits, tokens, lengths))
    expected = nll_of_logits(logits, tokens, lengths) + 0.75 * timestep_kl(
        gaussian_kl(logits, 0.1 * logits), lengths, 0.5
    )
    np.testing.assert_allclose(loss(logits, tokens, lengths, 5), expected, rtol=1e-5)  # weights 0.25 and 0.5

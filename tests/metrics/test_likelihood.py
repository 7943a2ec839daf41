import numpy as np
import pytest
import tensorflow_probability as tfp
from scipy.stats import norm

from metrics import likelihood
from metrics.likelihood import (
    active_units,
    corpus_perplexity,
    document_perplexity,
    elbo,
    importance_weighted_nll,
    mutual_information,
    perplexity,
)


def linear_gaussian(samples, examples, seed=0):
    """Return log weights [S, N] under a q that differs from the posterior, and the exact -log p(x) [N].

    z ~ N(0, 1) and x | z ~ N(2 z, 0.5^2), so x ~ N(0, 4.25) and z | x ~ N(8 x / 17, 1 / 17).
    """
    random = np.random.default_rng(seed)
    x = np.sqrt(4.25) * random.normal(size=examples)
    q = 8 / 17 * x + 0.1, 1.3 / np.sqrt(17)  # mean and deviation
    z = norm.rvs(*q, size=(samples, examples), random_state=random)
    return norm.logpdf(x, 2 * z, 0.5) + norm.logpdf(z) - norm.logpdf(z, *q), -norm.logpdf(x, 0, np.sqrt(4.25))


def test_importance_weighted_nll_converges_to_the_exact_marginal():
    log_weights, nll = linear_gaussian(20000, 8)
    np.testing.assert_allclose(importance_weighted_nll(log_weights), nll, atol=0.02)
    gap = 0.5 * (1.3**2 + 17 * 0.1**2 - 1) - np.log(1.3)  # KL(q(z|x) || p(z|x))
    np.testing.assert_allclose(-elbo(log_weights) - nll, gap, atol=0.03)


def test_importance_weighted_nll_and_elbo_by_hand():
    log_weights = np.log([[1.0, 4.0], [3.0, 4.0]])
    np.testing.assert_allclose(importance_weighted_nll(log_weights), -np.log([2, 4]))
    np.testing.assert_allclose(elbo(log_weights), np.log([np.sqrt(3), 4]))


def test_jensen_holds_on_the_same_weights():
    log_weights = np.random.default_rng(0).normal(scale=3, size=(7, 200))
    assert np.all(-elbo(log_weights) >= importance_weighted_nll(log_weights))
    np.testing.assert_allclose(-elbo(log_weights[:1]), importance_weighted_nll(log_weights[:1]))


def test_more_samples_tighten_the_bound_in_expectation():
    log_weights, nll = linear_gaussian(50, 3000)
    bounds = [importance_weighted_nll(log_weights[:samples]).mean() for samples in (1, 5, 50)]
    assert bounds[0] > bounds[1] + 0.05 > bounds[2] + 0.05 > nll.mean() + 0.05


def test_small_weights_do_not_underflow():
    np.testing.assert_allclose(importance_weighted_nll(np.full((4, 2), -5000.0)), [5000, 5000])


def test_perplexity_by_hand():
    # a third of the tokens has probability 1/8, the others 1/64: 64^(5/6) = 32
    assert perplexity(100 * np.log(8) + 200 * np.log(64), 300) == pytest.approx(32)
    with pytest.raises(ValueError):
        perplexity(1.0, 0)


def test_document_and_corpus_perplexity_differ():
    nll, counts = np.array([1 * np.log(2), 3 * np.log(16)]), np.array([1, 3])
    assert document_perplexity(nll, counts) == pytest.approx(2**2.5)  # mean of 1 and 4 bits
    assert corpus_perplexity(nll, counts) == pytest.approx(2**3.25)  # 13 bits over 4 words


@pytest.mark.parametrize("score", [document_perplexity, corpus_perplexity])
def test_perplexity_refuses_documents_without_words_and_unequal_lengths(score):
    for counts in ([3, 0], [3], [[3], [2]]):
        with pytest.raises(ValueError):
            score([1.0, 2.0], counts)


def test_mutual_information_of_separate_posteriors_is_log_n_and_never_more():
    mu = 100.0 * np.arange(64)[:, None] * np.ones(3)
    information = mutual_information(mu, np.zeros((64, 3)))
    assert information == pytest.approx(np.log(64), abs=1e-9)
    mu = np.random.default_rng(0).normal(size=(200, 20))
    assert mutual_information(mu, np.full((200, 20), -12.0)) <= np.log(200) + 1e-9


def test_mutual_information_of_identical_posteriors_is_zero():
    mu, log_variance = np.tile([[0.3, -2.0]], (50, 1)), np.tile([[0.5, -1.0]], (50, 1))
    assert mutual_information(mu, log_variance, samples=3) == pytest.approx(0, abs=1e-12)


def test_mutual_information_of_two_overlapping_posteriors():
    # entropy of 0.5 N(-1, 1) + 0.5 N(1, 1), integrated, less the entropy of N(0, 1)
    x = np.linspace(-12, 12, 20001)
    density = 0.5 * norm.pdf(x, -1) + 0.5 * norm.pdf(x, 1)
    expected = -np.trapezoid(density * np.log(density), x) - 0.5 * np.log(2 * np.pi * np.e)
    estimate = mutual_information(np.tile([[-1.0], [1.0]], (200, 1)), np.zeros((400, 1)), samples=100)
    assert estimate == pytest.approx(expected, abs=0.01)


def test_mutual_information_is_the_difference_of_the_two_kls():
    tfd = tfp.distributions
    random = np.random.default_rng(3)
    mu, log_variance = random.normal(size=(30, 2)), random.normal(-1, 0.5, (30, 2))
    posterior = tfd.MultivariateNormalDiag(mu, np.exp(0.5 * log_variance))
    prior = tfd.MultivariateNormalDiag(np.zeros(2), np.ones(2))
    z = posterior.sample(1000, seed=4).numpy().reshape(-1, 2)
    log_q = np.log(np.mean(posterior.prob(z[:, None]), axis=1))
    difference = np.mean(tfd.kl_divergence(posterior, prior)) - np.mean(log_q - prior.log_prob(z))
    assert mutual_information(mu, log_variance, samples=1000) == pytest.approx(difference, abs=0.02)


def test_mutual_information_does_not_depend_on_the_blocks(monkeypatch):
    random = np.random.default_rng(5)
    mu, log_variance = random.normal(size=(23, 3)), random.normal(size=(23, 3))
    whole = mutual_information(mu, log_variance, samples=2, seed=9)
    monkeypatch.setattr(likelihood, "BLOCK", 5 * 23)
    assert mutual_information(mu, log_variance, samples=2, seed=9) == pytest.approx(whole, rel=1e-12)
    assert mutual_information(mu, log_variance, samples=2, seed=10) != pytest.approx(whole, rel=1e-6)


def test_active_units_are_counted_by_variance_over_the_data():
    mu = np.random.default_rng(0).normal(size=(5000, 4)) * np.sqrt([1.0, 0.02, 0.005, 0.0]) + [0, 0, 0, 7]
    assert active_units(mu) == 2
    assert active_units(mu, threshold=0.001) == 3

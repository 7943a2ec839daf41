"""Likelihoods, perplexities, and the information that latents carry about the data, in nats and float64.

A score is a total that is divided once: callers add up nll and counts over batches. The name of a perplexity states
what it averages over, and whether its nll is the bound (`elbo`) or importance-weighted. The two kinds are never
compared.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

BLOCK = 2**23  # log densities that `mutual_information` holds at a time: 64 MiB


def elbo(log_weights: ArrayLike) -> np.ndarray:
    """Return mean_s log w_s, a lower bound on log p(x), [N]; to be maximised.

    The mean is over logarithms, so more samples reduce its noise but do not tighten it. `importance_weighted_nll` takes
    the logarithm of the mean.

    Args:
        log_weights: [S, N], log w_s = log p(x | z_s) + log p(z_s) - log q(z_s | x), with z_s drawn from q(z | x).
    """
    return np.mean(np.asarray(log_weights, np.float64), axis=0)


def importance_weighted_nll(log_weights: ArrayLike) -> np.ndarray:
    """Return -log mean_s w_s, an upper bound on -log p(x), [N], from log weights [S, N] as in `elbo`; to be minimised.

    Burda et al. 2016, -L_k with k = S. It never exceeds -elbo of the same weights, and equals -elbo at S = 1. Its
    expectation falls towards -log p(x) as S grows, so state S with every score.
    """
    log_weights = np.asarray(log_weights, np.float64)
    return np.log(len(log_weights)) - logsumexp(log_weights, axis=0)


def perplexity(total_nll: float, total_tokens: float) -> float:
    """Return exp(total_nll / total_tokens).

    The tokens are those whose probability is in the nll: the end symbol counts, the start symbol does not.

    Raises:
        ValueError: `total_tokens` is not positive.
    """
    if total_tokens <= 0:
        raise ValueError(f"perplexity needs tokens, got {total_tokens}")
    return float(np.exp(total_nll / total_tokens))


def document_perplexity(nll: ArrayLike, counts: ArrayLike) -> float:
    """Return exp(mean_d nll_d / N_d): every document has the same weight.

    Miao et al. 2016 and the work they compare with.

    Args:
        nll: [D], of whole documents; if it is -ELBO, it includes the KL.
        counts: [D], the number of words N_d of each document.

    Raises:
        ValueError: nll and counts differ in shape, or a document has no words.
    """
    nll, counts = _documents(nll, counts)
    return float(np.exp(np.mean(nll / counts)))


def corpus_perplexity(nll: ArrayLike, counts: ArrayLike) -> float:
    """Return exp(sum_d nll_d / sum_d N_d): every word has the same weight.

    Arguments and errors are those of `document_perplexity`, but the two perplexities differ and do not compare.
    """
    nll, counts = _documents(nll, counts)
    return perplexity(nll.sum(), counts.sum())


def _documents(nll: ArrayLike, counts: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return nll and counts as float64 [D]; raise ValueError as `document_perplexity`."""
    nll, counts = np.asarray(nll, np.float64), np.asarray(counts, np.float64)
    if nll.shape != counts.shape:
        raise ValueError(f"nll {nll.shape} and counts {counts.shape} differ in shape")
    if not np.all(counts > 0):
        raise ValueError(f"{np.sum(counts <= 0)} documents have no words")
    return nll, counts


def mutual_information(mu: ArrayLike, log_variance: ArrayLike, samples: int = 1, seed: int = 0) -> float:
    """Estimate I(x; z) under q over a set of N examples, E_x KL(q(z|x) || p(z)) - KL(q(z) || p(z)), in nats.

    q(z) = 1/N sum_n q(z | x_n) is the aggregate posterior over all N examples (Hoffman & Johnson 2016; reported by He
    et al. 2019). The prior cancels, so the estimate is the mean of log q(z | x_n) - log q(z) over z from q(z | x_n).
    Each example gets `samples` draws of z. The estimate is 0 if all posteriors are equal. No term exceeds log N, so
    neither does the estimate: state N with it, and compare only estimates with equal N.

    The true value is never negative, but an estimate can be. The usual recipe computes the KL exactly and samples
    log q(z) over a minibatch, and it does give negative values. There the noise of the draws in log q(z | x) does not
    cancel the noise in log q(z), and for a collapsed posterior little else is left. Here both are computed at the same
    z. The noise that remains shrinks as N * samples grows.

    Args:
        mu, log_variance: [N, D], of diagonal Gaussians q(z | x_n).
        samples: draws of z for each example.
        seed: of the draws.
    """
    mu, log_variance = np.asarray(mu, np.float64), np.asarray(log_variance, np.float64)
    precision = np.exp(-log_variance)
    offset = np.sum(log_variance + np.square(mu) * precision, axis=1)
    random = np.random.default_rng(seed)
    rows = max(1, BLOCK // len(mu))
    total = 0.0
    for _ in range(samples):
        for start in range(0, len(mu), rows):
            own = slice(start, start + rows)
            z = mu[own] + np.exp(0.5 * log_variance[own]) * random.normal(size=mu[own].shape)
            # log q(z | x_m) [rows, N], without D/2 log 2 pi, which cancels
            log_q = z @ (mu * precision).T - 0.5 * (np.square(z) @ precision.T + offset)
            total += np.sum(np.diagonal(log_q, start) - logsumexp(log_q, axis=1))
    return float(total / (samples * len(mu)) + np.log(len(mu)))


def active_units(mu: ArrayLike, threshold: float = 0.01) -> int:
    """Count the dimensions d of posterior means [N, D] with Var_x(mu_d) > threshold, in [0, D] (Burda et al. 2016)."""
    return int(np.sum(np.var(np.asarray(mu, np.float64), axis=0) > threshold))

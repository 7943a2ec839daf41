"""Likelihoods, perplexities and how much of the data a latent code holds, in nats and float64.

A figure is a total divided once: callers add up NLL and counts over batches. A perplexity is named by what it averages
over and by whether its NLL is the bound (`elbo`) or importance-weighted; the two are never compared.
"""

import numpy as np
from scipy.special import logsumexp

BLOCK = 2**23  # log densities held at a time by `mutual_information`: 64 MiB


def elbo(log_weights):
    """mean_s log w_s, the bound log p(x) is at least, from log weights [S, N], as [N]; to be maximised.

    log w_s = log p(x | z_s) + log p(z_s) - log q(z_s | x), z_s from q(z | x). The mean of logarithms: more samples make
    it steadier and not tighter. The logarithm of the mean is `importance_weighted_nll`.
    """
    return np.mean(np.asarray(log_weights, np.float64), axis=0)


def importance_weighted_nll(log_weights):
    """-log mean_s w_s, an upper bound on -log p(x), from log weights [S, N] as in `elbo`, as [N]; to be minimised.

    Burda et al. 2016, L_k with k = S. Never above -elbo of the same weights, equal at S = 1; in expectation it falls
    towards -log p(x) as S grows, so S is named with every figure.
    """
    log_weights = np.asarray(log_weights, np.float64)
    return np.log(len(log_weights)) - logsumexp(log_weights, axis=0)


def perplexity(total_nll, total_tokens):
    """exp(total_nll / total_tokens). Tokens are those whose probability is in the NLL: the end symbol, never the start.

    Raises:
        ValueError: there are no tokens.
    """
    if total_tokens <= 0:
        raise ValueError(f"perplexity needs tokens, got {total_tokens}")
    return float(np.exp(total_nll / total_tokens))


def document_perplexity(nll, counts):
    """exp(mean_d nll_d / N_d): every document weighs the same. Miao et al. 2016 and the work they compare with.

    Args:
        nll: [D], of whole documents; where it is -ELBO, the KL is inside.
        counts: [D], words in each document, N_d.

    Raises:
        ValueError: nll and counts differ in shape, or a document has no words.
    """
    nll, counts = _documents(nll, counts)
    return float(np.exp(np.mean(nll / counts)))


def corpus_perplexity(nll, counts):
    """exp(sum_d nll_d / sum_d N_d): every word weighs the same. Not what `document_perplexity` is; arguments as there."""
    nll, counts = _documents(nll, counts)
    return perplexity(nll.sum(), counts.sum())


def _documents(nll, counts):
    nll, counts = np.asarray(nll, np.float64), np.asarray(counts, np.float64)
    if nll.shape != counts.shape:
        raise ValueError(f"nll {nll.shape} and counts {counts.shape} differ in shape")
    if not np.all(counts > 0):
        raise ValueError(f"{np.sum(counts <= 0)} documents have no words")
    return nll, counts


def mutual_information(mu, log_variance, samples=1, seed=0):
    """I(x; z) under q over a set of N examples: E_x KL(q(z|x) || p(z)) - KL(q(z) || p(z)), in nats.

    q(z) = 1/N sum_n q(z | x_n) is the aggregate posterior over all N (Hoffman & Johnson 2016; a figure of He et al.
    2019). The prior cancels, which leaves the mean of log q(z | x_n) - log q(z) over z from q(z | x_n), estimated with
    `samples` draws of z for each example. No term of it exceeds log N, so nor does the figure: N is named with it, and
    figures of different N are not compared. 0 where all posteriors are one.

    The truth is never negative, an estimate may be. It does come out so where the KL is exact and log q(z) is sampled
    over a minibatch, the usual recipe: the draws' noise in log q(z | x) and log q(z) then no longer cancels, and of a
    collapsed posterior little else is left. Here both are taken at the same z; what noise remains shrinks with
    N * samples.

    Args:
        mu, log_variance: [N, D], of diagonal Gaussians q(z | x_n).
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
            # log q(z | x_m) [rows, N] but for D/2 log 2 pi, which cancels
            log_q = z @ (mu * precision).T - 0.5 * (np.square(z) @ precision.T + offset)
            total += np.sum(np.diagonal(log_q, start) - logsumexp(log_q, axis=1))
    return float(total / (samples * len(mu)) + np.log(len(mu)))


def active_units(mu, threshold=0.01):
    """Dimensions d of posterior means [N, D] with Var_x(mu_d) > threshold, an int in [0, D]. Burda et al. 2016."""
    return int(np.sum(np.var(np.asarray(mu, np.float64), axis=0) > threshold))

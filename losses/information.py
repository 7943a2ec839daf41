"""The information that codes carry, in nats and to be maximised: InfoGAN's bound, and what two views share.

InfoGAN's bound is a lower bound on the mutual information of code and image (Chen et al. 2016, section 5).
"""

import math

import tensorflow as tf

from losses.replicas import batch_mean


def categorical_bound(c: tf.Tensor, logits: tf.Tensor, prior_entropy: tf.Tensor | float) -> tf.Tensor:
    """Return E[log Q(c | x)] + H(c) per example, [B], for a categorical code c [B, K].

    In nats, to be maximised (Chen et al. 2016, eq. 5). The bound is at most H(c): a one-hot c reaches it if Q is certain
    and correct. If c is an estimate, the maximum is lower by the entropy of the estimate.

    Args:
        c: [B, K], one-hot, or the probabilities of an estimate.
        logits: [B, K], computed by the head Q.
        prior_entropy: H(c), in nats; log K if the prior of c is uniform.
    """
    return prior_entropy - tf.nn.softmax_cross_entropy_with_logits(c, logits)


def continuous_bound(c: tf.Tensor, mean: tf.Tensor, log_sigma: tf.Tensor) -> tf.Tensor:
    """Return E[log Q(c | x)] + H(c) per example, [B], for codes c [B, D] that are uniform on [-1, 1].

    In nats, to be maximised; H(c) = D log 2. Q is a diagonal Gaussian with `mean` and `log_sigma`, [B, D] each (Chen et
    al. 2016, section 6, "factored Gaussian").
    """
    log_q = -0.5 * math.log(2 * math.pi) - log_sigma - 0.5 * tf.square((c - mean) * tf.exp(-log_sigma))
    return tf.reduce_sum(log_q + math.log(2.0), -1)


def view_information(p: tf.Tensor, p_view: tf.Tensor) -> tf.Tensor:
    """Return the mutual information I(c; c') of the codes of two views of an image: a scalar for the whole batch.

    In nats, to be maximised, in [0, log K]. It is highest if both views get the same code with certainty, and all codes
    are used equally often. The joint distribution of (c, c') is the batch's mean of the outer products, made symmetric
    (Ji et al. 2019, invariant information clustering, eq. 3).

    Args:
        p, p_view: q(c | x) and q(c' | x'), probabilities [B, K] each.
    """
    joint = batch_mean(tf.matmul(p, p_view, transpose_a=True) / tf.cast(tf.shape(p)[0], p.dtype))
    joint = (joint + tf.transpose(joint)) / 2
    margin = tf.reduce_sum(joint, 0)
    return 2 * entropy(margin) - entropy(tf.reshape(joint, [-1]))


def entropy(p: tf.Tensor) -> tf.Tensor:
    """Return -sum p log p over the last axis, in nats, where 0 log 0 is 0."""
    return -tf.reduce_sum(tf.math.xlogy(p, p), -1)

"""Information that codes carry, all to be maximised: InfoGAN's bound, and what the codes of real images share.

The bound is on the mutual information of the code and the image (Chen et al. 2016, section 5)."""

import math

import tensorflow as tf


def categorical_bound(c: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """E[log Q(c | x)] + H(c) of a code c [B, K] with a uniform prior, from the head's logits [B, K].

    Per example [B], in nats, to be maximised: at most log K, reached when Q is certain and right; 0 for a uniform Q. c is
    one-hot, or the probabilities of an estimate, of whose entropy the maximum falls short. Chen et al. 2016, eq. 5.
    """
    return math.log(c.shape[-1]) - tf.nn.softmax_cross_entropy_with_logits(c, logits)


def continuous_bound(c: tf.Tensor, mean: tf.Tensor, log_sigma: tf.Tensor) -> tf.Tensor:
    """E[log Q(c | x)] + H(c) of codes c [B, D] uniform on [-1, 1], Q a diagonal Gaussian: mean, log_sigma [B, D].

    Per example [B], in nats, to be maximised; H(c) = D log 2. Chen et al. 2016, section 6 ("factored Gaussian").
    """
    log_q = -0.5 * math.log(2 * math.pi) - log_sigma - 0.5 * tf.square((c - mean) * tf.exp(-log_sigma))
    return tf.reduce_sum(log_q + math.log(2.0), -1)


def view_information(p: tf.Tensor, p_view: tf.Tensor) -> tf.Tensor:
    """The mutual information I(c; c') of the codes of two views of an image, from q(c | x), q(c' | x') [B, K] each.

    A scalar in [0, log K], in nats, to be maximised: highest where both views are given the same code, with certainty,
    and all codes are used alike. It is a figure of the whole batch: the joint distribution of (c, c') is the batch's
    average of the outer products, made symmetric (Ji et al. 2019, invariant information clustering, eq. 3).
    """
    joint = tf.matmul(p, p_view, transpose_a=True) / tf.cast(tf.shape(p)[0], p.dtype)
    joint = (joint + tf.transpose(joint)) / 2
    margin = tf.reduce_sum(joint, 0)
    return 2 * entropy(margin) - entropy(tf.reshape(joint, [-1]))


def entropy(p: tf.Tensor) -> tf.Tensor:
    """-sum p log p over the last axis, in nats; 0 log 0 is 0."""
    return -tf.reduce_sum(tf.math.xlogy(p, p), -1)
